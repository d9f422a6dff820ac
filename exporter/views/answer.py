"""The verdict, and the sentence that says it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from exporter.bridge.outgoing.problems import RANK
from exporter.views.matters import Matter, number
from exporter.views.upkeep import MENDED, NEVER, STALE, UNKNOWN, UNREAD
from jobs.core.model import Severity

if TYPE_CHECKING:
    from exporter.views.shapes import Verdict

_MANY = {
    "approval": "{count} approvals wait for you",
    "problem": "{count} problems stand",
    "task": "{count} tasks do not work",
    "alert": "{count} alerts fire",
    MENDED: "{count} alerts still fire after their proven repairs",
    "score": "{count} scores are low",
    "daemon": "{count} things are wrong with the exporter itself",
    "channel": "messages do not get through {count} channels",
    STALE: "{count} tasks have given no result for too long",
    NEVER: "{count} things have not run yet",
    UNREAD: "what is known cannot be read",
}
_MOST_GROUPS = 4
_IS_PATH = re.compile(r"\S*[/.]\S")
"""A sentence that begins with a name of this sort begins with it as it is."""
GOOD = "Nothing is wrong, and nothing waits for you."


def verdict_of(matters: Sequence[Matter]) -> Verdict:
    """Whether anything is wrong; what was not looked at is worse than good, and hides nothing that is known."""
    known = [matter for matter in matters if matter.group not in UNKNOWN]
    if any(matter.severity is Severity.CRITICAL for matter in known):
        return "critical"
    if known:
        return "attention"
    return "unknown" if matters else "good"


def answer_of(matters: Sequence[Matter]) -> str:
    """One sentence, the most urgent first."""
    if not matters:
        return GOOD
    groups: dict[str, list[Matter]] = {}
    for matter in sorted(matters, key=lambda matter: (-RANK[matter.severity], matter.group in UNKNOWN)):
        groups.setdefault(matter.group, []).append(matter)
    clauses = [clause for group, ones in groups.items() for clause in _clauses(group, ones)]
    shown, more = clauses[:_MOST_GROUPS], len(clauses) - _MOST_GROUPS
    if more > 0:
        shown.append(f"there is more ({number(more)})")
    text = f"{_listed(shown)}.{_repairs(matters)}"
    if all(matter.group in UNKNOWN for matter in matters):
        return f"Too little is known: {text}"
    return text if _IS_PATH.match(text) else f"{text[:1].upper()}{text[1:]}"


def _repairs(matters: Sequence[Matter]) -> str:
    """How many things are being mended without a person."""
    count = len({matter.repair["id"] for matter in matters if matter.repair})
    many = f" {number(count)[:1].upper()}{number(count)[1:]} repairs are under way."
    return "" if not count else " A repair is under way." if count == 1 else many


def _clauses(group: str, matters: Sequence[Matter]) -> list[str]:
    """What is said of the matters of a group: of agents, how many there are in each state."""
    if group != "agent":
        many = _MANY[group].format(count=number(len(matters)))
        return [matters[0].said if len(matters) == 1 else many]
    states: dict[str, list[Matter]] = {}
    for matter in matters:
        states.setdefault(matter.said.rpartition(" is ")[2], []).append(matter)
    return [
        ones[0].said if len(ones) == 1 else f"{number(len(ones))} agents are {state}" for state, ones in states.items()
    ]


def _listed(clauses: Sequence[str]) -> str:
    return clauses[0] if len(clauses) == 1 else f"{', '.join(clauses[:-1])} and {clauses[-1]}"
