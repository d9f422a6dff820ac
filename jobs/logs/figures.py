"""What the log rotation exports, and how its figures come about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from jobs.core.model import Family, MetricType, Sample
from jobs.logs.words import REASONS, How

if TYPE_CHECKING:
    from jobs.core.clock_jump import ClockMark
    from jobs.logs.memory import State
    from jobs.logs.scan import Log

MIN_GROWTH_SECONDS = 60.0
AGE, CAP = "age", "cap"
_COUNTER = MetricType.COUNTER

SIZE = Family(name="sutazai_log_size_bytes", help="Size of the live logs of a directory.", labels=("directory",))
FILES = Family(name="sutazai_log_files", help="Number of live logs in a directory.", labels=("directory",))
GROWTH = Family(
    name="sutazai_log_growth_bytes_per_second",
    help="How fast the logs of a directory grew between the last two runs, what was rotated included.",
    labels=("directory",),
)
GROWTH_LIMIT = Family(
    name="sutazai_log_growth_limit_bytes_per_second", help="Growth from which a directory's logs grow too fast."
)
ARCHIVE_BYTES = Family(name="sutazai_log_archive_bytes", help="Size of all archives of logs.")
ARCHIVE_FILES = Family(name="sutazai_log_archives", help="Number of archives of logs.")
TOTAL_LIMIT = Family(name="sutazai_log_total_limit_bytes", help="What live logs and archives may have together.")
ROTATED = Family(
    name="sutazai_log_rotated_total",
    help="Logs rotated, by how: cut at the head, moved aside, or retired whole.",
    labels=("method",),
    type=_COUNTER,
)
ROTATED_BYTES = Family(
    name="sutazai_log_rotated_bytes_total", help="Bytes moved from logs into archives.", type=_COUNTER
)
DELETED = Family(
    name="sutazai_log_archives_deleted_total",
    help="Archives deleted, because of their age or of the cap on the total.",
    labels=("reason",),
    type=_COUNTER,
)
SKIPPED = Family(
    name="sutazai_log_files_skipped",
    help="Logs and directories that the last rotation had to leave as they were, by reason.",
    labels=("reason",),
)
DELETED_OPEN = Family(
    name="sutazai_log_deleted_open_bytes",
    help="Room taken by deleted files that processes hold open; absent where not every process can be looked at.",
)
DELETED_OPEN_LIMIT = Family(
    name="sutazai_log_deleted_open_limit_bytes", help="Room of deleted open files from which it is too much."
)
UNLIMITED = Family(
    name="sutazai_containers_without_log_limit", help="Containers whose log is written to a file without a limit."
)
FAMILIES = (
    SIZE, FILES, GROWTH, GROWTH_LIMIT, ARCHIVE_BYTES, ARCHIVE_FILES, TOTAL_LIMIT, ROTATED, ROTATED_BYTES, DELETED,
    SKIPPED, DELETED_OPEN, DELETED_OPEN_LIMIT, UNLIMITED,
)  # fmt: skip


def sample(family: Family, value: float, **labels: str) -> Sample:
    """One value of a family."""
    return Sample(family=family.name, value=value, labels=labels)


def sizes(logs: Iterable[Log], labels: Iterable[str]) -> dict[str, int]:
    """Bytes of the logs of each label; what was seen of a place that could not be looked at whole is no size of it."""
    total = dict.fromkeys(labels, 0)
    for log in logs:
        if log.source.label in total:
            total[log.source.label] += log.size
    return total


def growth(state: State, now_sizes: Mapping[str, int], now: ClockMark) -> dict[str, float]:
    """Bytes a second by which each directory's logs have grown since the state was put down.

    What was put down is the size after that run's own rotation, so that rotating is not shrinking. Where too little
    time has passed the growth is what it was, and the next run measures from the same state.
    """
    if state.sizes_at is None:
        return {}
    seconds = now.seconds_since(state.sizes_at)
    if seconds < MIN_GROWTH_SECONDS:
        return {label: rate for label, rate in state.growth.items() if label in now_sizes}
    return {
        label: max(0.0, (size - state.sizes[label]) / seconds)
        for label, size in now_sizes.items()
        if label in state.sizes
    }


def measured_from(
    state: State, before: Mapping[str, int], after: Mapping[str, int], now: ClockMark
) -> tuple[dict[str, int], ClockMark]:
    """What the next run measures growth from, and since when; the sizes are those before this run's rotation and after.

    Of runs that follow one another too soon the first one's sizes stay, less what has been rotated since: else what
    grew between them would never be seen.
    """
    at = state.sizes_at
    if at is None or not 0 <= now.seconds_since(at) < MIN_GROWTH_SECONDS:
        return dict(after), now
    return {label: size + after.get(label, 0) - before.get(label, 0) for label, size in state.sizes.items()}, at


def skipped_samples(skipped: Mapping[str, int]) -> list[Sample]:
    """The value for every reason, zeros included."""
    return [sample(SKIPPED, skipped.get(reason, 0), reason=reason) for reason in REASONS]


def counter_samples(rotated: Mapping[str, int], rotated_bytes: int, deleted: Mapping[str, int]) -> list[Sample]:
    """Increments, zeros included: a counter that is not there before its first event hides it from rate()."""
    return [
        *(sample(ROTATED, rotated.get(how, 0), method=how.value) for how in How),
        sample(ROTATED_BYTES, rotated_bytes),
        *(sample(DELETED, deleted.get(reason, 0), reason=reason) for reason in (AGE, CAP)),
    ]
