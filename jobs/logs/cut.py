"""Where a live log can be cut: whole blocks only, at a line end where there is one."""

from __future__ import annotations

import os
from dataclasses import dataclass

SEARCH_BYTES = 32 << 20
"""So far back from the last block a line end is looked for, and never beyond the middle."""
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Cut:
    """The first `size` bytes of a log. `whole_lines` says whether a line ends there."""

    size: int
    whole_lines: bool


def find_cut(descriptor: int, block_size: int, limit: int) -> Cut | None:
    """The longest head of at most `limit` bytes that can be cut off; None where the file has not two blocks.

    The kernel wants whole blocks, and something left over. Of the places where a block begins the last is chosen that a
    line ends before; without one near enough it is the last of all.
    """
    end = min(os.fstat(descriptor).st_size - 1, limit) // block_size * block_size
    if end <= 0:
        return None
    least = max(block_size, end // 2, end - SEARCH_BYTES)
    at = _last_line_end(descriptor, block_size, least, end)
    return Cut(end, False) if at is None else Cut(at, True)


def _last_line_end(descriptor: int, block_size: int, least: int, end: int) -> int | None:
    """The last multiple of the block size in [least, end] that comes after a line end."""
    chunk_bytes = max(_CHUNK_BYTES, block_size) // block_size * block_size
    top = end
    while top >= least:
        bottom = max(0, top - chunk_bytes)
        last_bytes = os.pread(descriptor, top - bottom, bottom)[block_size - 1 :: block_size]
        found = last_bytes.rfind(b"\n")
        if found >= 0:
            at = bottom + (found + 1) * block_size
            return at if at >= least else None
        if bottom == 0:
            return None
        top = bottom
    return None
