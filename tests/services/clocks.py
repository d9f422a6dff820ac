"""Time that a test sets: a clock for what takes one as an argument, libfaketime for a whole process."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.core.files import atomic_write


class FakeClock:
    """A `jobs.core.ports.Clock` that stands still until it is moved."""

    def __init__(self, now: datetime | None = None) -> None:
        self._now = now or datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
        self._monotonic = 1000.0

    def now(self) -> datetime:
        """The wall time."""
        return self._now

    def monotonic(self) -> float:
        """The time that nobody sets."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks; the wall clock counts instants, so it follows changes of its zone."""
        zone = self._now.tzinfo
        self._now = (self._now.astimezone(UTC) + timedelta(seconds=seconds)).astimezone(zone)
        self._monotonic += seconds

    def set_wall(self, now: datetime) -> None:
        """Set the wall clock, as an operator or NTP does; no time passes."""
        self._now = now


class Faketime:
    """Moves the wall clock of the processes that are started with `environment`; their monotonic time stays true.

    File times are not faked: a file that such a process writes bears the real time.
    """

    def __init__(self, directory: Path) -> None:
        library = _library()
        self._file = directory / "faketime"
        self.move(0)
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            # Else the file is read every ten seconds only.
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def move(self, seconds: int) -> None:
        """Put the wall clock that far ahead of the real one (negative: behind it), at once."""
        atomic_write(self._file, f"{seconds:+d}\n".encode(), mode=0o644)


def _library() -> Path:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("libfaketime is not installed: apt install libfaketime (or run tests/services/install)")
    return found[0]
