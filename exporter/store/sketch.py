"""How values are distributed, in buckets whose width grows with the value, so that percentiles are right to 1 %.

The mapping is DDSketch's (Masson, Rim and Lee 2019, https://arxiv.org/abs/1908.10693): a value x > 0 belongs to bucket
ceil(log(x) / log(gamma)) with gamma = (1 + a) / (1 - a), and 2 * gamma ** bucket / (gamma + 1) is within a * x of it.
Sketches are added up bucket by bucket, and lose nothing by it. Buckets are few, as few values differ by more than 1 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

ACCURACY = 0.01
"""How far a percentile may be from the value that it stands for, as a share of it."""
_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GAMMA = math.log(_GAMMA)
_ONE = 40_000
"""The key of the bucket of 1: the least positive float has a positive key, and a key's sign is its values'."""

Sketch = Mapping[int, int]
"""How many values there were by key. Keys are in the order of the values: negative ones below 0, which is 0's own."""


def key_of(value: float) -> int:
    """The key of the bucket that a finite value belongs to."""
    if value == 0:
        return 0
    key = math.ceil(math.log(abs(value)) / _LOG_GAMMA) + _ONE
    return key if value > 0 else -key


def value_of(key: int) -> float:
    """The value that stands for all in a bucket."""
    if key == 0:
        return 0.0
    return math.copysign(2 * _GAMMA ** (abs(key) - _ONE) / (_GAMMA + 1), key)


def percentile(sketch: Sketch, percent: float) -> float:
    """The value that `percent` of the values do not exceed; raise ValueError if there are none."""
    rank, passed = percent / 100 * (sum(sketch.values()) - 1), 0
    for key in sorted(sketch):
        passed += sketch[key]
        if passed > rank:
            return value_of(key)
    raise ValueError("a sketch of nothing has no percentiles")


def added(packed: Iterable[bytes]) -> dict[int, int]:
    """The sketch of all the values of several, each packed."""
    whole: dict[int, int] = {}
    for content in packed:
        for key, count in unpacked(content):
            whole[key] = whole.get(key, 0) + count
    return whole


def pack(sketch: Sketch) -> bytes:
    """A sketch in few bytes: the distance of each key to the one before, and its count, as LEB128 numbers."""
    content, before = bytearray(), -2 * _ONE
    for key in sorted(sketch):
        for number in (key - before, sketch[key]):
            while number > 0x7F:
                content.append(number & 0x7F | 0x80)
                number >>= 7
            content.append(number)
        before = key
    return bytes(content)


def unpacked(content: bytes) -> Iterator[tuple[int, int]]:
    """The keys and counts of a packed sketch."""
    key, numbers = -2 * _ONE, _numbers(content)
    for distance in numbers:
        key += distance
        yield key, next(numbers)


def _numbers(content: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in content:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0
