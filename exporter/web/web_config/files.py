"""Reads small files, and remembers in which state each of them was."""

from __future__ import annotations

import os
import stat
from pathlib import Path

MAX_FILE_BYTES = 1 << 20
Stamp = tuple[int, int, int, int] | None
"""What tells one state of a file from another without reading it; None where there is none."""


class Files:
    """Reads files and remembers in which state each of them was, also those that could not be read."""

    def __init__(self) -> None:
        self.stamps: dict[Path, Stamp] = {}
        self.statuses: dict[Path, os.stat_result] = {}

    def content(self, path: Path) -> bytes:
        """The content of a small regular file; raise OSError."""
        self.stamps[path] = stamp_of(path)  # first, so that a change while it is being read shows
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # waits for no pipe
        with os.fdopen(descriptor, "rb") as file:
            self.statuses[path] = status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(0, "it is not a regular file")
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise OSError(0, f"it is longer than {MAX_FILE_BYTES} bytes")
        return content


def stamp_of(path: Path) -> Stamp:
    """The state of the file that a path leads to."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
