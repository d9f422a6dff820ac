"""Reads a file that somebody names, on the command line or in a variable."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


def read_given(file: Path, max_bytes: int) -> bytes:
    """What is in a file, `max_bytes` of it at most; raise OSError.

    A pipe is read where it came opened, as /dev/stdin or as `<(...)` of a shell; one with a name may never be written
    to, and nobody would know what is being waited for.
    """
    with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as stream:
        descriptor = stream.fileno()
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode) and not _came_opened(descriptor):
            raise OSError(0, "it is a named pipe, which might keep us waiting: a regular file is needed")
        os.set_blocking(descriptor, True)
        return stream.read(max_bytes)


def _came_opened(descriptor: int) -> bool:
    """Whether another descriptor of ours leads to the same file: such a one we were given."""
    status = os.fstat(descriptor)
    for other in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 (their numbers)
        with suppress(OSError):  # the one that the list was read by
            if other != descriptor and os.path.samestat(os.fstat(other), status):
                return True
    return False
