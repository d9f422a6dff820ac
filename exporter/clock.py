"""The machine's clocks."""

from __future__ import annotations

import os
import time
from datetime import datetime, tzinfo
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

_LOCAL_FILE = Path("/etc/localtime")
NAMELESS = "localtime"
"""What the zone of this machine is called where that is a file, and not a link that tells its name."""


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
        return ZoneInfo(name) if name else _zone_of_file()
    except (OSError, ValueError, KeyError):
        return datetime.now().astimezone().tzinfo or ZoneInfo("UTC")


def zone_name(now: datetime) -> str:
    """What `zone_called` knows the zone of a time by: its name or, for want of one, the offset (`+0545`)."""
    zone = now.tzinfo
    return zone.key if isinstance(zone, ZoneInfo) and zone.key else f"{now:%z}"


def zone_called(name: str) -> tzinfo | None:
    """The zone of such a name; None where this machine knows none."""
    try:
        if name == NAMELESS:
            return _zone_of_file()
        return datetime.strptime(name, "%z").tzinfo if name[:1] in ("+", "-") else ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        return None


def _zone_of_file() -> ZoneInfo:
    with _LOCAL_FILE.open("rb") as file:
        return ZoneInfo.from_file(file, key=str(_LOCAL_FILE.resolve()).partition("zoneinfo/")[2] or NAMELESS)
