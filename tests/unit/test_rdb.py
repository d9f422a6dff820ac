"""A whole RDB file is told from one that was cut, damaged or never was one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.core.rdb import RdbCheck, RdbError, RdbFacts
from tests.services.redis import EMPTY_RDB as EMPTY

MAGIC = b"REDIS0011"


def told(data: bytes) -> RdbFacts:
    check = RdbCheck()
    check.feed(data)
    return check.finish()


def test_an_empty_data_set_is_whole() -> None:
    created = datetime(2024, 2, 1, 21, 9, 1, tzinfo=UTC)
    assert told(EMPTY) == RdbFacts(len(EMPTY), 11, "7.2.0", created, 0, True)


@given(st.lists(st.integers(1, 40)))
def test_the_pieces_do_not_matter(sizes: list[int]) -> None:
    check, at = RdbCheck(), 0
    for size in sizes:
        check.feed(EMPTY[at : at + size])
        at += size
    check.feed(EMPTY[at:])
    assert check.finish() == told(EMPTY)


@pytest.mark.parametrize("length", range(len(EMPTY)))
def test_a_file_that_was_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(RdbError):
        told(EMPTY[:length])


@given(st.integers(0, len(EMPTY) * 8 - 1))
def test_a_bit_that_flipped_anywhere_is_seen(bit: int) -> None:
    damaged = bytearray(EMPTY)
    damaged[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(RdbError):
        told(bytes(damaged))


def test_what_follows_the_end_is_seen() -> None:
    with pytest.raises(RdbError):
        told(EMPTY + b"\x00")


def test_a_file_without_a_checksum_is_known_as_such() -> None:
    facts = told(EMPTY[:-8] + bytes(8))
    assert (facts.checksum, facts.redis_version) == (False, "7.2.0")


def test_version_4_has_no_checksum() -> None:
    assert not told(b"REDIS0004\xfe\x00\x00\x01a\x01b\xff").checksum
    with pytest.raises(RdbError):
        told(b"REDIS0004\xfe\x00\x00\x01a\x01b")


def test_valkeys_magic_is_known() -> None:
    assert told(b"VALKEY080\xff" + bytes(8)).rdb_version == 80


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b" + bytes(50), b"REDIS00", b"REDISabcd\xff" + bytes(8), b"PGDMP" * 9])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(RdbError):
        told(data)


@pytest.mark.parametrize(
    "beginning",
    [
        b"\xfa\x80\xff\xff\xff\xff",  # a field of 4 GB
        b"\xfa\x81" + b"\xff" * 8,
        b"\xfa\xc7\x00",  # an encoding that does not exist
        b"\xfa\xc3\x05\x05",
        b"\xfb\xc0\x01",
        b"\xf7\x00",
        b"\x00\x01a\x01b",
        b"\xfe" * 100_000,
    ],
)
def test_a_beginning_that_makes_no_sense_tells_no_keys(beginning: bytes) -> None:
    assert told(MAGIC + beginning + b"\xff" + bytes(8)).keys is None


@given(st.binary(max_size=300))
def test_any_bytes_are_judged_without_an_accident(data: bytes) -> None:
    for whole in (data, MAGIC + data, MAGIC + data + b"\xff" + bytes(8)):
        try:
            facts = told(whole)
        except RdbError:
            continue
        assert facts.bytes == len(whole)


def test_hostile_fields_are_made_harmless() -> None:
    facts = told(MAGIC + b"\xfa\x09redis-ver\x05\x1b[2J\n\xfa\x05ctime\x0c999999999999\xff" + bytes(8))
    assert (facts.redis_version, facts.created) == ("?[2J?", None)
