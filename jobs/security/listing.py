"""How much of a scan is written down: a report that nobody can open tells nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from jobs.security.memory import Known
from jobs.security.scan import Scan
from jobs.security.settings import AcceptedRisk
from jobs.security.standing import Found

MAX_LISTED = 10_000
MAX_LISTED_BYTES = 4 << 20
"""Texts of the findings in a report together, as JSON has them: every form of the report keeps below its own limit."""
_OVERHEAD_BYTES = 200
_Thing = TypeVar("_Thing")


@dataclass(frozen=True)
class Listing:
    """The findings that are written down, the worst first, and how many are not."""

    open: Sequence[Found]
    accepted: Sequence[tuple[Found, AcceptedRisk]]
    fixed: Sequence[Known]
    left_out: int


def listing(scan: Scan) -> Listing:
    """What of a scan is written down: open findings go before accepted ones, and those before fixed ones."""
    room = _Room(MAX_LISTED, MAX_LISTED_BYTES)
    opened = room.take((one, one.known) for one in scan.open)
    accepted = room.take(((one, entry), one.known) for one, entry in scan.judged.accepted)
    fixed = room.take((known, known) for known in scan.compared.fixed)
    return Listing(opened, accepted, fixed, room.left_out)


class _Room:
    """Room for so many findings and so many bytes of text."""

    def __init__(self, count: int, size: int) -> None:
        self._count, self._size, self.left_out = count, size, 0

    def take(self, things: Iterable[tuple[_Thing, Known]]) -> list[_Thing]:
        """Those for which there is room."""
        taken = []
        for thing, known in things:
            one = known.weakness
            texts = (one.rule, one.subject, one.message, one.remedy, one.path, one.url)
            size = len(json.dumps(texts)) + _OVERHEAD_BYTES
            if self._count < 1 or size > self._size:
                self._count = 0  # what comes after is milder: nothing of it goes before this
                self.left_out += 1
                continue
            self._count, self._size = self._count - 1, self._size - size
            taken.append(thing)
        return taken
