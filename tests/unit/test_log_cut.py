"""Where a log is cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.logs.cut import WINDOW_BYTES, Cut, blanks, find_cut

BLOCK = 4096


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def cut(descriptor: int, content: bytes, limit: int = 1 << 40, block: int = BLOCK) -> Cut | None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, content, 0)
    return find_cut(descriptor, block, limit)


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK])
def test_what_has_not_two_blocks_is_not_cut(file: int, size: int) -> None:
    assert cut(file, b"\n" * size) is None


def test_the_last_line_end_at_a_block_is_taken(file: int) -> None:
    line = b"x" * (BLOCK // 2 - 1) + b"\n"
    assert cut(file, line * 9) == Cut(4 * BLOCK, 4 * BLOCK, whole_lines=True)


def test_something_is_always_left(file: int) -> None:
    """The kernel does not cut a whole file."""
    assert cut(file, (b"x" * (BLOCK - 1) + b"\n") * 3) == Cut(2 * BLOCK, 2 * BLOCK, whole_lines=True)


def test_otherwise_the_archive_goes_on_to_the_end_of_the_line(file: int) -> None:
    content = b"x" * 5000 + b"\n" + b"y" * 4000 + b"\n"
    assert cut(file, content) == Cut(2 * BLOCK, 9002, whole_lines=True)


def test_a_line_that_is_being_written_stays(file: int) -> None:
    assert cut(file, b"x" * 5000 + b"\n" + b"y" * 9000) == Cut(BLOCK, 5001, whole_lines=True)


def test_without_a_line_end_a_block_is_the_end(file: int) -> None:
    assert cut(file, b"x" * 10_000) == Cut(2 * BLOCK, 2 * BLOCK, whole_lines=False)


def test_a_line_end_out_of_sight_does_not_count(file: int) -> None:
    found = cut(file, b"\n" + b"x" * (2 * WINDOW_BYTES))
    assert found == Cut(2 * WINDOW_BYTES, 2 * WINDOW_BYTES, whole_lines=False)


@pytest.mark.parametrize(
    ("size", "json", "expected"), [(0, False, b""), (1, False, b"\n"), (3, False, b"  \n"), (2, True, b"  ")]
)
def test_blanks_are_an_empty_line_or_nothing_to_json(size: int, json: bool, expected: bytes) -> None:
    assert blanks(size, json=json) == expected


@settings(derandomize=True, max_examples=200)
@given(
    lengths=st.lists(st.integers(0, 9), max_size=60),
    rest=st.integers(0, 9),
    limit=st.one_of(st.integers(1, 200), st.just(1 << 40)),
)
def test_a_cut_is_whole_blocks_and_ends_with_a_line(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], rest: int, limit: int
) -> None:
    content = b"".join(b"x" * length + b"\n" for length in lengths) + b"x" * rest
    descriptor = os.open(tmp_path_factory.mktemp("cut") / "log", os.O_RDWR | os.O_CREAT)
    try:
        found = cut(descriptor, content, limit, block=8)
    finally:
        os.close(descriptor)
    if found is None:
        return
    assert found.size % 8 == 0
    assert 0 < found.size < len(content)
    assert found.blank >= 0
    assert found.archived <= min(len(content), limit)
    if found.whole_lines:
        assert content[found.archived - 1 : found.archived] == b"\n"
        # Only the line that the last whole block breaks off is archived beyond it.
        assert b"\n" not in content[found.size : max(found.size, found.archived - 1)]
    else:
        assert found.blank == 0
