"""The machine's clocks."""

from __future__ import annotations

import os
import time
from datetime import datetime, tzinfo
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo


class SystemClock:
    """Wall time and monotonic time of this machine (jobs.core.ports.Clock)."""

    def now(self) -> datetime:
        """The wall time in the local zone."""
        return datetime.now(local_zone())

    def monotonic(self) -> float:
        """Seconds since some point in the past."""
        return time.monotonic()


@cache
def local_zone() -> tzinfo:
    """The zone of this machine (TZ, else /etc/localtime) with its clock changes.

    The standard library knows the local zone only by its offset of today, which is wrong for a time beyond
    the next clock change. Where no zone file can be read, today's offset it is.
    """
    try:
        name = os.environ.get("TZ", "").removeprefix(":")
        if name:
            return ZoneInfo(name)
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file, key="localtime")
    except (OSError, ValueError, KeyError):
        return datetime.now().astimezone().tzinfo or ZoneInfo("UTC")
