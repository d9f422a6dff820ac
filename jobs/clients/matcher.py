"""Many patterns looked for at once: with hyperscan where it can be had, else one after the other; both find the same.

hyperscan goes through a text once for all patterns and says in which lines each may be. Only there is looked with `re`,
which says where: so what is found is always `re`'s. No pattern may match across lines but those in `spanning`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence

Place = tuple[int, int, int]
"""A pattern's number, and from where to where in the buffer it is to be looked for."""
Candidates = Callable[[bytearray, int], Sequence[Place]]
_OPEN_END, _LIMIT = re.compile(r"\{(\d+),\d+\}(\)*)$"), re.compile(r"\{(\d+),\d+\}")


class Matcher:
    """Looks for patterns (of bytes) by their numbers."""

    def __init__(self, patterns: Sequence[str], *, spanning: Collection[int] = (), use_hyperscan: bool = True) -> None:
        self._patterns = [re.compile(pattern.encode("ascii")) for pattern in patterns]
        found = _hyperscan(patterns, frozenset(spanning)) if use_hyperscan else None
        self.engine = "hyperscan" if found else "re"
        self._candidates = found or self._everywhere

    def matches(self, buffer: bytearray, length: int) -> Iterator[tuple[int, re.Match[bytes]]]:
        """Every match in the first `length` bytes with its pattern's number, in the order of patterns and places."""
        for number, start, end in self._candidates(buffer, length):
            for match in self._patterns[number].finditer(buffer, start, end):
                yield number, match

    def _everywhere(self, buffer: bytearray, length: int) -> Sequence[Place]:
        del buffer
        return [(number, 0, length) for number in range(len(self._patterns))]


def looser(pattern: str) -> str:
    """A pattern that is found in every line in which the given one is, and that hyperscan makes less of.

    The last repetition takes the least it may: it ends once where that had many ends. The others lose their limits.
    """
    return _LIMIT.sub(r"{\1,}", _OPEN_END.sub(r"{\1}\2", pattern))


def _hyperscan(patterns: Sequence[str], spanning: frozenset[int]) -> Candidates | None:
    """None where hyperscan is not installed, or not for this processor."""
    try:
        import hyperscan
    except ImportError:
        return None
    try:
        database = hyperscan.Database()
        flags = [hyperscan.HS_FLAG_SINGLEMATCH if number in spanning else 0 for number in range(len(patterns))]
        texts = [looser(pattern).encode("ascii") for pattern in patterns]
        database.compile(texts, ids=list(range(len(patterns))), flags=flags)
        scratch = hyperscan.Scratch(database)
    except hyperscan.error:
        return None

    def candidates(buffer: bytearray, length: int) -> Sequence[Place]:
        places: list[Place] = []
        looked_to = [0] * len(patterns)

        def take(number: int, start: int, end: int, flags: int, context: object) -> None:
            del start, flags, context
            if number in spanning:
                places.append((number, 0, length))
            elif end > looked_to[number]:
                stop = buffer.find(b"\n", end - 1, length)
                looked_to[number] = length if stop < 0 else stop
                places.append((number, buffer.rfind(b"\n", 0, end - 1) + 1, looked_to[number]))

        with memoryview(buffer) as view, view[:length] as part:
            database.scan(part, take, scratch=scratch)  # type: ignore[type-var]  # any buffer will do
        return sorted(places)

    return candidates
