"""A backup's file: one pass gives what is in it, its size and its sha256, and leaves room on the disk."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
from pathlib import Path

import pytest

from jobs.backups import sink as module
from jobs.backups.failure import BackupFailed
from jobs.backups.sink import MEMBER_BYTES, GzipWriter, Sink
from jobs.backups.space import Room


def sink(tmp_path: Path, **options: int | None) -> tuple[Sink, io.BytesIO]:
    file = io.BytesIO()
    return Sink(file, tmp_path, **{"min_free_bytes": 0, **options}), file  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, 1, MEMBER_BYTES - 1, MEMBER_BYTES, 7 * MEMBER_BYTES + 13])
def test_what_is_compressed_in_pieces_comes_back_whole_and_in_order(size: int) -> None:
    chance = random.Random(size)
    content = chance.randbytes(size)
    packed = bytearray()
    with GzipWriter(packed.extend) as writer:
        position = 0
        while position < size:
            step = chance.randrange(1, 300_000)
            writer.write(content[position : position + step])
            position += step
        writer.finish()
    assert gzip.decompress(packed) == content


def test_an_error_of_whoever_takes_the_members_reaches_whoever_writes() -> None:
    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"), GzipWriter(full) as writer:
        for _ in range(20):
            writer.write(b"x" * MEMBER_BYTES)


def test_the_sum_and_size_are_those_of_the_file(tmp_path: Path) -> None:
    out, file = sink(tmp_path)
    for piece in (b"abc", b"", b"d" * 100_000):
        out.write(piece)
    assert (out.bytes, out.sha256) == (100_003, hashlib.sha256(file.getvalue()).hexdigest())


def test_without_room_for_another_of_the_same_size_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "room_at", lambda _: Room(free_bytes=100 << 20, total_bytes=1 << 30, inodes=1000))
    sink(tmp_path, expected_bytes=90 << 20, min_free_bytes=10 << 20)
    with pytest.raises(BackupFailed, match="100 MiB free, about 91 MiB and backup_min_free_mb"):
        sink(tmp_path, expected_bytes=91 << 20, min_free_bytes=10 << 20)


def test_an_estimate_counts_only_where_the_size_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "room_at", lambda _: Room(free_bytes=100 << 20, total_bytes=1 << 30, inodes=1000))
    known, _ = sink(tmp_path, expected_bytes=1000)
    known.expect(1 << 40)
    unknown, _ = sink(tmp_path)
    with pytest.raises(BackupFailed, match="100 MiB free"):
        unknown.expect(1 << 40)


def test_a_backup_stops_before_it_fills_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = [1 << 30]
    monkeypatch.setattr(module, "room_at", lambda _: Room(free_bytes=free[0], total_bytes=1 << 31, inodes=1000))
    out, file = sink(tmp_path, min_free_bytes=256 << 20)
    out.write(b"x" * (32 << 20))
    free[0] = 200 << 20  # somebody else writes, too
    with pytest.raises(BackupFailed, match="has 200 MiB free"):
        for _ in range(4):
            out.write(b"x" * (32 << 20))
    assert len(file.getvalue()) <= 64 << 20
