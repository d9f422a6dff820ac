"""When a job is due: one value that renders as a `schedule` job, a crontab line and a systemd `OnCalendar`.

A cadence divides time into slots. A calendar slot is named by its local date, an interval slot by the
UTC instant at which it begins. A calendar slot begins when the local clock *first reads* its time on that
day or a later one: a time that a clock change skips is due right after the gap, and one that it repeats is
due the first time only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

if TYPE_CHECKING:
    import schedule  # only the daemon loads it

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_INTERVALS = tuple(n for n in range(1, 61) if 60 % n == 0)
_FORMS = (
    "'every 5 minutes', 'daily at 06:00', 'saturday at 23:00' or 'monthly on 1 at 08:00', "
    "each with ': mode' after it where the job has modes"
)
_PATTERN = re.compile(
    r"(?:every (?P<minutes>\d{1,2}) minutes?"
    r"|(?:(?P<daily>daily)|(?P<weekday>[a-z]+day)|monthly on (?P<day>\d{1,2})) at (?P<at>\d{2}:\d{2}))"
    r"(?:: (?P<mode>[a-z]+))?"
)


@dataclass(frozen=True)
class Cadence:
    """A rhythm. Exactly one of `minutes` and `at` is set; `weekday` (0 is Monday) and `day` narrow `at`."""

    minutes: int | None = None
    at: time | None = None
    weekday: int | None = None
    day: int | None = None
    mode: str = ""

    @classmethod
    def parse(cls, text: str) -> Cadence:
        """Given `saturday at 23:00: full`, return its cadence; raise ValueError naming the accepted forms."""
        match = _PATTERN.fullmatch(text.strip())
        if not match:
            raise ValueError(f"{text!r} is not a cadence; write {_FORMS}")
        mode = match["mode"] or ""
        if match["minutes"]:
            minutes = int(match["minutes"])
            if minutes not in _INTERVALS:
                raise ValueError(f"{text!r}: minutes must divide an hour ({', '.join(map(str, _INTERVALS))})")
            return cls(minutes=minutes, mode=mode)
        try:
            at = time.fromisoformat(match["at"])
        except ValueError:
            raise ValueError(f"{text!r}: {match['at']} is not a time of day") from None
        if match["weekday"] and match["weekday"] not in WEEKDAYS:
            raise ValueError(f"{text!r}: {match['weekday']} is not a day of the week")
        # Days beyond 28 do not come every month, and a monthly job that skips February surprises.
        if match["day"] and not 1 <= int(match["day"]) <= 28:
            raise ValueError(f"{text!r}: the day of the month must be 1 to 28")
        return cls(
            at=at,
            weekday=WEEKDAYS.index(match["weekday"]) if match["weekday"] else None,
            day=int(match["day"]) if match["day"] else None,
            mode=mode,
        )

    @property
    def key(self) -> str:
        """What identifies the cadence in the store: its text without the mode."""
        if self.minutes is not None:
            return f"every {self.minutes} minute{'s' if self.minutes > 1 else ''}"
        clock = f"{self._clock:%H:%M}"
        if self.weekday is not None:
            return f"{WEEKDAYS[self.weekday]} at {clock}"
        if self.day is not None:
            return f"monthly on {self.day} at {clock}"
        return f"daily at {clock}"

    def __str__(self) -> str:
        return f"{self.key}: {self.mode}" if self.mode else self.key

    @property
    def _clock(self) -> time:
        if self.at is None:
            raise ValueError("an interval has no time of day")
        return self.at

    @property
    def period_seconds(self) -> int:
        """The usual distance between two slots."""
        if self.minutes is not None:
            return self.minutes * 60
        if self.day is not None:
            return 31 * 86400
        return (7 if self.weekday is not None else 1) * 86400

    def due_slot(self, now: datetime) -> str:
        """The newest slot that has begun at `now` (aware, in the zone whose clock counts)."""
        if self.minutes is not None:
            width = self.minutes * 60
            return _instant(int(now.timestamp()) // width * width)
        # A clock put back at midnight reads yesterday's date again, while today's slot has begun already.
        day = self._last_day(now.date() + timedelta(days=1))
        while self._begins(day, now.tzinfo) > now.timestamp():
            day = self._last_day(day - timedelta(days=1))
        return day.isoformat()

    def next_time(self, now: datetime) -> datetime:
        """When the slot after `due_slot(now)` begins, in the zone of `now`."""
        if self.minutes is not None:
            width = self.minutes * 60
            return datetime.fromtimestamp((int(now.timestamp()) // width + 1) * width, now.tzinfo)
        day = date.fromisoformat(self.due_slot(now)) + timedelta(days=1)
        return datetime.fromtimestamp(self._begins(self._next_day(day), now.tzinfo), now.tzinfo)

    def slots_between(self, earlier: str, later: str) -> int:
        """How many slots lie strictly between two slots of this cadence (0 when they are out of order)."""
        if self.minutes is not None:
            distance = (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
            return max(0, int(distance // (self.minutes * 60)) - 1)
        count, day = 0, self._next_day(date.fromisoformat(earlier) + timedelta(days=1))
        end = date.fromisoformat(later)
        while day < end:
            count, day = count + 1, self._next_day(day + timedelta(days=1))
        return count

    def slot_time(self, slot: str, now: datetime) -> datetime:
        """When a slot of this cadence began, in the zone of `now`."""
        if self.minutes is not None:
            return datetime.fromisoformat(slot).astimezone(now.tzinfo)
        return datetime.fromtimestamp(self._begins(date.fromisoformat(slot), now.tzinfo), now.tzinfo)

    def _begins(self, day: date, zone: tzinfo | None) -> float:
        return _first_reading(datetime.combine(day, self._clock, zone))

    def _fits(self, day: date) -> bool:
        return (self.weekday is None or day.weekday() == self.weekday) and (self.day is None or day.day == self.day)

    def _last_day(self, day: date) -> date:
        while not self._fits(day):
            day -= timedelta(days=1)
        return day

    def _next_day(self, day: date) -> date:
        while not self._fits(day):
            day += timedelta(days=1)
        return day

    def schedule(self, scheduler: schedule.Scheduler, tick: Callable[[], object]) -> schedule.Job:
        """Register `tick` with the `schedule` library, which knows no months: those tick daily.

        It counts an interval from the end of the last run, so that ticks drift until one falls behind a
        whole slot: intervals tick at the start of every minute. A tick asks for `due_slot`, so one too many
        does nothing.
        """
        rhythm = scheduler.every()
        if self.minutes is not None:
            timed = rhythm.minute.at(":00")
        else:
            unit = "day" if self.weekday is None else WEEKDAYS[self.weekday]
            timed = getattr(rhythm, unit).at(f"{self._clock:%H:%M}")
        registered: schedule.Job = timed.do(tick)
        return registered

    def crontab(self) -> str:
        """The five time fields of a crontab line."""
        if self.minutes is not None:
            return "0 * * * *" if self.minutes == 60 else f"*/{self.minutes} * * * *"
        weekday = "*" if self.weekday is None else str((self.weekday + 1) % 7)
        return f"{self._clock.minute} {self._clock.hour} {self.day or '*'} * {weekday}"

    def on_calendar(self) -> str:
        """A systemd calendar expression (systemd.time(7))."""
        if self.minutes is not None:
            return "*-*-* *:00:00" if self.minutes == 60 else f"*-*-* *:00/{self.minutes}:00"
        weekday = "" if self.weekday is None else WEEKDAYS[self.weekday][:3].capitalize() + " "
        return f"{weekday}*-*-{self.day or '*'} {self._clock:%H:%M}:00"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        from_text = core_schema.no_info_after_validator_function(cls.parse, core_schema.str_schema())
        return core_schema.json_or_python_schema(
            json_schema=from_text,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), from_text]),
            serialization=core_schema.to_string_ser_schema(),
        )


def _first_reading(moment: datetime) -> float:
    """The Unix time at which the clock of `moment`'s zone first reads its time or, where it skips it, a later one."""
    begins = moment.timestamp()
    if datetime.fromtimestamp(begins, moment.tzinfo) == moment:  # within one zone faces are compared, not instants
        return begins
    # Of a skipped time, the two folds lie on either side of the change (PEP 495).
    before, after = int(moment.replace(fold=1).timestamp()), int(begins)
    old_offset = datetime.fromtimestamp(before, moment.tzinfo).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, moment.tzinfo).utcoffset() == old_offset:
            before = middle
        else:
            after = middle
    return after


def _instant(epoch_seconds: int) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat()
