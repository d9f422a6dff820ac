"""Percentiles from buckets, against the values themselves."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.store import sketch

values = st.floats(-1e300, 1e300, allow_nan=False)


def sketch_of(numbers: list[float]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for number in numbers:
        counts[sketch.key_of(number)] = counts.get(sketch.key_of(number), 0) + 1
    return counts


def exact(numbers: list[float], percent: float) -> float:
    return sorted(numbers)[int(percent / 100 * (len(numbers) - 1))]


@given(st.lists(values, min_size=1, max_size=300), st.sampled_from((0, 50, 95, 99, 100)))
def test_a_percentile_is_within_one_hundredth(numbers: list[float], percent: float) -> None:
    found = sketch.percentile(sketch_of(numbers), percent)
    assert found == pytest.approx(exact(numbers, percent), rel=sketch.ACCURACY * 1.000001, abs=1e-300)


@given(st.lists(st.lists(values, max_size=50), max_size=6))
def test_what_is_added_up_is_as_if_it_had_been_one(parts: list[list[float]]) -> None:
    whole = sketch.added(sketch.pack(sketch_of(part)) for part in parts)
    assert whole == sketch_of([number for part in parts for number in part])


@given(st.dictionaries(st.integers(-80_000, 80_000), st.integers(1, 1 << 40)))
def test_packed_it_is_the_same(counts: dict[int, int]) -> None:
    assert dict(sketch.unpacked(sketch.pack(counts))) == counts


@pytest.mark.parametrize(
    "value", [0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, sys.float_info.min, 1e300, -1e300, sys.float_info.max]
)
def test_every_finite_value_has_a_bucket_on_its_side_of_zero(value: float) -> None:
    key = sketch.key_of(value)
    assert (key > 0, key < 0) == (value > 0, value < 0)


def test_keys_are_in_the_order_of_values() -> None:
    numbers = [-1e300, -5.0, -1e-300, 0.0, 5e-324, 1e-9, 0.99, 1.0, 1.05, 7e12, 1e300]
    assert sorted(numbers, key=sketch.key_of) == numbers


def test_an_hour_of_one_value_takes_few_bytes() -> None:
    assert len(sketch.pack({sketch.key_of(0.42): 12})) == 4


def test_nothing_has_no_percentiles() -> None:
    with pytest.raises(ValueError, match="of nothing"):
        sketch.percentile({}, 50)
