"""Cadences: what they parse, which slot is due, and that clock changes neither lose nor repeat a day."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise, repeat
from operator import itemgetter
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import schedule
from croniter import croniter  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from jobs.core.cadence import WEEKDAYS, Cadence

# Zones chosen for their clock changes: at 00:00, 01:00, 02:00, 03:00, 22:00 and 24:00 local time, by half an
# hour, southern summers, Ramadan, none at all, and both ends of the date line.
ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "America/New_York",
    "America/Los_Angeles",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "America/Asuncion",
    "America/Nuuk",
    "America/Scoresbysund",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Asia/Kolkata",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
)
DEFAULTS = (
    "every 5 minutes",
    "daily at 02:00",
    "saturday at 23:00: full",
    "sunday at 05:30: all",
    "monthly on 1 at 08:00",
)
# On the hours at which clocks change, beside them, and at both ends of the day.
HOURS = ("00:00", "00:30", "01:30", "02:00", "02:30", "03:15", "12:00", "22:30", "23:30", "23:59")

steady = settings(derandomize=True)
minutes = st.sampled_from([n for n in range(1, 61) if 60 % n == 0])
modes = st.sampled_from(["", "full", "all"])
clock_times = st.builds(time, hour=st.integers(0, 23), minute=st.integers(0, 59))
cadences = st.one_of(
    st.builds(Cadence, minutes=minutes, mode=modes),
    st.builds(Cadence, at=clock_times, mode=modes),
    st.builds(Cadence, at=clock_times, weekday=st.integers(0, 6), mode=modes),
    st.builds(Cadence, at=clock_times, day=st.integers(1, 28), mode=modes),
)
instants = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2037, 12, 31),  # noqa: DTZ001
    timezones=st.sampled_from([ZoneInfo(name) for name in ZONES]),
    allow_imaginary=False,
)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def in_zone(instant: float, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(instant, zone)


# --- text ---


@steady
@given(cadences)
def test_a_cadence_reads_back_what_it_writes(cadence: Cadence) -> None:
    assert Cadence.parse(str(cadence)) == cadence


@steady
@given(cadences)
def test_the_key_of_a_cadence_is_its_text_without_the_mode(cadence: Cadence) -> None:
    assert Cadence.parse(cadence.key) == Cadence(cadence.minutes, cadence.at, cadence.weekday, cadence.day)


@pytest.mark.parametrize("text", DEFAULTS)
def test_the_guides_own_cadences_are_written_as_they_are_read(text: str) -> None:
    assert str(Cadence.parse(f"  {text} ")) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not a cadence; write 'every 5 minutes'"),
        ("hourly", "is not a cadence"),
        ("daily", "is not a cadence"),
        ("daily at 6:00", "is not a cadence"),
        ("daily at 06:00:", "is not a cadence"),
        ("daily at 06:00\nfull", "is not a cadence"),
        ("daily at 24:00", "24:00 is not a time of day"),
        ("daily at 12:60", "12:60 is not a time of day"),
        ("someday at 12:00", "someday is not a day of the week"),
        ("monthly on 0 at 12:00", "must be 1 to 28"),
        ("monthly on 29 at 12:00", "must be 1 to 28"),
        ("every 0 minutes", "minutes must divide an hour (1, 2, 3,"),
        ("every 7 minutes", "minutes must divide an hour"),
        ("every 61 minutes", "minutes must divide an hour"),
    ],
)
def test_a_wrong_cadence_is_refused_with_what_would_be_right(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)) as refusal:
        Cadence.parse(text)
    assert repr(text) in str(refusal.value)


def test_settings_take_a_cadence_as_text_or_as_itself_and_give_text() -> None:
    class Settings(BaseModel):
        when: Cadence

    noon = Cadence(at=time(12))
    assert Settings.model_validate({"when": "daily at 12:00"}).when == noon
    assert Settings(when=noon).model_dump_json() == '{"when":"daily at 12:00"}'
    assert Settings.model_validate_json('{"when":"daily at 12:00"}').when == noon
    with pytest.raises(ValidationError, match="is not a time of day"):
        Settings.model_validate({"when": "daily at 25:00"})


# --- slots ---


@pytest.mark.parametrize(
    ("text", "now", "slot", "following"),
    [
        ("every 5 minutes", "2024-05-01T12:04:59", "2024-05-01T12:00:00+00:00", "2024-05-01T12:05:00"),
        ("every 5 minutes", "2024-05-01T12:05:00", "2024-05-01T12:05:00+00:00", "2024-05-01T12:10:00"),
        ("daily at 06:00", "2024-05-01T05:59:59", "2024-04-30", "2024-05-01T06:00:00"),
        ("daily at 06:00", "2024-05-01T06:00:00", "2024-05-01", "2024-05-02T06:00:00"),
        ("daily at 00:00", "2024-12-31T23:59:59", "2024-12-31", "2025-01-01T00:00:00"),
        ("daily at 06:00", "2024-02-28T07:00:00", "2024-02-28", "2024-02-29T06:00:00"),
        ("daily at 06:00", "2024-02-29T07:00:00", "2024-02-29", "2024-03-01T06:00:00"),
        ("daily at 06:00", "2025-02-28T07:00:00", "2025-02-28", "2025-03-01T06:00:00"),
        ("saturday at 23:00", "2024-05-04T22:59:00", "2024-04-27", "2024-05-04T23:00:00"),
        ("saturday at 23:00", "2024-05-04T23:00:00", "2024-05-04", "2024-05-11T23:00:00"),
        ("monthly on 1 at 08:00", "2024-03-01T07:59:00", "2024-02-01", "2024-03-01T08:00:00"),
        ("monthly on 1 at 08:00", "2024-12-01T08:00:00", "2024-12-01", "2025-01-01T08:00:00"),
        ("monthly on 28 at 08:00", "2025-02-28T08:00:00", "2025-02-28", "2025-03-28T08:00:00"),
    ],
)
def test_due_slot_and_the_one_after_it(text: str, now: str, slot: str, following: str) -> None:
    cadence = Cadence.parse(text)
    assert cadence.due_slot(at(now)) == slot
    assert cadence.next_time(at(now)) == at(following)
    assert cadence.slot_time(slot, at(now)) <= at(now)


@steady
@given(cadences, instants)
def test_the_due_slot_has_begun_and_the_next_has_not(cadence: Cadence, now: datetime) -> None:
    slot, following = cadence.due_slot(now), cadence.next_time(now)
    assert cadence.slot_time(slot, now).timestamp() <= now.timestamp() < following.timestamp()


@steady
@given(cadences, instants)
def test_the_slot_changes_exactly_at_the_next_time(cadence: Cadence, now: datetime) -> None:
    zone, begins = now.tzinfo, cadence.next_time(now).timestamp()
    assert isinstance(zone, ZoneInfo)
    slot = cadence.due_slot(now)
    after = cadence.due_slot(in_zone(begins, zone))
    assert cadence.due_slot(in_zone(begins - 1, zone)) == slot
    assert after != slot
    assert cadence.slot_time(after, now).timestamp() == begins
    assert cadence.slots_between(slot, after) == 0


@steady
@given(cadences, instants, st.integers(1, 40))
def test_slots_between_counts_the_slots_passed_over(cadence: Cadence, now: datetime, passed: int) -> None:
    first = cadence.due_slot(now)
    for _ in range(passed + 1):
        now = cadence.next_time(now)
    last = cadence.due_slot(now)
    assert cadence.slots_between(first, last) == passed
    assert cadence.slots_between(last, first) == 0
    assert cadence.slots_between(last, last) == 0


@pytest.mark.parametrize(
    ("text", "earlier", "later", "count"),
    [
        ("daily at 06:00", "2024-02-27", "2024-03-01", 2),
        ("daily at 06:00", "2025-02-27", "2025-03-01", 1),
        ("saturday at 23:00", "2024-04-27", "2024-05-18", 2),
        ("monthly on 1 at 08:00", "2023-11-01", "2024-03-01", 3),
        ("every 5 minutes", "2024-05-01T12:00:00+00:00", "2024-05-02T12:00:00+00:00", 287),
    ],
)
def test_slots_between_by_example(text: str, earlier: str, later: str, count: int) -> None:
    assert Cadence.parse(text).slots_between(earlier, later) == count


def test_a_time_that_the_spring_clock_change_skips_is_due_right_after_the_gap() -> None:
    cadence = Cadence.parse("daily at 02:30")
    before, after = at("2024-03-31T01:59:59", "Europe/Berlin"), at("2024-03-31T03:00:00", "Europe/Berlin")
    assert cadence.due_slot(before) == "2024-03-30"
    assert cadence.next_time(before).isoformat() == after.isoformat()
    assert cadence.due_slot(after) == "2024-03-31"


def test_a_time_that_the_autumn_clock_change_repeats_is_one_slot() -> None:
    cadence = Cadence.parse("daily at 02:30")
    second_time = at("2024-10-27T02:10:00", "Europe/Berlin").replace(fold=1)
    assert cadence.due_slot(second_time) == "2024-10-27"
    assert cadence.next_time(second_time).isoformat() == "2024-10-28T02:30:00+01:00"


def test_a_day_that_the_autumn_clock_change_returns_to_is_not_due_again() -> None:
    # St John's used to put its clock back at 00:01, from one day into the day before.
    cadence = Cadence.parse("daily at 00:00")
    back_again = at("2010-11-06T23:30:00", "America/St_Johns").replace(fold=1)
    assert cadence.due_slot(back_again) == "2010-11-07"


@pytest.mark.parametrize("name", ZONES)
def test_two_years_of_ticks_run_every_local_day_once_and_on_time(name: str) -> None:
    expected = [(date(2024, 1, 1) + timedelta(days=n)).isoformat() for n in range(731)]
    for clock in HOURS:
        ticks = list(_ticks(ZoneInfo(name), time.fromisoformat(clock)))
        runs = _claims(Cadence.parse(f"daily at {clock}"), ticks)
        assert [slot for slot, _ in runs if slot >= "2024-01-01"] == expected[: len(runs) - 1]
        assert len(runs) in (731, 732)
        assert dict(runs[1:]) == _first_readings(ticks, [slot for slot, _ in runs[1:]], clock)


def _ticks(zone: ZoneInfo, clock: time) -> Iterator[datetime]:
    """Two years: every half hour around a clock change, and on all days just before the clock and at it."""
    for number in range(731):
        day = date(2024, 1, 1) + timedelta(days=number)
        moment = datetime.combine(day, clock, zone).timestamp()
        instants = {moment - 60, moment}
        instants.update(_half_hours_around_a_change(day, zone))
        yield from (in_zone(instant, zone) for instant in sorted(instants))


@cache
def _half_hours_around_a_change(day: date, zone: ZoneInfo) -> range:
    """Those of a day, if the clock of the zone changes on it or beside it."""
    start = int(datetime.combine(day, time(0), zone).timestamp())
    changes = in_zone(start - 14 * 3600, zone).utcoffset() != in_zone(start + 38 * 3600, zone).utcoffset()
    return range(start, start + 25 * 3600, 1800) if changes else range(0)


def _claims(cadence: Cadence, ticks: Iterable[datetime]) -> list[tuple[str, datetime]]:
    """What a store that gives each slot away once would let run."""
    runs: dict[str, datetime] = {}
    for now in ticks:
        runs.setdefault(cadence.due_slot(now), now)
    return list(runs.items())


def _first_readings(ticks: Iterable[datetime], slots: Iterable[str], clock: str) -> dict[str, datetime]:
    """For each day the first tick at which the clock reads the time or later: told from its face alone."""
    highest, faces = "", []
    for tick in ticks:
        highest = max(highest, tick.isoformat()[:16])
        faces.append((highest, tick))
    return {slot: faces[bisect_left(faces, f"{slot}T{clock}", key=itemgetter(0))][1] for slot in slots}


@pytest.mark.parametrize("name", ZONES)
def test_weeks_and_months_are_whole_in_every_zone(name: str) -> None:
    ticks = list(_ticks(ZoneInfo(name), time(2, 30)))
    weekly = [slot for slot, _ in _claims(Cadence.parse("sunday at 02:30"), ticks)]
    monthly = [slot for slot, _ in _claims(Cadence.parse("monthly on 1 at 02:30"), ticks)]
    sundays = (date(2024, 1, 7) + timedelta(weeks=n) for n in range(104))
    assert weekly[1:] == [day.isoformat() for day in sundays]
    assert monthly[1:] == [date(y, m, 1).isoformat() for y in (2024, 2025) for m in range(1, 13)]


# --- three renderings of one value ---

RENDERED = (
    "every 1 minute",
    "every 5 minutes",
    "every 30 minutes",
    "every 60 minutes",
    "daily at 00:00",
    "daily at 06:00",
    "monday at 00:05",
    "saturday at 23:00",
    "sunday at 05:30",
    "monthly on 1 at 08:00",
    "monthly on 28 at 23:59",
)
STARTS = ("2024-01-31T23:59:30", "2024-02-28T12:00:30", "2024-12-31T23:00:30", "2025-03-01T08:00:30")


def _next_times(cadence: Cadence, now: datetime, count: int) -> list[datetime]:
    times = []
    for _ in range(count):
        now = cadence.next_time(now)
        times.append(now)
    return times


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("text", RENDERED)
def test_the_crontab_line_fires_when_the_cadence_is_due(text: str, start: str) -> None:
    cadence = Cadence.parse(text)
    cron = croniter(cadence.crontab(), at(start))
    assert [cron.get_next(datetime) for _ in range(30)] == _next_times(cadence, at(start), 30)


@pytest.mark.parametrize("text", RENDERED)
def test_systemd_elapses_when_the_cadence_is_due(text: str) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    cadence = Cadence.parse(text)
    for start in STARTS[:2]:
        assert _systemd_times(cadence.on_calendar(), start, 15) == _next_times(cadence, at(start), 15)


def _systemd_times(expression: str, start: str, count: int) -> list[datetime]:
    base = start.replace("T", " ") + " UTC"
    listing = subprocess.run(
        ["systemd-analyze", "calendar", f"--iterations={count}", f"--base-time={base}", expression],
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    ).stdout
    found = re.findall(r"(?:Next elapse|Iter\. #\d+): \w{3} (\S+ \S+) UTC", listing)
    return [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in found]


class Wall(datetime):
    """The clock that the `schedule` library sees."""

    reads: datetime

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return cls.reads


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> type[Wall]:
    monkeypatch.setattr(schedule, "datetime", SimpleNamespace(datetime=Wall, time=time, timedelta=timedelta))
    return Wall


def _ticked_slots(cadence: Cadence, wall: type[Wall], start: str, steps: Iterable[float]) -> list[str]:
    """The slots claimed by a daemon that looks at its schedule after each of `steps` seconds."""
    claimed: list[str] = []

    def tick() -> None:
        slot = cadence.due_slot(wall.reads.replace(tzinfo=UTC))
        if slot not in claimed:
            claimed.append(slot)

    wall.reads = datetime.fromisoformat(start)
    scheduler = schedule.Scheduler()
    cadence.schedule(scheduler, tick)
    for step in steps:
        wall.reads += timedelta(seconds=step)
        scheduler.run_pending()
    return claimed


@pytest.mark.parametrize("text", [text for text in RENDERED if "minute" not in text])
def test_the_schedule_library_ticks_in_every_slot_of_a_year(text: str, wall: type[Wall]) -> None:
    cadence, start = Cadence.parse(text), "2024-01-01T00:00:30"
    claimed = _ticked_slots(cadence, wall, start, repeat(1800.0, 48 * 366))
    assert len([slot for slot in claimed if slot.startswith("2024")]) == _slots_of_2024(text)
    assert all(cadence.slots_between(a, b) == 0 for a, b in pairwise(claimed))


def _slots_of_2024(text: str) -> int:
    if "monthly" in text:
        return 12
    # The first slot of the year began before the daemon did where it was due at midnight on 1 January.
    return {"daily at 00:00": 365, "monday at 00:05": 53}.get(text, 52 if "day at" in text else 366)


@pytest.mark.parametrize("interval", [1, 5, 60])
def test_late_ticks_never_drift_past_an_interval(interval: int, wall: type[Wall]) -> None:
    # `schedule` counts an interval from the end of the last run: each tick that comes 0.7 s late moves all
    # that follow, until a whole slot falls between two of them.
    cadence, start = Cadence.parse(f"every {interval} minutes"), "2024-01-01T00:00:00"
    step = 7.3
    claimed = _ticked_slots(cadence, wall, start, repeat(step, int(interval * 60 * 200 / step)))
    assert len(claimed) >= 199
    assert all(cadence.slots_between(a, b) == 0 for a, b in pairwise(claimed))


@pytest.mark.parametrize("interval", [5, 30, 60])
@pytest.mark.parametrize("name", ["UTC", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe"])
def test_cron_meets_every_slot_of_an_interval_in_zones_off_by_less_than_an_hour(name: str, interval: int) -> None:
    # Slots begin by UTC and cron counts by the local clock: they may differ in phase, never in number.
    zone, cadence = ZoneInfo(name), Cadence(minutes=interval)
    start = datetime(2024, 6, 1, tzinfo=zone)
    cron = croniter(cadence.crontab(), start)
    slots = [cadence.due_slot(cron.get_next(datetime)) for _ in range(200)]
    assert all(cadence.slots_between(a, b) == 0 and a != b for a, b in pairwise(slots))


def test_weekdays_are_counted_as_each_rendering_counts_them() -> None:
    for number, name in enumerate(WEEKDAYS):
        cadence = Cadence.parse(f"{name} at 04:00")
        assert cadence.crontab() == f"0 4 * * {(number + 1) % 7}"
        assert cadence.on_calendar() == f"{name[:3].capitalize()} *-*-* 04:00:00"
