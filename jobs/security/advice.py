"""What to do first, made of the findings: their remedies by how bad and how many they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.core.model import Severity
from jobs.security.looking import State
from jobs.security.scan import Scan
from jobs.security.scanner import RANK
from jobs.security.standing import Found
from jobs.security.texts import counted

MAX_RECOMMENDATIONS = 20


@dataclass(frozen=True)
class Advice:
    """One thing to do, and what it is about."""

    text: str
    remedy: str
    severity: Severity


def advice(scan: Scan, limit: int = MAX_RECOMMENDATIONS) -> list[Advice]:
    """What to do: see to scanners that are unknown, then the worst first, each remedy once however much it mends."""
    by_remedy: dict[str, list[Found]] = {}
    for one in scan.open:
        if one.weakness.remedy:
            by_remedy.setdefault(one.weakness.remedy, []).append(one)
    worst_first = sorted(by_remedy.items(), key=lambda item: (-RANK[item[1][0].severity], -len(item[1])))
    mended = [Advice(_about(found), remedy, found[0].severity) for remedy, found in worst_first]
    return [*_about_scanners(scan), *mended][:limit]


def _about(found: Sequence[Found]) -> str:
    first = found[0].weakness
    if len(found) == 1:
        return f"{first.rule}: {first.subject}"
    rules = sorted({one.weakness.rule for one in found})
    named = ", ".join(rules[:3]) + (f" and {len(rules) - 3} more" if len(rules) > 3 else "")
    return f"{named}: {first.subject} and {counted(len(found) - 1, 'more', 'more')}"


def _about_scanners(scan: Scan) -> list[Advice]:
    return [
        Advice(f"{one.scanner.name} is unknown: {one.reason}", one.remedy or "see why it failed", Severity.MEDIUM)
        for one in scan.of_state(State.UNKNOWN)
    ]
