"""Where a figure stands on an axis, and which round figures are written there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count

from jobs.pages import figures

_CLOCK = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_BINARY = ("bytes", "bytes_per_second")
_MOST_INTERVALS = 5
_LEAST = 1e-30
# A line that hardly moves is shown from near its least; any other from zero, as its height says how much it is.
_HARDLY = 0.1


@dataclass(frozen=True)
class Linear:
    """A scale of leather's: from `low` to `high` in even steps; places have one decimal, to keep the drawing small."""

    low: float
    high: float
    marks: tuple[float, ...] = ()

    def ticks(self) -> tuple[float, ...]:
        """What is written on the axis."""
        return self.marks

    def contains(self, _value: float) -> bool:
        """True: a scale is made for its values. leather would warn of what rounding has put beside it."""
        return True

    def project(self, value: float, start: float, end: float) -> float:
        """Where between `start` and `end` the value stands."""
        return round(start + (value - self.low) / (self.high - self.low) * (end - start), 1)


@dataclass(frozen=True)
class Places:
    """A scale of leather's for things in a row, known by their numbers: the first is the topmost."""

    names: tuple[str, ...]

    def ticks(self) -> tuple[str, ...]:
        """What is written on the axis."""
        return self.names

    def contains(self, _name: str) -> bool:
        """True: there is a place for every name."""
        return True

    def project(self, name: str, start: float, end: float) -> float:
        """The middle of a place."""
        return round(end - (self.names.index(name) + 0.5) * (end - start) / len(self.names), 1)

    def project_interval(self, name: str, start: float, end: float) -> tuple[float, float]:
        """The two edges of what stands at a place."""
        middle, half = self.project(name, start, end), 0.32 * (end - start) / len(self.names)
        return round(middle - half, 1), round(middle + half, 1)


def round_marks(values: Sequence[float], unit: str, *, from_zero: bool = False) -> list[float]:
    """Round figures, no two of them written alike; an axis from the first to the last has room for all values."""
    low, high = min(values), max(values)
    if low >= 0 and (from_zero or low == high or high - low > _HARDLY * high):
        low = 0.0
    if high <= 0 and (from_zero or low == high):
        high = 0.0
    if low == high:
        high = low + 1
    candidates = (_multiples(low, high, step) for step in _steps((high - low) / _MOST_INTERVALS, unit))
    # Of values that differ by a rounding alone a step may see one multiple, and an axis has two ends.
    return next(marks for marks in candidates if len({figures.text(mark, unit) for mark in marks}) == len(marks) > 1)


def _multiples(low: float, high: float, step: float) -> list[float]:
    return [place * step for place in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _steps(least: float, unit: str) -> Iterator[float]:
    """Round steps from `least` on, without end."""
    if unit in _BINARY:
        steps: Iterator[float] = (2.0**power for power in count())
    elif unit == "seconds" and least > 1:
        steps = chain(_CLOCK, (86400 * step for step in _decimal(1)))
    else:
        steps = _decimal(max(least, 1 if unit == "count" else _LEAST))
    return (step for step in steps if step >= least)


def _decimal(least: float) -> Iterator[float]:
    powers = count(math.floor(math.log10(least)))
    return (factor * 10.0**power for power in powers for factor in (1, 2, 5))
