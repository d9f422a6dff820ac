"""Who gets which alert, and when."""

from __future__ import annotations

from typing import Any

from exporter.alertmanager.inhibition import PLACE, WATCHDOG
from exporter.alertmanager.settings import CriticalRoute, OtherRoute

QUIET_HOURS = "quiet-hours"
WATCHDOG_RECEIVER, BRIDGE, CRITICAL, OTHER = "watchdog", "bridge", "critical", "other"

_GROUPS = ["alertname", PLACE, "instance"]
_UNITS = (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


def route(critical: CriticalRoute, other: OtherRoute, *, quiet: bool) -> dict[str, Any]:
    """The tree of routes: the Watchdog, the bridge (which lets everything go on), what is critical, and the rest."""
    rest = {"mute_time_intervals": [QUIET_HOURS]} if quiet else {}
    return {
        "receiver": OTHER,
        "group_by": _GROUPS,
        **_times(other),
        "routes": [
            _watchdog(),
            _bridge(),
            {"receiver": CRITICAL, "matchers": ['severity="critical"'], **_times(critical)},
            # The root takes only what no other route has taken, and the bridge takes everything.
            {"receiver": OTHER, **rest},
        ],
    }


def duration(seconds: float) -> str:
    """Seconds in the greatest unit of Prometheus's durations in which they are whole, at least `1ms`."""
    milliseconds = max(round(seconds * 1000), 1)
    unit, size = next((unit, size) for unit, size in _UNITS if milliseconds % size == 0)
    return f"{milliseconds // size}{unit}"


def _watchdog() -> dict[str, Any]:
    """It always fires: told again and again it shows that alerts get through, and it is no news to a person."""
    return {
        "receiver": WATCHDOG_RECEIVER,
        "matchers": [f'alertname="{WATCHDOG}"'],
        "group_by": ["alertname"],
        "group_wait": "0s",
        "group_interval": "1m",
        "repeat_interval": "5m",
    }


def _bridge() -> dict[str, Any]:
    """Every alert, in a request of its own: `...` groups by all labels.

    So no request outgrows the exporter's limit (1 MiB), however many alerts there are, none waits for another's group,
    and one that is refused holds up no other. Alertmanager tries again for as long as `group_interval`, at least 10
    seconds, and then anew; what is repeated is known to the inbox already, unless it has lost it.
    """
    return {
        "receiver": BRIDGE,
        "continue": True,
        "group_by": ["..."],
        "group_wait": "0s",
        "group_interval": "10s",
        "repeat_interval": "1h",
    }


def _times(of: CriticalRoute | OtherRoute) -> dict[str, str]:
    return {
        "group_wait": duration(of.wait_seconds),
        "group_interval": duration(of.interval_seconds),
        "repeat_interval": duration(of.repeat_hours * 3600),
    }
