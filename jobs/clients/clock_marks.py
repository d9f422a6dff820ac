"""Notices that the wall clock was set since a task last acted: by a wrong date what is young would be deleted as old.

A mark holds the wall clock beside the time since boot, which nobody sets. Between two marks of one boot both must have
gone on by the same amount. Across a reboot only a clock that went backwards can be noticed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from jobs.clients.host import Host
from jobs.core.files import atomic_write

TOLERANCE_SECONDS = 3600.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MAX_BYTES = 4096


class ClockMarks:
    """The marks of a base directory, one for each task. Methods raise OSError where the file system refuses."""

    def __init__(
        self, base_dir: Path, *, uptime: Callable[[], float] | None = None, boot_id: Callable[[], str] | None = None
    ) -> None:
        self._directory = base_dir / "data" / "clock"
        self._uptime = uptime or Host().uptime_seconds
        self._boot_id = boot_id or (lambda: _BOOT_ID.read_text().strip())

    def jump(self, task: str, now: datetime) -> timedelta | None:
        """By how much the clock was set since `task` last acted, where that is more than an hour; else None.

        None as well where it never acted, or its mark cannot be understood: then there is nothing to compare with.
        """
        try:
            text = self._file(task).read_bytes()[:_MAX_BYTES]
            mark = json.loads(text)
            wall, uptime, boot = float(mark["wall"]), float(mark["since_boot"]), str(mark["boot_id"])
        except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
            return None
        passed = self._uptime() - uptime if boot == self._boot_id() else max(0.0, now.timestamp() - wall)
        jump = now.timestamp() - wall - passed
        return timedelta(seconds=jump) if abs(jump) > TOLERANCE_SECONDS else None

    def set(self, task: str, now: datetime) -> None:
        """Remember that `task` acts now, by this clock."""
        mark = {"wall": now.timestamp(), "since_boot": self._uptime(), "boot_id": self._boot_id()}
        atomic_write(self._file(task), json.dumps(mark).encode() + b"\n")

    def _file(self, task: str) -> Path:
        return self._directory / f"{task}.json"
