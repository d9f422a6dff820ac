"""The machine's clocks."""

from __future__ import annotations

import time
from datetime import datetime


class SystemClock:
    """Wall time and monotonic time of this machine (jobs.core.ports.Clock)."""

    def now(self) -> datetime:
        """The wall time in the local zone."""
        return datetime.now().astimezone()

    def monotonic(self) -> float:
        """Seconds since some point in the past."""
        return time.monotonic()
