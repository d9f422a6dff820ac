"""The quiet hours as time intervals of Alertmanager, which knows no hours that go on after midnight."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from exporter.bridge.hours import Hours
from exporter.clock import NAMELESS
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


def location(zone: tzinfo | None) -> str:
    """What Alertmanager calls the zone of this machine (`exporter.clock.local_zone`): `Local` if it has no name.

    A name is better: Alertmanager may run in a container whose clock shows UTC.
    """
    return zone.key if isinstance(zone, ZoneInfo) and zone.key and zone.key != NAMELESS else LOCAL
