"""Figures, moments and texts as people read them, and the round figures on an axis."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.pages import figures, moments, scales, texts
from jobs.performance.series import Unit

MINUS, NONE = "\N{MINUS SIGN}", figures.UNKNOWN


@pytest.mark.parametrize(
    ("unit", "value", "words"),
    [
        ("ratio", 0, "0 %"),
        ("ratio", 0.614, "61 %"),
        ("ratio", 0.0034, "0.3 %"),
        ("ratio", 0.00004, "<0.1 %"),
        ("ratio", 0.982, "98 %"),
        ("ratio", 0.9951, "99.5 %"),
        ("ratio", 0.99996, ">99.9 %"),
        ("ratio", 1, "100 %"),
        ("ratio", 2.5, "250 %"),
        ("ratio", -0.08, f"{MINUS}8 %"),
        ("bytes", 0, "0 B"),
        ("bytes", 512, "512 B"),
        ("bytes", 1023, "1 KiB"),
        ("bytes", 1.5 * 2**30, "1.5 GiB"),
        ("bytes", 15.04 * 2**30, "15 GiB"),
        ("bytes", 717 * 2**20, "717 MiB"),
        ("bytes", 2**90, "1,073,741,824 EiB"),
        ("bytes_per_second", 1.5 * 2**20, "1.5 MiB/s"),
        ("per_second", 14, "14/s"),
        ("per_second", 0.001, "<0.01/s"),
        ("seconds", 0, "0 s"),
        ("seconds", 0.00035, "350 µs"),
        ("seconds", 0.0123, "12.3 ms"),
        ("seconds", 0.012, "12 ms"),
        ("seconds", 0.9999, "1 s"),
        ("seconds", 3.2, "3.2 s"),
        ("seconds", 59.99, "1 min"),
        ("seconds", 245, "4 min 5 s"),
        ("seconds", 3599.9, "1 h"),
        ("seconds", 12000, "3 h 20 min"),
        ("seconds", 200_000, "2 d 8 h"),
        ("cores", 1, "1 core"),
        ("cores", 0.25, "0.25 cores"),
        ("count", 12345, "12,345"),
        ("count", 3.5, "3.5"),
        ("count", -0.001, f"{MINUS}<0.01"),
        ("count", None, NONE),
        ("count", math.nan, NONE),
        ("seconds", math.inf, NONE),
    ],
)
def test_a_figure_is_written_for_people(unit: str, value: float | None, words: str) -> None:
    assert figures.text(value, unit) == words


def test_every_unit_of_the_performance_figures_can_be_written() -> None:
    assert sorted(figures.UNITS) == sorted(Unit)
    assert figures.text(0.5, Unit.RATIO) == "50 %"


def test_a_unit_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="'parsec' is no unit of a figure; the units are ratio, bytes"):
        figures.text(1, "parsec")


@given(st.floats(), st.sampled_from(sorted(figures.UNITS)))
def test_every_figure_can_be_written_in_a_few_characters(value: float, unit: str) -> None:
    assert 0 < len(figures.text(value, unit)) < 40


@given(st.floats(0, 1), st.floats(0, 1))
def test_less_than_all_is_never_written_as_all(one: float, other: float) -> None:
    words = {figures.text(value, "ratio") for value in (one, other) if 0 < value < 1}
    assert not words & {"0 %", "100 %"}


def test_moments_are_told_in_their_own_zone() -> None:
    at = datetime(2026, 3, 1, 1, 5, tzinfo=ZoneInfo("Asia/Kolkata"))
    assert (moments.text(at), moments.short(at)) == ("1 Mar 2026 01:05", "1 Mar 01:05")
    assert (moments.machine(at), moments.zone(at)) == ("2026-03-01T01:05+05:30", "IST")
    assert moments.machine(at.replace(second=7)) == "2026-03-01T01:05:07+05:30"


def berlin(*of: int) -> datetime:
    return datetime(*of, tzinfo=ZoneInfo("Europe/Berlin"))  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("first", "last", "written"),
    [
        (berlin(2026, 11, 27, 6, 30), berlin(2026, 11, 28, 6, 30), ["12:00", "18:00", "28 Nov", "06:00"]),
        (berlin(2026, 11, 21, 7), berlin(2026, 11, 28, 6), ["23 Nov", "25 Nov", "27 Nov"]),
        (berlin(2026, 10, 24, 20), berlin(2026, 10, 25, 8), ["21:00", "25 Oct", "03:00", "06:00"]),
        (berlin(2026, 11, 28, 6, 30), berlin(2026, 11, 28, 6, 31),
         ["06:30:00", "06:30:15", "06:30:30", "06:30:45", "06:31:00"]),
        (berlin(2026, 3, 28, 22), berlin(2026, 3, 29, 9), ["22:00", "29 Mar", "03:00", "04:00", "06:00", "08:00"]),
        (berlin(2026, 11, 28, 6, 30), berlin(2026, 11, 28, 6, 30), ["06:30:00"]),
    ],
)  # fmt: skip
def test_the_marks_of_time_are_even_on_the_clock_on_the_wall(
    first: datetime, last: datetime, written: list[str]
) -> None:
    assert [words for _, words in moments.marks(first, last)] == written


@given(st.datetimes(timezones=st.just(UTC)), st.integers(0, 10**10))
def test_there_are_few_marks_of_time_and_all_lie_within(first: datetime, seconds: int) -> None:
    last = first + min(timedelta(seconds=seconds), datetime.max.replace(tzinfo=UTC) - first)
    marks = moments.marks(first, last)
    assert len(marks) <= 7
    assert all(first <= at <= last for at, _ in marks)


@pytest.mark.parametrize(
    ("values", "unit", "marks"),
    [
        ([0.16, 0.59], "ratio", [0, 0.2, 0.4, 0.6]),
        ([0.991, 0.999], "ratio", [0.99, 0.992, 0.994, 0.996, 0.998, 1.0]),
        ([0.9999, 0.99999], "ratio", [0.9999, 1]),
        ([15.01 * 2**30, 15.04 * 2**30], "bytes", [15 << 30, (15 << 30) + (64 << 20)]),
        ([3 << 20, 19 << 20], "bytes_per_second", [0, 4 << 20, 8 << 20, 12 << 20, 16 << 20, 20 << 20]),
        ([0, 3], "count", [0, 1, 2, 3]),
        ([0, 0], "count", [0, 1]),
        ([30, 7000], "seconds", [0, 1800, 3600, 5400, 7200]),
        ([-2, 3], "count", [-2, -1, 0, 1, 2, 3]),
        ([math.nextafter(0.1, 0), 0.1], "ratio", [0.099, 0.1]),
    ],
)
def test_an_axis_has_round_figures(values: list[float], unit: str, marks: list[float]) -> None:
    assert scales.round_marks(values, unit) == pytest.approx(marks)


@given(st.lists(st.floats(-1e30, 1e30), min_size=1), st.sampled_from(sorted(figures.UNITS)), st.booleans())
def test_an_axis_spans_every_figure_with_few_marks(values: list[float], unit: str, from_zero: bool) -> None:
    marks = scales.round_marks(values, unit, from_zero=from_zero)
    nearly = (marks[-1] - marks[0]) * 1e-9
    assert 2 <= len(marks) <= 7
    assert marks[0] - nearly <= min(values)
    assert max(values) <= marks[-1] + nearly
    assert len({figures.text(mark, unit) for mark in marks}) == len(marks)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, Größe, 日本語, שלום, 👩‍💻", "plain, Größe, 日本語, שלום, 👩‍💻"),
        ("two\r\nlines\tand a tab\n", "two\nlines\tand a tab\n"),
        ("a\x00b\x1b[31mc\rd\x85", r"a\x00b\x1b[31mc\x0dd\x85"),
        ("photo_\u202egnp.exe\u2066", r"photo_\u202egnp.exe\u2066"),
        ("file\udcff", r"file\udcff"),
        ("zero\u200bwidth\ufeff\ufffe\U000e0041", r"zero\u200bwidth\ufeff\ufffe\U000e0041"),
        ("blank\u3164\u115f\u2800", r"blank\u3164\u115f\u2800"),
        ("x" * 4001, "x" * 4000 + "… (1 more characters)"),
    ],
    ids=["letters", "breaks", "control", "direction", "surrogate", "no-width", "blank", "long"],
)
def test_a_text_hides_nothing(text: str, shown: str) -> None:
    assert texts.visible(text) == shown
