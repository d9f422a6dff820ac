"""What a program leaves behind when it ends: its orphans become children of this process, where they can be seen."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def heir() -> Iterator[Callable[[], list[psutil.Process]]]:
    """Inherit the orphans of what is started within; the function gives every child that has come since, an ended one
    as well, until somebody has waited for it.

    Without it orphans go to init, which clears away one that has ended sooner or later: what is seen is luck.
    What is left at the end is ended and cleared away.
    """
    us = psutil.Process()
    before = set(us.children())

    def inherited() -> list[psutil.Process]:
        return [child for child in us.children() if child not in before]

    _set(1)
    try:
        yield inherited
    finally:
        _set(0)
        for orphan in inherited():
            with contextlib.suppress(psutil.NoSuchProcess):
                orphan.kill()
                orphan.wait(30)


def _set(wanted: int) -> None:
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, wanted, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot become the heir of orphans")
