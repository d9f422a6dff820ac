"""What a verification found, as samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from jobs.core.checks import sample
from jobs.core.drills import Drill, DrillState
from jobs.core.model import Sample
from jobs.verification.families import (
    CHECKED,
    DAMAGED,
    DRILL_STATE,
    DRILL_TIME,
    MISSING,
    NEWEST,
    RECOVERY_POINT,
    RESTORE_SECONDS,
    STORAGE,
)
from jobs.verification.integrity import Checked, State
from jobs.verification.items import KINDS
from jobs.verification.state import Memory

MAX_SOURCES = 1000
"""Sources beyond these get no series of their own; reports and findings name them all."""
MAX_DAMAGED = 20
"""Damaged files beyond these, the newest, are counted and told in the report, but not named on /metrics."""
_RESULTS = (State.VERIFIED, State.FAILED, State.UNKNOWN)


def of_files(checked: Sequence[Checked]) -> Iterator[Sample]:
    """How many backups of each kind were found to be what, and the newest good one of each source."""
    counts = Counter((one.item.kind, one.state) for one in checked)
    for kind in KINDS:
        for result in _RESULTS:
            yield sample(CHECKED, counts[kind, result], kind=kind, result=result)
    damaged = sorted((one.item for one in checked if one.state is State.FAILED), key=lambda item: item.created)
    for item in damaged[-MAX_DAMAGED:]:
        yield sample(DAMAGED, 1, kind=item.kind, file=item.name)
    newest: dict[tuple[str, str], datetime] = {}
    for one in checked:
        if one.state is State.VERIFIED:
            key = (one.item.kind, one.item.source)
            newest[key] = max(newest.get(key, one.item.created), one.item.created)
    for (kind, source), created in sorted(newest.items())[:MAX_SOURCES]:
        yield sample(NEWEST, created.timestamp(), kind=kind, source=source)


def of_drills(memory: Memory) -> Iterator[Sample]:
    """The last drill of each source, whichever run made it."""
    for source, drill in sorted(memory.drills.items())[:MAX_SOURCES]:
        yield from _of_drill(source, drill)
    for source, created in sorted(memory.restored.items())[:MAX_SOURCES]:
        yield sample(RECOVERY_POINT, created.timestamp(), source=source)


def _of_drill(source: str, drill: Drill) -> Iterator[Sample]:
    for state in DrillState:
        yield sample(DRILL_STATE, drill.state is state, source=source, state=state)
    yield sample(DRILL_TIME, drill.at.timestamp(), source=source)
    if drill.state is DrillState.RESTORED and drill.restore_seconds is not None:
        yield sample(RESTORE_SECONDS, drill.restore_seconds, source=source)


def of_storage(used_ratio: float | None) -> Iterator[Sample]:
    """How full it is where backups stand, if that is known."""
    if used_ratio is not None:
        yield sample(STORAGE, used_ratio)


def of_missing(missing: Mapping[tuple[str, str], bool]) -> Iterator[Sample]:
    """Whether each thing that should have a backup has none."""
    for (kind, source), absent in sorted(missing.items())[:MAX_SOURCES]:
        yield sample(MISSING, absent, kind=kind, source=source)
