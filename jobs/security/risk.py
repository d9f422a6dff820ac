"""The score of a scan and its risk: what findings and scanners that failed amount to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum

from jobs.core.model import Deduction, Severity
from jobs.security.looking import Looked, State

POINTS: Mapping[Severity, float] = {Severity.CRITICAL: 25, Severity.HIGH: 10, Severity.MEDIUM: 3}
"""What each finding takes off the score: the scale that SutazAI has always had. Below medium nothing is taken off."""
UNKNOWN_POINTS = 10.0
"""A scanner that did not look costs as much as a high finding: there may be one."""
PARTIAL_POINTS = 3.0
"""One that has missed something costs as much as a medium finding."""
MAX_HIGH = 5
"""More high findings than this are a high risk."""
MAX_MEDIUM = 10
"""More medium findings than this are a medium risk."""


class Risk(IntEnum):
    """The risk as a whole; its value is the verdict of the run, which is its exit code."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2
    CRITICAL = 3


def deductions(counts: Mapping[Severity, int], looked: Sequence[Looked]) -> list[Deduction]:
    """What is taken off 100, by reason: the findings of each severity, and each scanner that is not ok."""
    taken = [
        Deduction(points=points * counts.get(severity, 0), reason=f"{severity}_findings")
        for severity, points in POINTS.items()
        if counts.get(severity)
    ]
    costs = {State.UNKNOWN: UNKNOWN_POINTS, State.PARTIAL: PARTIAL_POINTS}
    for one in looked:
        if one.state in costs:
            name = one.scanner.name.replace("-", "_")
            taken.append(Deduction(points=costs[one.state], reason=f"scanner_{name}_{one.state}"))
    return taken


def risk(counts: Mapping[Severity, int], looked: Sequence[Looked]) -> Risk:
    """The risk of so many findings. It is not low where a scanner is unknown, or where none has looked at all."""
    if counts.get(Severity.CRITICAL):
        return Risk.CRITICAL
    high, medium = counts.get(Severity.HIGH, 0), counts.get(Severity.MEDIUM, 0)
    if high > MAX_HIGH:
        return Risk.HIGH
    unknown = any(one.state is State.UNKNOWN for one in looked) or not any(one.looked for one in looked)
    return Risk.MEDIUM if high or medium > MAX_MEDIUM or unknown else Risk.LOW
