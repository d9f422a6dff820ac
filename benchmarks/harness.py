"""Measuring two sides in turns, and what the numbers say."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class NotMeasured(Exception):
    """What a figure needs is not there; the message is one line that says how to get it."""


@dataclass(frozen=True)
class Goal:
    """What a figure should be. `holds` gets the figure."""

    text: str
    holds: Callable[[Figure], bool]


@dataclass(frozen=True)
class Figure:
    """One measured quantity of ours, run by run, and of a peer's where there is one. Less is better.

    Run `i` of ours and run `i` of the peer's followed one another: a slow moment of the machine met both.
    """

    what: str
    unit: str
    ours: Sequence[float]
    peer: Sequence[float] = ()
    peer_name: str = ""
    goal: Goal | None = None

    @property
    def ratio(self) -> float | None:
        """Ours to the peer's: the median of the pairs. None without a peer."""
        if not self.peer:
            return None
        return statistics.median(ours / peer for ours, peer in zip(self.ours, self.peer, strict=True))

    @property
    def met(self) -> bool | None:
        """Whether the goal was met; None without a goal."""
        return None if self.goal is None else self.goal.holds(self)


@dataclass(frozen=True)
class Gap:
    """What could not be measured, and why."""

    what: str
    reason: str


@dataclass(frozen=True)
class Row:
    """One module's measurements. `measure` gets the number of pairs, and gives what it has as it has it."""

    name: str
    summary: str
    measure: Callable[[int], Iterator[Figure | Gap]]
    runs: int = 5

    def results(self, runs: int | None) -> Iterator[Figure | Gap]:
        """All that `measure` gives, and a gap where it could not go on: the other rows are still measured."""
        try:
            yield from self.measure(runs or self.runs)
        except (NotMeasured, RuntimeError, LookupError, OSError) as error:
            yield Gap("the rest", str(error).partition("\n")[0] or type(error).__name__)


def at_most(limit: float, unit: str) -> Goal:
    """The median of ours is not above the limit."""
    return Goal(f"≤ {limit:g} {unit}", lambda figure: statistics.median(figure.ours) <= limit)


def within(limit: float, unit: str) -> Goal:
    """The median of ours, which is a change, is at most so far from 0."""
    return Goal(f"± {limit:g} {unit}", lambda figure: abs(statistics.median(figure.ours)) <= limit)


def ratio_at_most(limit: float) -> Goal:
    """Ours is at most this part of the peer's, pair by pair."""
    return Goal(f"≤ {fraction(limit)} of it", lambda figure: figure.ratio is not None and figure.ratio <= limit)


def in_turns(sides: Mapping[str, Callable[[], T]], runs: int) -> dict[str, list[T]]:
    """Call every side `runs` times, one after the other: A B A B."""
    results: dict[str, list[T]] = {name: [] for name in sides}
    for _ in range(runs):
        for name, measure in sides.items():
            results[name].append(measure())
    return results


def percentile(values: Sequence[float], percent: float) -> float:
    """The least of the values that so many percent of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100).__int__() - 1)]


def fraction(ratio: float) -> str:
    """A ratio as a person reads it: 1/52, 0.83, 2.4."""
    return f"1/{1 / ratio:.0f}" if 0 < ratio <= 0.2 else f"{ratio:.2g}" if ratio < 10 else f"{ratio:.0f}"


def spread(values: Sequence[float]) -> str:
    """The median, and least and greatest where there are several."""
    middle = short(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({short(min(values))}-{short(max(values))})"


def short(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
