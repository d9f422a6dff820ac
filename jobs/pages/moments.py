"""Moments for people, in the zone that they are given in; English whatever the locale."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY = 86400
_MOST_MARKS = 6
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
          _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 28 * _DAY, 91 * _DAY, 182 * _DAY)  # fmt: skip


def text(at: datetime) -> str:
    """The minute: "28 Nov 2026 01:15"."""
    return f"{day(at)} {at.year} {minute(at)}"


def short(at: datetime) -> str:
    """The same without the year: "28 Nov 01:15"."""
    return f"{day(at)} {minute(at)}"


def machine(at: datetime) -> str:
    """A moment for machines, with the zone: "2026-11-28T01:15+01:00"."""
    return at.isoformat(timespec="seconds" if at.second else "minutes")


def zone(at: datetime) -> str:
    """The zone that a moment is told in: "CET", "UTC"."""
    return at.tzname() or "local time"


def day(at: datetime) -> str:
    """The day: "28 Nov"."""
    return f"{at.day} {_MONTHS[at.month - 1]}"


def minute(at: datetime) -> str:
    """The time of day: "01:15"."""
    return f"{at.hour:02}:{at.minute:02}"


def marks(first: datetime, last: datetime) -> list[tuple[datetime, str]]:
    """Even moments from `first` to `last`, at most _MOST_MARKS, each with what to write there."""
    span = (last - first).total_seconds()
    step = next((step for step in _STEPS if span / step < _MOST_MARKS), _DAY * 365 * int(1 + span / _DAY / 365 / 5))
    return [(at, _mark(at, step)) for at in _even(first, last, step)]


def _even(first: datetime, last: datetime, step: int) -> Iterator[datetime]:
    """Whole steps of the clock on the wall since midnight, also where the clocks change."""
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    since = (first.replace(tzinfo=None) - midnight.replace(tzinfo=None)).total_seconds()
    seconds = -int(-since // step) * step
    while seconds <= (last.replace(tzinfo=None) - midnight.replace(tzinfo=None)).total_seconds():
        # Of an hour that is left out, the one that is there instead.
        yield datetime.fromtimestamp((midnight + timedelta(seconds=seconds)).timestamp(), first.tzinfo)
        seconds += step


def _mark(at: datetime, step: int) -> str:
    if step >= 182 * _DAY:
        return f"{_MONTHS[at.month - 1]} {at.year}"
    if step >= _DAY or not (at.hour or at.minute or at.second):
        return day(at)
    return f"{minute(at)}:{at.second:02}" if step < 60 else minute(at)
