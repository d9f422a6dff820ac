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
from jobs.clients.walk import VANISHED, Directory, Output, Skips, order, walk
from jobs.core.placeholders import is_placeholder, is_secret

MAX_HITS = 20
"""Of one rule so many hits in a file are told; the others are counted."""
_HEAD_BYTES = 8192
_PIECE_BYTES = 4 << 20
_KEY_BYTES = 1024  # a key's first line, its headers and the first line of its content
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
        self._skips = Skips(orders)
        self._homes = re.compile("|".join(orders["homes"]) or r"(?!)", re.DOTALL)
        self._max_bytes = int(orders["max_bytes"])
        self._buffer = bytearray(_PIECE_BYTES)
        output.tell("found", "engine", self._matcher.engine)

    def visit(self, path: str, descriptor: int, device: int) -> list[Directory]:
        """Search everything in a directory; return the directories in it that are to be gone into."""
        below: list[Directory] = []
        prefix = path if path.endswith("/") else f"{path}/"
        with os.scandir(descriptor) as entries:
            for entry in entries:
                place = prefix + entry.name
                if self._skips.leave_out(place):
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
        size, hits = status.st_size, Hits()
        for number, (buffer, length, is_last) in enumerate(_pieces(descriptor, self._buffer, size)):
            if number == 0 and (left_out := _left_out(buffer, length, size, self._max_bytes)):
                self._output.tell("found", left_out, path)
                return
            self._take(buffer, length, hits)
            if not is_last:
                hits.end_piece(buffer, length)
        self._output.count(1)
        if hits.by_rule and not (self._homes.fullmatch(path) and not status.st_mode & 0o007):
            for number, (lines, count) in hits.by_rule.items():
                for nth, line in enumerate(lines, 1):
                    self._output.tell("found", "hit", path, self._names[number], nth, line, count)

    def _take(self, buffer: bytearray, length: int, hits: Hits) -> None:
        """Take the secrets of a piece of a file. What a rule has taken is not told by a later one as well."""
        taken = _Spans()
        for number, match in self._matcher.matches(buffer, length):
            start, end = _span(match)
            value = bytes(buffer[start:end])
            if (is_secret(value) if self._guesses[number] else not is_placeholder(value)) and taken.take(start, end):
                hits.take(number, match.start(), buffer)


class Hits:
    """Where the secrets of a file stand: for each rule the lines of the first of them, and how many there are."""

    def __init__(self) -> None:
        self.by_rule: dict[int, tuple[list[int], int]] = {}
        self.lines_before = 0
        self._counted = (-1, 0, 0)

    def take(self, number: int, place: int, buffer: bytearray) -> None:
        """One more, at a place of the piece; those of a rule come in order."""
        lines, count = self.by_rule.get(number, ([], 0))
        if len(lines) < MAX_HITS:
            rule, counted_to, line = self._counted
            line, counted_to = (line, counted_to) if rule == number else (0, 0)
            line += buffer.count(b"\n", counted_to, place)
            self._counted = (number, place, line)
            lines.append(self.lines_before + line + 1)
        self.by_rule[number] = (lines, count + 1)

    def end_piece(self, buffer: bytearray, length: int) -> None:
        """The piece is through, and another follows."""
        self.lines_before += buffer.count(b"\n", 0, length)
        self._counted = (-1, 0, 0)


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


def _pieces(descriptor: int, buffer: bytearray, size: int) -> Iterator[tuple[bytearray, int, bool]]:
    """A file's text in the buffer, piece by piece: its length, and whether it is the last. Pieces end with lines.

    No more is read than the `size` that the file had when it was looked at: one that grows keeps nobody here.
    """
    kept, left = 0, size
    while True:
        read = _fill(descriptor, buffer, kept, min(left, len(buffer) - kept))
        left, length = left - read, kept + read
        if not left or not read:
            yield *(_as_text(buffer, length) if size <= len(buffer) else (buffer, length)), True
            return
        cut = _cut(buffer, length)
        yield buffer, cut, False
        kept = length - cut
        buffer[:kept] = buffer[cut:length]


def _cut(buffer: bytearray, length: int) -> int:
    """Where a piece may end: after a line, and not within what begins a key."""
    begins = buffer.rfind(b"-----BEGIN", max(1, length - _KEY_BYTES), length)
    return buffer.rfind(b"\n", 0, begins if begins > 0 else length) + 1 or length


def _fill(descriptor: int, buffer: bytearray, start: int, size: int) -> int:
    with memoryview(buffer) as view, view[start : start + size] as wanted:
        read = 0
        while read < size and (more := os.readv(descriptor, [wanted[read:]])):
            read += more
    return read


def _left_out(buffer: bytearray, length: int, size: int, max_bytes: int) -> str:
    """Why a file is not searched, as its beginning and its size say: it is binary, or large."""
    if buffer.find(b"\0", 0, min(length, _HEAD_BYTES)) >= 0:
        return "large" if size > len(buffer) and bytes(buffer[:2]) in _BOMS else "binary"
    return "large" if size > max_bytes else ""


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
