"""Texts from outside as harmless lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobs.core.model import clean_message
from jobs.security.texts import beside, counted, plain_line


@given(st.text(st.characters(), max_size=50))
def test_a_line_is_one_line_that_every_encoder_takes_and_nobody_needs_to_clean(text: str) -> None:
    line = plain_line(text, 40)
    line.encode()
    assert line.splitlines() in ([line], [])
    assert clean_message(line) == line
    assert plain_line(line, 10_000) == line


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_names_that_differ_in_their_bytes_differ_as_lines(one: bytes, other: bytes) -> None:
    names = [name.replace(b"\\", b"/").decode(errors="surrogateescape") for name in (one, other)]
    assert (names[0] == names[1]) == (plain_line(names[0], 100) == plain_line(names[1], 100))


def test_what_is_too_long_is_cut() -> None:
    assert plain_line("x" * 100, 10) == "x" * 9 + "…"


def test_beside_its_subject_a_message_does_not_repeat_it() -> None:
    assert beside("/a", "/a: it is open") == "it is open"
    assert beside("/a", "it is open") == "it is open"
    assert beside("/a", "/a") == "/a"


def test_one_is_not_many() -> None:
    assert (counted(1, "finding"), counted(2, "finding"), counted(1, "more", "more")) == (
        "1 finding",
        "2 findings",
        "1 more",
    )
