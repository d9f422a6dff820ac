"""How the daemon's memory is allocated."""

from __future__ import annotations

import contextlib
import ctypes

_M_ARENA_MAX = -8
"""Of glibc's malloc.h."""


def share_heaps(count: int = 1) -> None:
    """Let all threads allocate from `count` heaps.

    glibc would give nearly every thread one of its own, and each keeps the size that it once grew to
    (mallopt(3), M_ARENA_MAX). Where the C library has no such setting there is nothing to do.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, count)
