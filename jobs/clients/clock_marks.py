"""Marks of the clock that tasks leave when they act, to notice at their next run that it was set meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from jobs.core.clock_jump import ClockMark
from jobs.core.files import atomic_write, read_small

_MAX_BYTES = 4096


class ClockMarks:
    """The marks of a base directory, one for each task."""

    def __init__(
        self, base_dir: Path, *, uptime: Callable[[], float] | None = None, boot_id: Callable[[], str] | None = None
    ) -> None:
        from jobs.clients.host import Host  # a daemon asks once a day

        self._directory = base_dir / "data" / "clock"
        self._uptime, self._boot_id = uptime or Host().uptime_seconds, boot_id or Host().boot_id

    def at(self, now: datetime) -> ClockMark:
        """A mark of this moment."""
        return ClockMark(wall=now, since_boot_seconds=self._uptime(), boot_id=self._boot_id())

    def jump(self, task: str, now: datetime) -> timedelta | None:
        """By how much the clock was set since `task` last acted, where that is more than an hour; else None.

        None as well where it never acted, or its mark cannot be read: then there is nothing to compare with, and
        where the file system is to blame, `set` says so.
        """
        try:
            mark = ClockMark.model_validate_json(read_small(self._file(task), _MAX_BYTES))
            return mark.jump(self.at(now))
        except (OSError, ValueError, TypeError):  # TypeError: a wall time without its zone
            return None

    def set(self, task: str, now: datetime) -> None:
        """Remember that `task` acts now, by this clock; raise OSError where that cannot be written."""
        atomic_write(self._file(task), self.at(now).model_dump_json().encode() + b"\n")

    def _file(self, task: str) -> Path:
        return self._directory / f"{task}.json"
