"""Many weaknesses of one kind below one directory become one finding, in memory that does not grow with their number.

A directory with more than the limit below it is one heap; what is below a deeper heap does not count again. The whole
of the machine is never one heap: nobody could set out from it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from jobs.core.model import Severity
from jobs.security.filesystem.faults import Fault, Heap
from jobs.security.scanner import RANK


@dataclass
class _Pile:
    """The faults of one rule in one directory: all, or beyond the limit only their number."""

    faults: list[Fault] = field(default_factory=list)
    number: int = 0
    example: Fault | None = None
    severity: Severity = Severity.INFO

    def add(self, fault: Fault, limit: int) -> None:
        self.number += 1
        self.severity = max(self.severity, fault.severity, key=RANK.__getitem__)
        if self.example is None or fault.path < self.example.path:
            self.example = fault
        if self.number <= limit:
            self.faults.append(fault)
        else:
            self.faults = []


class Gathering:
    """Collects faults; `results` are those that stand alone, and the heaps."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rules: dict[str, dict[str, _Pile]] = defaultdict(lambda: defaultdict(_Pile))

    def add(self, fault: Fault) -> None:
        """One more."""
        self._rules[fault.rule][_parent(fault.path)].add(fault, self._limit)

    def results(self) -> Iterator[Fault | Heap]:
        """All of them, in the order of rules and paths."""
        for rule, piles in sorted(self._rules.items()):
            yield from sorted(self._of_rule(rule, piles), key=lambda found: found[1])

    def _of_rule(self, rule: str, piles: dict[str, _Pile]) -> Iterator[Fault | Heap]:
        levels: dict[int, dict[str, _Pile]] = defaultdict(dict)
        for directory, pile in piles.items():
            levels[_depth(directory)][directory] = pile
        for depth in range(max(levels), -1, -1):
            for directory, pile in levels.pop(depth, {}).items():
                if pile.example and pile.number > self._limit:
                    yield Heap(rule, directory, pile.severity, pile.number, pile.example.path)
                elif depth < 2:
                    yield from pile.faults
                else:
                    above = levels[depth - 1].setdefault(_parent(directory), _Pile())
                    for fault in pile.faults:
                        above.add(fault, self._limit)


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _depth(directory: str) -> int:
    return 0 if directory == "/" else directory.count("/")
