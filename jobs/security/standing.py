"""What has become of each finding since the scans before: new, known since, not looked at this time, or fixed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from jobs.core.model import Severity
from jobs.security.looking import Looked, State
from jobs.security.memory import Known, Memory
from jobs.security.scanner import RANK, Scanner, Weakness


class Standing(StrEnum):
    """How a finding stands to former scans. Unseen: it was found before, and nobody has looked there this time."""

    NEW = "new"
    KNOWN = "known"
    UNSEEN = "unseen"


@dataclass(frozen=True)
class Found:
    """A finding of this scan, or one of a former scan that may still be there; `why` says why it was not looked at."""

    known: Known
    standing: Standing
    why: str = ""

    @property
    def weakness(self) -> Weakness:
        """What is weak."""
        return self.known.weakness

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return self.known.weakness.severity


@dataclass(frozen=True)
class Compared:
    """`found` and `fixed`, the worst first. `dormant` is remembered without being told: its scanner is switched off.

    `below` counts what was seen below the threshold.
    """

    found: Sequence[Found]
    fixed: Sequence[Known]
    dormant: Sequence[Known]
    below: Mapping[Severity, int]


class Comparison:
    """What was seen now, held against what is remembered."""

    def __init__(self, looked: Sequence[Looked], memory: Memory, *, now: datetime, full: bool) -> None:
        self._looked = {one.scanner.name: one for one in looked}
        self._memory, self._now, self._full = memory, now, full
        self._before = {known.identity: known for known in memory.known}
        self._seen = _worst_by_identity(looked)

    def compared(self, threshold: Severity) -> Compared:
        """All of it, from `threshold` up."""
        rank = RANK[threshold]
        below = Counter(w.severity for _, w in self._seen.values() if RANK[w.severity] < rank)
        found = [self._seen_now(key) for key, (_, w) in self._seen.items() if RANK[w.severity] >= rank]
        fixed, dormant = list[Known](), list[Known]()
        for key, known in self._before.items():
            looked = self._looked.get(known.scanner)
            if key in self._seen or looked is None or RANK[known.weakness.severity] < rank:
                continue
            if looked.state is State.OFF:
                dormant.append(known)
            elif why := self._why_it_may_be_there(known, looked):
                found.append(Found(known, Standing.UNSEEN, why))
            else:
                fixed.append(known)
        found.sort(key=lambda one: _order(one.known))
        return Compared(found, sorted(fixed, key=_order), dormant, below)

    def _seen_now(self, key: str) -> Found:
        scanner, weakness = self._seen[key]
        before = self._before.get(key)
        cut_at = self._memory.cut_at
        forgotten = cut_at is not None and RANK[weakness.severity] <= RANK[cut_at]
        known = Known(
            area=scanner.area,
            scanner=scanner.name,
            weakness=weakness,
            first_seen=before.first_seen if before else self._now,
            last_seen=self._now,
            standard=not self._full or (before is not None and before.standard),
        )
        return Found(known, Standing.KNOWN if before or forgotten else Standing.NEW)

    def _why_it_may_be_there(self, known: Known, looked: Looked) -> str:
        """Why nobody can say that it is fixed; empty where it is."""
        if looked.state is State.LEFT_OUT:
            return "only a full scan looks there"
        if looked.state is State.UNKNOWN:
            return f"{looked.scanner.name} is unknown this time"
        if not (self._full or known.standard):
            return "only a full scan has seen it"
        if looked.state is State.PARTIAL and looked.seen.may_hide(known.weakness):
            return f"{looked.scanner.name} has missed something"
        return ""


def _worst_by_identity(looked: Sequence[Looked]) -> dict[str, tuple[Scanner, Weakness]]:
    seen: dict[str, tuple[Scanner, Weakness]] = {}
    for scanner, weakness in _all_seen(looked):
        key = weakness.identity(scanner.area)
        if key not in seen or RANK[weakness.severity] > RANK[seen[key][1].severity]:
            seen[key] = scanner, weakness
    return seen


def _all_seen(looked: Sequence[Looked]) -> Iterator[tuple[Scanner, Weakness]]:
    for one in looked:
        for weakness in one.seen.weaknesses:
            yield one.scanner, weakness


def _order(known: Known) -> tuple[int, str, str, str]:
    """The worst first, then by area, rule and subject: the same in every run."""
    return -RANK[known.weakness.severity], known.area, known.weakness.rule, known.weakness.subject
