"""The quiet hours as time intervals of Alertmanager, which knows no hours that go on after midnight."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from exporter.bridge.hours import Hours
from jobs.core.cadence import WEEKDAYS

LOCAL = "Local"
"""Alertmanager's word for the zone of the machine that it runs on."""
_MIDNIGHT = time(0)


def time_intervals(hours: Hours, zone: str) -> Iterator[dict[str, Any]]:
    """The one or two intervals, each within a day, that hours in a zone are."""
    if hours.begin < hours.end:
        yield _interval(hours.begin, f"{hours.end:%H:%M}", hours.weekday, zone)
        return
    yield _interval(hours.begin, "24:00", hours.weekday, zone)
    if hours.end > _MIDNIGHT:
        following = None if hours.weekday is None else (hours.weekday + 1) % 7
        yield _interval(_MIDNIGHT, f"{hours.end:%H:%M}", following, zone)


def _interval(begin: time, end: str, weekday: int | None, zone: str) -> dict[str, Any]:
    days = {} if weekday is None else {"weekdays": [WEEKDAYS[weekday]]}
    return {"times": [{"start_time": f"{begin:%H:%M}", "end_time": end}], **days, "location": zone}


def zone_name(environment: Mapping[str, str], link: Path = Path("/etc/localtime")) -> str:
    """What the zone of this machine is called (TZ, else where /etc/localtime leads), or `Local` if it has no name.

    A name is better: Alertmanager may run in a container whose clock shows UTC.
    """
    name = environment.get("TZ", "").removeprefix(":") or str(link.resolve()).partition("zoneinfo/")[2]
    try:
        return ZoneInfo(name).key if name else LOCAL
    except (OSError, ValueError, KeyError):  # a zone that is not known is a KeyError
        return LOCAL
