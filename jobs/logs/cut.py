"""Where a live log can be cut: the kernel takes whole blocks only, people want whole lines."""

from __future__ import annotations

import os
from dataclasses import dataclass

WINDOW_BYTES = 1 << 20
"""So far back from the end a line end is looked for."""


@dataclass(frozen=True)
class Cut:
    """The first `archived` bytes go into the archive, the first `size` of them, whole blocks, off the log.

    What is archived and stays, less than a block, is blanked. `whole_lines` says whether a line ends where the archive
    does; where no line end was found both are the same.
    """

    size: int
    archived: int
    whole_lines: bool

    @property
    def blank(self) -> int:
        """Bytes at the head of what stays that are in the archive already."""
        return self.archived - self.size


def find_cut(descriptor: int, block_size: int, limit: int) -> Cut | None:
    """The longest head of about `limit` bytes that can be cut off; None where the file has not two blocks.

    Best is a place where a block begins just after a line end: the log then stays as it is. Otherwise the archive goes
    on to the end of the line that the last whole block breaks off.
    """
    size = os.fstat(descriptor).st_size
    top = min(size, limit)
    bottom = max(0, top - WINDOW_BYTES) // block_size * block_size
    window = os.pread(descriptor, top - bottom, bottom)
    last_line_end = window.rfind(b"\n") + 1
    end = min(bottom + last_line_end if last_line_end else top, size - 1) // block_size * block_size
    if end <= 0:
        return None
    if not last_line_end or end < bottom:
        return Cut(end, end, whole_lines=False)
    aligned = window[block_size - 1 : end - bottom : block_size].rfind(b"\n")
    if aligned >= 0:
        at = bottom + (aligned + 1) * block_size
        return Cut(at, at, whole_lines=True)
    return Cut(end, bottom + window.index(b"\n", end - bottom) + 1, whole_lines=True)


def blanks(size: int, *, json: bool) -> bytes:
    """What stands in place of lines that are archived: an empty line, or for a reader of JSON nothing but spaces."""
    return b" " * size if json else (b" " * (size - 1) + b"\n" if size else b"")
