"""A program: go through directory trees and tell in which lines of which files secrets stand, never what they are.

What it is to look for is in its order: rules as [name, pattern, guess, spanning]. Nothing that a file holds leaves this
process: a record is a path, a rule, the number of the hit within the file, and its line.
"""

from __future__ import annotations

import bisect
import os
import re
import stat
import sys
from collections.abc import Iterator
from typing import Any

from jobs.clients.matcher import Matcher
from jobs.clients.walk import VANISHED, Directory, Output, order, walk
from jobs.core.placeholders import is_placeholder, is_secret

MAX_HITS = 20
"""Of one rule so many hits in a file are told; the others are counted."""
_HEAD_BYTES = 8192
_BOMS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_GROUPS = ("value", "single", "bare")


class SecretSearch:
    """Searches each file of a directory. `homes` are files in which secrets belong as long as others may

    not read them; what is larger than `max_bytes` is told and left.
    """

    def __init__(self, orders: dict[str, Any], output: Output) -> None:
        rules = orders["rules"]
        self._output = output
        self._names = [name for name, _, _, _ in rules]
        self._guesses = [guess for _, _, guess, _ in rules]
        spanning = [number for number, rule in enumerate(rules) if rule[3]]
        patterns = [pattern for _, pattern, _, _ in rules]
        self._matcher = Matcher(patterns, spanning=spanning, use_hyperscan=not orders["without_hyperscan"])
        self._skipped = frozenset(orders["skipped"])
        self._pattern = re.compile("|".join(orders["patterns"]) or r"(?!)", re.DOTALL)
        self._homes = re.compile("|".join(orders["homes"]) or r"(?!)", re.DOTALL)
        self._max_bytes = int(orders["max_bytes"])
        self._buffer = bytearray(1 << 20)
        output.tell("found", "engine", self._matcher.engine)

    def visit(self, path: str, descriptor: int, device: int) -> list[Directory]:
        """Search everything in a directory; return the directories in it that are to be gone into."""
        below: list[Directory] = []
        prefix = path if path.endswith("/") else f"{path}/"
        with os.scandir(descriptor) as entries:
            for entry in entries:
                place = prefix + entry.name
                if place in self._skipped or self._pattern.fullmatch(place):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    below += _directory(place, entry, device)
                elif entry.is_file(follow_symlinks=False):
                    self._search_file(place, entry.name, descriptor)
        self._output.count(0)
        return below

    def _search_file(self, path: str, name: str, directory: int) -> None:
        try:
            descriptor = os.open(name, _OPEN, dir_fd=directory)
        except OSError as error:
            if error.errno not in VANISHED:
                self._output.tell("unread", path, error.strerror)
            return
        try:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode):
                self._search(path, descriptor, status)
        except OSError as error:
            self._output.tell("unread", path, error.strerror)
        finally:
            os.close(descriptor)

    def _search(self, path: str, descriptor: int, status: os.stat_result) -> None:
        if status.st_size > self._max_bytes:
            self._output.tell("found", "large", path)
            return
        if status.st_size > len(self._buffer):
            self._buffer = bytearray(status.st_size)
        length = _fill(descriptor, self._buffer, status.st_size)
        buffer, length = _as_text(self._buffer, length)
        if buffer.find(b"\0", 0, min(length, _HEAD_BYTES)) >= 0:
            self._output.tell("found", "binary")
            return
        self._output.count(1)
        hits = self._hits(buffer, length)
        if hits and not (self._homes.fullmatch(path) and not status.st_mode & 0o007):
            self._tell(path, hits, buffer)

    def _hits(self, buffer: bytearray, length: int) -> dict[int, list[int]]:
        """The places of the secrets by their rule. What a rule has taken is not told by a later one as well."""
        hits: dict[int, list[int]] = {}
        taken = _Spans()
        for number, match in self._matcher.matches(buffer, length):
            start, end = _span(match)
            value = bytes(buffer[start:end])
            if (is_secret(value) if self._guesses[number] else not is_placeholder(value)) and taken.take(start, end):
                hits.setdefault(number, []).append(match.start())
        return hits

    def _tell(self, path: str, hits: dict[int, list[int]], buffer: bytearray) -> None:
        for number, places in hits.items():
            line, counted_to = 1, 0
            for nth, place in enumerate(places[:MAX_HITS], 1):
                line += buffer.count(b"\n", counted_to, place)
                counted_to = place
                self._output.tell("found", "hit", path, self._names[number], nth, line, len(places))


class _Spans:
    """Parts of a text, of which no two overlap."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def take(self, start: int, end: int) -> bool:
        """Keep the span, unless a part of it is taken already."""
        at = bisect.bisect_left(self._starts, end)
        if at and self._ends[at - 1] > start:
            return False
        self._starts.insert(at, start)
        self._ends.insert(at, end)
        return True


def _directory(path: str, entry: os.DirEntry[str], device: int) -> Iterator[Directory]:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    if status.st_dev == device:
        yield path, status.st_dev, status.st_ino


def _fill(descriptor: int, buffer: bytearray, size: int) -> int:
    """Read at most `size` bytes, which the file had when it was looked at: one that grows keeps nobody here."""
    with memoryview(buffer) as view, view[:size] as wanted:
        read = 0
        while read < size and (more := os.readv(descriptor, [wanted[read:]])):
            read += more
    return read


def _as_text(buffer: bytearray, length: int) -> tuple[bytearray, int]:
    """UTF-16 that says so becomes UTF-8, in which the patterns are."""
    encoding = _BOMS.get(bytes(buffer[:2])) if length > 1 else None
    if encoding is None:
        return buffer, length
    text = bytearray(buffer[2:length].decode(encoding, "replace").encode())
    return text, len(text)


def _span(match: re.Match[bytes]) -> tuple[int, int]:
    """Where the secret itself is: the group that took part, or the whole match."""
    groups = match.re.groupindex
    return next((match.span(name) for name in _GROUPS if name in groups and match.start(name) >= 0), match.span())


def main() -> None:
    """Do what the only argument says."""
    orders, output = order(), Output()
    sys.exit(walk(orders["roots"], SecretSearch(dict(orders), output).visit, output))


if __name__ == "__main__":
    main()
