"""Where a backup is written to, in one pass: compressed by two threads, hashed, counted, and never to the last byte."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Self

from jobs.backups.failure import BackupFailed
from jobs.backups.space import room_at

MEMBER_BYTES = 1 << 20
_LOOK_BYTES = 64 << 20
"""How much is written between two looks at the room that is left."""
_GZIP_WBITS = 31
_LEVEL = 1
_THREADS = 2


class Sink:
    """A backup's file. `expected_bytes` is the size of the backup before it, where there is one.

    Leaves `min_free_bytes` on the file system: the database may well be on it, too.
    """

    def __init__(
        self, file: IO[bytes], directory: Path, *, min_free_bytes: int, expected_bytes: int | None = None
    ) -> None:
        self._file, self._directory, self._min_free_bytes = file, directory, min_free_bytes
        self._sum = hashlib.sha256()
        self._look_at = _LOOK_BYTES
        self.known = expected_bytes is not None
        self.bytes = 0
        self._need(expected_bytes or 0)

    @property
    def sha256(self) -> str:
        """Of everything written so far."""
        return self._sum.hexdigest()

    def expect(self, size: int) -> None:
        """Say about how large it becomes, where nothing better is known; raise BackupFailed without room for it."""
        if not self.known:
            self._need(size)

    def write(self, data: bytes) -> int:
        """Take the next piece; raise OSError, or BackupFailed when there is hardly any room left."""
        self._file.write(data)
        self._sum.update(data)
        self.bytes += len(data)
        if self.bytes >= self._look_at:
            self._look_at = self.bytes + _LOOK_BYTES
            self._need(0)
        return len(data)

    def _need(self, size: int) -> None:
        room = room_at(self._directory)
        if room.inodes == 0:
            return  # it says so by itself, in time
        if room.free_bytes < size + self._min_free_bytes:
            wanted = f"about {_mib(size)} and backup_min_free_mb ({_mib(self._min_free_bytes)})"
            raise BackupFailed(
                f"the file system of {self._directory} has {_mib(room.free_bytes)} free, {wanted} are needed",
                "make room on it, or shorten backup_retention_days",
            )


class GzipWriter:
    """Compresses what is written into gzip members of 1 MiB each, two at a time, and gives them on in order.

    Any gunzip reads them as one file. A file cut at a member's border is whole to it: the manifest's sha256 tells.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        from isal import isal_zlib

        self._compress, self._write = isal_zlib.compress, write
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="gzip")
        self._members: deque[Future[bytes]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def write(self, data: bytes) -> int:
        """Take the next piece; raise what `write` raises."""
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= MEMBER_BYTES:
            self._submit()
        return len(data)

    def finish(self) -> None:
        """Give on all that is still under way."""
        if self._waiting_bytes:
            self._submit()
        while self._members:
            self._write(self._members.popleft().result())

    def _submit(self) -> None:
        data = b"".join(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        self._members.append(self._pool.submit(self._compress, data, _LEVEL, _GZIP_WBITS))
        while len(self._members) > _THREADS:
            self._write(self._members.popleft().result())


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"
