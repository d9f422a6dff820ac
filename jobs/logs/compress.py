"""A part of a log becomes a gzip file, in one pass on two cores, and every byte of it is proven before it counts.

Each MiB is a gzip member of its own (RFC 1952, 2.2): read, compressed, unpacked again and compared on one of two
threads, while this one writes and takes the checksums.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

from jobs.logs.places import Refused
from jobs.logs.syscalls import begin_write_back

BLOCK_BYTES = 1 << 20
_THREADS = 2
_IN_FLIGHT = 6
_PIECE_BYTES = 1 << 16
_LEVEL = 1
_GZIP = 31
_WRITE_BACK_BYTES = 4 << 20


@dataclass(frozen=True)
class Packed:
    """What was written: `content_bytes` of the log became `bytes` with this checksum."""

    content_bytes: int
    bytes: int
    sha256: str


def pack(source: int, size: int, target: IO[bytes], step: Callable[[int], None]) -> Packed:
    """Write the first `size` bytes of the descriptor `source` to `target`, synced and read back.

    `step` is told the bytes read so far and may raise to give up.
    """
    written = _Written(target)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="pack") as pool:
        waiting: deque[Future[bytes]] = deque()
        try:
            for offset, length in _pieces(size):
                waiting.append(pool.submit(_proven_member, source, offset, length))
                if len(waiting) >= _IN_FLIGHT:
                    written.add(waiting.popleft().result())
                step(offset + length)
            while waiting:
                written.add(waiting.popleft().result())
        finally:
            for one in waiting:
                one.cancel()
    target.flush()
    os.fsync(target.fileno())
    if _checksum_on_disk(target.fileno()) != written.checksum:
        raise Refused("io_error", "what was read back is not what was written: the disk or its memory is failing")
    return Packed(size, written.bytes, written.sha256.hexdigest())


class _Written:
    """What goes into an archive, with a sum to keep and one that is quick to compare with.

    The disk is set to work early: at the end there is little left to wait for.
    """

    def __init__(self, target: IO[bytes]) -> None:
        self._target, self.sha256 = target, hashlib.sha256()
        self.bytes = self.checksum = self._on_its_way = 0

    def add(self, member: bytes) -> None:
        from isal import isal_zlib

        self._target.write(member)
        self.sha256.update(member)
        self.checksum = isal_zlib.crc32(member, self.checksum)
        self.bytes += len(member)
        if self.bytes - self._on_its_way >= _WRITE_BACK_BYTES:
            self._target.flush()
            begin_write_back(self._target.fileno(), self._on_its_way, self.bytes - self._on_its_way)
            self._on_its_way = self.bytes


def _checksum_on_disk(descriptor: int) -> int:
    """The CRC-32 of a file as it is on the disk, as far as the kernel can be moved to read it from there."""
    from isal import isal_zlib

    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    checksum = 0
    for block in _blocks(descriptor, os.fstat(descriptor).st_size):
        checksum = isal_zlib.crc32(block, checksum)
    return checksum


def file_sha256(descriptor: int) -> str:
    """The checksum of a whole file."""
    digest = hashlib.sha256()
    for block in _blocks(descriptor, os.fstat(descriptor).st_size):
        digest.update(block)
    return digest.hexdigest()


def begins_with(log: int, archive: int, size: int) -> bool:
    """Whether the first `size` bytes of a log are what an archive unpacks to, no more and no less."""
    from isal import igzip, isal_zlib

    with os.fdopen(os.dup(archive), "rb") as file:
        file.seek(0)
        unpacked: IO[bytes] = igzip.open(file, "rb")  # type: ignore[no-untyped-call]
        try:
            for block in _blocks(log, size):
                if unpacked.read(len(block)) != block:
                    return False
            return not unpacked.read(1)
        # One is shorter than the other, or damaged.
        except (Refused, EOFError, OSError, isal_zlib.error):  # type: ignore[misc]
            return False


def end_of(archive: int, size: int, length: int) -> bytes:
    """The last bytes of what an archive unpacks to, which is `size` bytes."""
    from isal import igzip

    with os.fdopen(os.dup(archive), "rb") as file:
        file.seek(0)
        unpacked: IO[bytes] = igzip.open(file, "rb")  # type: ignore[no-untyped-call]
        unpacked.seek(size - length)
        return unpacked.read(length)


def _pieces(size: int) -> Iterator[tuple[int, int]]:
    """Where each block begins, and how long it is."""
    return ((offset, min(BLOCK_BYTES, size - offset)) for offset in range(0, size, BLOCK_BYTES))


def _blocks(descriptor: int, size: int) -> Iterator[bytes]:
    return (_block(descriptor, offset, length) for offset, length in _pieces(size))


def _block(descriptor: int, offset: int, length: int) -> bytes:
    block = os.pread(descriptor, length, offset)
    while len(block) < length:
        more = os.pread(descriptor, length - len(block), offset + len(block))
        if not more:
            raise Refused("changed", f"it ends after {offset + len(block)} bytes: something else has shortened it")
        block += more
    return block


def _proven_member(source: int, offset: int, length: int) -> bytes:
    from isal import isal_zlib

    block = _block(source, offset, length)
    member: bytes = isal_zlib.compress(block, _LEVEL, _GZIP)
    if not _unpacks_to(member, block):
        raise Refused("io_error", "a compressed block does not unpack to what it was made of: the memory is failing")
    return member


def _unpacks_to(member: bytes, block: bytes) -> bool:
    """Piece by piece: pieces that stay in the processor's cache take half the time of the whole."""
    from isal import igzip_lib

    unpacker = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    offset, piece = 0, unpacker.decompress(member, _PIECE_BYTES)
    while piece:
        if not block.startswith(piece, offset):
            return False
        offset += len(piece)
        piece = b"" if unpacker.eof else unpacker.decompress(b"", _PIECE_BYTES)
    return bool(unpacker.eof) and offset == len(block)
