"""What a verification exports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from jobs.core.checks import sample
from jobs.core.drills import Drill, DrillState
from jobs.core.model import Family, Sample
from jobs.verification.integrity import Checked, State
from jobs.verification.items import KINDS
from jobs.verification.state import Memory

MAX_SOURCES = 1000
"""Sources beyond these get no series of their own; reports and findings name them all."""
_RESULTS = (State.VERIFIED, State.FAILED, State.UNKNOWN)

SUCCESS = Family(
    name="sutazai_backup_success_ratio",
    help="Share of the checks of backups in recent runs that found a good one; a missing backup counts as a bad one.",
)
CHECKED = Family(
    name="sutazai_backups_checked",
    help="Backups by what the last verification found: verified, failed, or unknown as it could not be checked.",
    labels=("kind", "result"),
)
MISSING = Family(
    name="sutazai_backup_missing",
    help="1 if there is no backup at all of something that should have one, else 0.",
    labels=("kind", "source"),
)
NEWEST = Family(
    name="sutazai_backup_newest_verified_timestamp_seconds",
    help="When the newest backup of the source that was found whole was made.",
    labels=("kind", "source"),
)
MAX_AGE = Family(
    name="sutazai_backup_max_age_seconds", help="Age from which the newest backup of a source is too old (the setting)."
)
STORAGE = Family(name="sutazai_backup_storage_used_ratio", help="How full the file system of the backups is.")
STORAGE_LIMIT = Family(
    name="sutazai_backup_storage_limit_ratio",
    help="Use of the backups' file system from which it is a warning, and too much (the settings).",
    labels=("level",),
)
DRILL_STATE = Family(
    name="sutazai_restore_drill_state",
    help="1 for what came of the source's last restore drill: restored, failed, or unknown as it could not be made.",
    labels=("source", "state"),
)
DRILL_TIME = Family(
    name="sutazai_restore_drill_timestamp_seconds", help="When the source's last drill was.", labels=("source",)
)
RESTORE_SECONDS = Family(
    name="sutazai_restore_drill_restore_seconds",
    help="How long restoring took in the source's last drill (what the recovery time objective is about).",
    labels=("source",),
)
RESTORE_LIMIT = Family(
    name="sutazai_restore_drill_limit_seconds", help="How long a restore may take in a drill (the setting)."
)
RECOVERY_POINT = Family(
    name="sutazai_backup_recovery_point_timestamp_seconds",
    help="When the newest backup of the source that was restored in a drill was made.",
    labels=("source",),
)
LEFTOVERS = Family(
    name="sutazai_restore_drill_leftovers",
    help="Scratch databases and clusters of killed runs that the last verification found and removed.",
)
FAMILIES = (
    *(SUCCESS, CHECKED, MISSING, NEWEST, MAX_AGE, STORAGE, STORAGE_LIMIT),
    *(DRILL_STATE, DRILL_TIME, RESTORE_SECONDS, RESTORE_LIMIT, RECOVERY_POINT, LEFTOVERS),
)


def of_files(checked: Sequence[Checked]) -> Iterator[Sample]:
    """How many backups of each kind were found to be what, and the newest good one of each source."""
    counts = Counter((one.item.kind, one.state) for one in checked)
    for kind in KINDS:
        for result in _RESULTS:
            yield sample(CHECKED, counts[kind, result], kind=kind, result=result)
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
