"""Figures for people: `text(0.614, "ratio")` is "61 %". The same in every locale."""

from __future__ import annotations

import math
from collections.abc import Callable

UNKNOWN = "\N{EN DASH}"
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def text(value: float | None, unit: str) -> str:
    """`value` with its unit, in about three digits, UNKNOWN for None and what is no number.

    `unit` is one of UNITS; ValueError names what is not.
    """
    if unit not in UNITS:
        raise ValueError(f"{unit!r} is no unit of a figure; the units are {', '.join(UNITS)}")
    if value is None or not math.isfinite(value):
        return UNKNOWN
    words = UNITS[unit](abs(value))
    return f"\N{MINUS SIGN}{words}" if value < 0 and any(digit in words for digit in "123456789") else words


def _ratio(value: float) -> str:
    percent = value * 100
    # Almost all is not all, and almost nothing is not nothing.
    if 0 < percent < 0.05:
        return "<0.1 %"
    if 99.95 <= percent < 100:
        return ">99.9 %"
    return f"{_digits(percent, 0 if 9.95 <= percent < 99 else 1)} %"


def _bytes(value: float) -> str:
    power = 0
    while value >= 999.5 and power < len(_BINARY) - 1:
        value, power = value / 1024, power + 1
    return f"{_short(value, most_decimals=2 if power else 0)} {_BINARY[power]}"


def _seconds(value: float) -> str:
    if value < 0.000_999_5:
        return "0 s" if value == 0 else f"{_short(value * 1e6)} µs"
    if value < 0.999_5:
        return f"{_short(value * 1e3)} ms"
    if value < 59.95:
        return f"{_short(value, most_decimals=1)} s"
    return _two_parts(value)


def _two_parts(seconds: float) -> str:
    for size, name, lesser_size, lesser in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        rounded = round(seconds / lesser_size)
        if rounded * lesser_size >= size:
            whole, rest = divmod(rounded, size // lesser_size)
            return f"{_digits(whole, 0)} {name}" + (f" {rest} {lesser}" if rest and whole < 1000 else "")
    raise AssertionError(f"{seconds} s are less than a minute")


def _short(value: float, most_decimals: int = 2) -> str:
    """Three digits, as far as they say something."""
    decimals = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return _digits(value, min(decimals, most_decimals))


def _digits(value: float, decimals: int) -> str:
    words = f"{value:,.{decimals}f}" if value < 1e15 else f"{value:.2e}"
    return words.rstrip("0").rstrip(".") if "." in words and "e" not in words else words


def _number(value: float) -> str:
    if 0 < value < 0.005:
        return "<0.01"
    return _short(value)


UNITS: dict[str, Callable[[float], str]] = {
    "ratio": _ratio,
    "bytes": _bytes,
    "bytes_per_second": lambda value: f"{_bytes(value)}/s",
    "per_second": lambda value: f"{_number(value)}/s",
    "seconds": _seconds,
    "cores": lambda value: f"{_number(value)} {'core' if value == 1 else 'cores'}",
    "count": _number,
}
"""Each unit and how a figure in it is written; the names are those of `jobs.performance.series.Unit`."""
