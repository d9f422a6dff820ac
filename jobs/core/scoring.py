"""Scores from 0 to 100 that explain themselves: 100 minus named deductions."""

from __future__ import annotations

from collections.abc import Iterable

from jobs.core.model import Deduction, Family, Sample

DEDUCTION_FAMILY = Family(
    name="sutazai_score_deduction_points",
    help="Points taken off a score, by reason.",
    labels=("score", "reason"),
)


def score(deductions: Iterable[Deduction]) -> float:
    """100 minus the points of all deductions, never below 0."""
    return max(0.0, 100.0 - sum(d.points for d in deductions))


def deduction_samples(name: str, deductions: Iterable[Deduction]) -> list[Sample]:
    """The deductions of the score called `name` (`health`) as samples; one reason given twice is added up."""
    points: dict[str, float] = {}
    for deduction in deductions:
        points[deduction.reason] = points.get(deduction.reason, 0.0) + deduction.points
    return [
        Sample(family=DEDUCTION_FAMILY.name, labels={"score": name, "reason": reason}, value=value)
        for reason, value in points.items()
    ]
