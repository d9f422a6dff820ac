"""How a period compares with the one before, figure by figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from jobs.core.ports import Summary
from jobs.performance.periods import Period
from jobs.performance.series import CONTAINER_RESTARTS, KINDS, PREFIX, Kind, Worse

_KIND_OF_NAME = {kind.name: kind for kind in KINDS}


class Verdict(StrEnum):
    """What became of a figure. Not comparable: too little of one of the periods is known of it."""

    WORSE = "worse"
    BETTER = "better"
    SAME = "same"
    NEW = "new"
    GONE = "gone"
    NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Known:
    """How much of a period and the one before must be known, and how much of all figures is, in seconds."""

    needed: float
    needed_before: float
    seconds: float
    before_seconds: float

    @property
    def is_comparable(self) -> bool:
        """Whether the two can be compared at all."""
        return self.seconds >= self.needed and self.before_seconds >= self.needed_before


@dataclass(frozen=True)
class Change:
    """A figure in a period and in the one before; None where it was not there."""

    kind: Kind
    labels: tuple[str, ...]
    now: Summary | None
    before: Summary | None
    verdict: Verdict

    @property
    def difference(self) -> float | None:
        """How much more it is, in the figure's own unit."""
        if self.now is None or self.before is None:
            return None
        return compared_by(self.kind, self.now) - compared_by(self.kind, self.before)

    @property
    def relative(self) -> float | None:
        """How much more it is, as a share of what it was; None where that is beyond all numbers."""
        if self.before is None or self.difference is None:
            return None
        was = compared_by(self.kind, self.before)
        share = self.difference / abs(was) if was else math.inf
        return share if math.isfinite(share) else None

    @property
    def weight(self) -> float:
        """How many times the least change worth a word it is: so changes in different units have an order."""
        return abs(self.difference or 0.0) / (self.kind.notable or 1.0)


def compared_by(kind: Kind, summary: Summary) -> float:
    """The one number that stands for a period: p95 of what is told in percentiles, the last count, else the mean."""
    if kind.percentiles:
        return summary.p95
    return summary.maximum if kind is CONTAINER_RESTARTS else summary.mean


def compared_name(kind: Kind) -> str:
    """What that number is called."""
    return "p95" if kind.percentiles else "maximum" if kind is CONTAINER_RESTARTS else "mean"


def known_of(period: Period, now: Mapping[str, Summary], before: Mapping[str, Summary], min_percent: float) -> Known:
    """What is known of both periods at all: as long as some figure was, in the one of which most is."""
    longest = (max((one.seconds for one in summaries.values()), default=0.0) for summaries in (now, before))
    share = min_percent / 100
    return Known(period.seconds * share, period.before_seconds * share, *longest)


def compare(now: Mapping[str, Summary], before: Mapping[str, Summary], known: Known) -> list[Change]:
    """Every figure of the two periods, in the order of the kinds and of the names."""
    found = []
    for name in now.keys() | before.keys():
        kind = _KIND_OF_NAME.get(name.removeprefix(PREFIX).partition("/")[0])
        # A figure of a version that knew others, or not by these labels, is not told of.
        if kind and len(labels := kind.labels(name)) == len(kind.parts):
            was, is_now = before.get(name), now.get(name)
            found.append(Change(kind, labels, is_now, was, _verdict(kind, is_now, was, known)))
    places = {kind: place for place, kind in enumerate(KINDS)}
    return sorted(found, key=lambda change: (places[change.kind], change.labels))


def _verdict(kind: Kind, now: Summary | None, before: Summary | None, known: Known) -> Verdict:
    enough_now = now is not None and now.seconds >= known.needed
    enough_before = before is not None and before.seconds >= known.needed_before
    if before is None and enough_now and known.is_comparable:
        return Verdict.NEW
    if now is None and enough_before and known.is_comparable:
        return Verdict.GONE
    if now is None or before is None or not (enough_now and enough_before):
        return Verdict.NOT_COMPARABLE
    difference = compared_by(kind, now) - compared_by(kind, before)
    if kind.worse is Worse.NEITHER or abs(difference) < kind.notable:
        return Verdict.SAME
    return Verdict.WORSE if (difference > 0) == (kind.worse is Worse.UP) else Verdict.BETTER


def most_changed_first(changes: Iterable[Change], verdict: Verdict) -> Sequence[Change]:
    """Those of that verdict, what changed most first."""
    return sorted((one for one in changes if one.verdict is verdict), key=lambda one: -one.weight)
