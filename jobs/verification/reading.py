"""Reading a backup once: its bytes are hashed as they pass, and unpacked from the same pass."""

from __future__ import annotations

import hashlib
import os
import queue
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CHUNK_BYTES = 128 << 10
"""What is left of a chunk is copied at the end of each gzip member, so that larger ones are slower."""
_MUCH_BYTES, _CHUNKS_AHEAD = 8 << 20, 32
MAX_UNPACKED_BYTES = 1 << 20
"""Of what a chunk unpacks to, so much at a time: a few kilobytes of gzip may stand for gigabytes."""


class Damaged(Exception):
    """The backup is not what it should be; the message says how, without naming it."""


class Unverifiable(Exception):
    """Whether the backup is good could not be told; the message says why."""


class OutOfTime(Unverifiable):
    """The time for it was over."""


class Vanished(Exception):
    """The backup was removed since it was listed."""


class _Sum:
    """The sha256 of what passes, worked out on a thread of its own where there is much of it."""

    def __init__(self, much: bool) -> None:
        self._sum = hashlib.sha256()
        self._chunks: queue.Queue[bytes | None] = queue.Queue(_CHUNKS_AHEAD)
        self._thread = threading.Thread(target=self._work, name="sha256", daemon=True) if much else None
        if self._thread:
            self._thread.start()

    def update(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self._thread:
            self._chunks.put(chunk)
        else:
            self._sum.update(chunk)

    def result(self) -> str:
        """Of all that was taken, hexadecimal; nothing more is taken after it."""
        if self._thread:
            self._chunks.put(None)
            self._thread.join()
            self._thread = None
        return self._sum.hexdigest()

    def _work(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            self._sum.update(chunk)


class Reading:
    """A file of ours, read from its beginning to its end.

    Links and what is no file are refused. `expired` is asked before each chunk, so that a file that is too big for the
    time, or a disk that hangs now and then, ends with OutOfTime.
    """

    def __init__(self, path: Path, expired: Callable[[], bool] = lambda: False) -> None:
        self._expired, self.bytes_read = expired, 0
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Vanished(path.name) from None
        except OSError as error:
            raise Unverifiable(f"it cannot be opened: {error.strerror}") from None
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._descriptor)
            raise Damaged("it is not a file")
        self.size_bytes = status.st_size
        self._sum = _Sum(much=status.st_size > _MUCH_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._descriptor)
        self._sum.result()

    def chunks(self) -> Iterator[bytes]:
        """Its bytes as they are, hashed on the way."""
        while True:
            if self._expired():
                raise OutOfTime("the time for it was over")
            try:
                chunk = os.read(self._descriptor, CHUNK_BYTES)
            except OSError as error:
                raise Damaged(f"it cannot be read: {error.strerror}") from None
            if not chunk:
                return
            self._sum.update(chunk)
            self.bytes_read += len(chunk)
            yield chunk

    def finish(self) -> None:
        """Read what is left of it."""
        for _ in self.chunks():
            pass

    @property
    def sha256(self) -> str:
        """Of what was read, hexadecimal; after that no more can be read."""
        return self._sum.result()


def unzipped(chunks: Iterator[bytes], expired: Callable[[], bool] = lambda: False) -> Iterator[bytes]:
    """What gzip data unpacks to, all members of it; Damaged where it is cut off or does not unpack.

    isal's decompressor reads one member and tells its end by `eof` alone; a file may have several, and zero bytes
    after the last (gzip(1) allows both).
    """
    from isal import isal_zlib

    member: Any = None
    begun = False
    for chunk in chunks:
        data = chunk
        # Between members there may be zero bytes, which are no beginning of one.
        while data := data if member else data.lstrip(b"\0"):
            if expired():
                raise OutOfTime("the time for it was over")
            member, begun = member or isal_zlib.decompressobj(wbits=31), True
            try:
                unpacked = member.decompress(data, MAX_UNPACKED_BYTES)
            except isal_zlib.error as error:  # type: ignore[misc]  # an exception, which its types do not say
                raise Damaged(f"it does not unpack: {told(error)}") from None
            if unpacked:
                yield unpacked
            data, member = (member.unused_data, None) if member.eof else (member.unconsumed_tail, member)
    if member:
        raise Damaged("it is cut off")
    if not begun:
        raise Damaged("it is empty")


def told(error: Exception) -> str:
    """An error as one line of at most 100 characters."""
    return " ".join(str(error).split())[:100] or type(error).__name__
