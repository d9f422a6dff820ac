"""Durations, as Prometheus writes them and as a text says them."""

from __future__ import annotations

MINUTE, HOUR, DAY = 60, 3600, 86400
_UNITS = ((DAY, "d", "day"), (HOUR, "h", "hour"), (MINUTE, "m", "minute"), (1, "s", "second"))


def duration(seconds: float) -> str:
    """Seconds as a duration of Prometheus's: `26h`, `90m`, `1500ms`; less than a millisecond is one."""
    if seconds != int(seconds):
        return f"{max(1, round(seconds * 1000))}ms"
    number, letter, _ = _in_whole_units(int(seconds))
    return f"{number}{letter}"


def window(seconds: float) -> str:
    """Seconds as the range of a selector: `[26h]`."""
    return f"[{duration(seconds)}]"


def spoken(seconds: float) -> str:
    """Seconds as a person says them: `26 hours`, `1 day`, `1.5 seconds`."""
    if seconds != int(seconds):
        return f"{seconds:g} seconds"
    number, _, word = _in_whole_units(int(seconds))
    return f"{number} {word}{'' if number == 1 else 's'}"


def _in_whole_units(seconds: int) -> tuple[int, str, str]:
    width, letter, word = next(unit for unit in _UNITS if seconds % unit[0] == 0 and (seconds or unit[0] == 1))
    return seconds // width, letter, word
