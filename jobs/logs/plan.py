"""What is to be done with each log. A plan changes nothing: a dry run shows it, any other carries it out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.clients.open_files import FileId, Opener, writers_that_do_not_append
from jobs.logs.archives import Archive
from jobs.logs.cut import Cut, find_cut
from jobs.logs.places import Refused, idle
from jobs.logs.scan import Log, Skip, skip
from jobs.logs.syscalls import can_cut, protection
from jobs.logs.words import How

SLICE_BYTES = 1 << 30
"""What one archive takes of a live log at most: each gives its room back before the next is begun."""


@dataclass(frozen=True)
class Rules:
    """When a log is rotated, in bytes and seconds."""

    max_size: int
    max_container_size: int
    max_age: float


@dataclass(frozen=True)
class Step:
    """One log and what is to be done with it; `size` bytes of it go into archives."""

    log: Log
    how: How
    size: int
    why: str


def is_due(log: Log, rules: Rules, now: datetime) -> str:
    """Why a log is to be rotated; empty where it is not."""
    limit = rules.max_container_size if log.whole_lines_only else rules.max_size
    if log.moved_from and log.size:
        return "left aside by an earlier run"
    if log.size > limit:
        return f"above {limit >> 20} MB"
    age = now.timestamp() - log.status.st_mtime
    if age > rules.max_age and log.size and not log.whole_lines_only:
        return f"not written to for {age / 86400:.0f} days"
    return ""


def plan_logs(
    due: Iterable[tuple[Log, str]], rules: Rules, writers: Mapping[FileId, list[Opener]]
) -> tuple[list[Step], list[Skip]]:
    """A step for each log that is due, or the reason why it has to be left."""
    steps: list[Step] = []
    skips: list[Skip] = []
    for log, why in due:
        try:
            step = _step(log, why, rules, writers)
            if step:
                steps.append(step)
        except (OSError, Refused) as error:
            skips.append(skip(log.path, error))
    return steps, skips


def plan_retention(archives: Sequence[Archive], max_age_seconds: float, now: datetime) -> list[Archive]:
    """The archives that are past their time."""
    return [archive for archive in archives if now.timestamp() - archive.at > max_age_seconds]


def plan_cap(archives: Sequence[Archive], log_bytes: int, cap_bytes: int) -> list[Archive]:
    """The oldest archives whose removal brings logs and archives under the cap, or all where nothing does."""
    total = log_bytes + sum(archive.bytes for archive in archives)
    removed = []
    for archive in archives:
        if total <= cap_bytes:
            break
        removed.append(archive)
        total -= archive.bytes
    return removed


def cut_of(log: Log, descriptor: int, limit: int) -> Cut | None:
    """Where the log can be cut, for one archive; Refused where a container's log has no line end to cut at.

    The engine reads a log from its beginning, and stops at half a line.
    """
    cut = find_cut(descriptor, block_size(descriptor), min(limit, SLICE_BYTES))
    if cut and log.whole_lines_only and not cut.whole_lines:
        raise Refused("no_line_end", f"{log.path}: it has no line end near its end")
    return cut


def block_size(descriptor: int) -> int:
    """The size of a block of the file's file system."""
    return os.fstatvfs(descriptor).f_bsize


def _step(log: Log, why: str, rules: Rules, writers: Mapping[FileId, list[Opener]]) -> Step | None:
    _check_protection(log)
    if log.moved_from:
        return Step(log, How.RETIRE, log.size, why)
    if log.size <= rules.max_size and not log.whole_lines_only:
        # Old and small: only what nobody has open; a service that is quiet keeps its log.
        return Step(log, How.RETIRE, log.size, why) if _is_idle(log) else None
    descriptor = log.place.open(log.name, os.O_RDWR)
    try:
        holes = writers_that_do_not_append(writers, log.key)
        if not holes and can_cut(descriptor, block_size(descriptor)):
            cut = cut_of(log, descriptor, log.size)
            size = (log.size - 1) // block_size(descriptor) * block_size(descriptor)
            return Step(log, How.CUT, max(cut.size, size) if cut else 0, why) if cut else None
    finally:
        os.close(descriptor)
    reason = f"pid {holes[0].pid} ({holes[0].process}) does not append" if holes else "its file system cannot cut it"
    if log.whole_lines_only:
        raise Refused("cannot_cut", f"{log.path}: {reason}; it belongs to the Docker engine and is not moved")
    if log.source.reopen or _is_idle(log):
        return Step(log, How.MOVE, log.size, f"{why}; {reason}")
    raise Refused("cannot_cut", f"{log.path}: {reason}, and nothing is configured that has its writer open it anew")


def _is_idle(log: Log) -> bool:
    try:
        with idle(log.place, log.name):
            return True
    except Refused as error:
        if error.reason == "in_use":
            return False
        raise


def _check_protection(log: Log) -> None:
    """Refused for what chattr(1) forbids, which looks like a lack of permission elsewhere."""
    descriptor = log.place.open(log.name, os.O_RDONLY)
    try:
        kind = protection(descriptor)
    finally:
        os.close(descriptor)
    if kind:
        raise Refused(kind.replace("-", "_"), f"{log.path}: it is {kind} (chattr)")
