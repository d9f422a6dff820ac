"""Hours of the week: the quiet ones, and those in which nobody wants a repair."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from jobs.core.cadence import WEEKDAYS

_TEXT = re.compile(r"(?:(daily|[a-z]+day) )?(\d{2}:\d{2})-(\d{2}:\d{2})")


@dataclass(frozen=True)
class Hours:
    """From one local time of the day to another, `22:00-07:00`, each day or on one: `sunday 02:00-04:00`.

    They begin on that day, and end on the next one where the end is not after the beginning.
    """

    begin: time
    end: time
    weekday: int | None = None

    @classmethod
    def parse(cls, text: str) -> Hours:
        """The hours that a text names; raise ValueError."""
        match = _TEXT.fullmatch(text.strip().lower())
        try:
            if not match or match[1] not in (None, "daily", *WEEKDAYS):
                raise ValueError
            begin, end = time.fromisoformat(match[2]), time.fromisoformat(match[3])
        except ValueError:
            raise ValueError(f"{text!r} are no hours; write '22:00-07:00' or 'sunday 02:00-04:00'") from None
        if begin == end:
            raise ValueError(f"{text!r}: the hours begin and end at the same time")
        return cls(begin, end, WEEKDAYS.index(match[1]) if match[1] in WEEKDAYS else None)

    def until(self, now: datetime) -> datetime | None:
        """When the hours end in which `now` (with its zone) is, or None if it is in none."""
        for back in (0, 1):
            day = now.date() - timedelta(days=back)
            if self.weekday not in (None, day.weekday()):
                continue
            begin = datetime.combine(day, self.begin, now.tzinfo)
            last = day + timedelta(days=1) if self.end <= self.begin else day
            end = datetime.combine(last, self.end, now.tzinfo)
            if begin <= now < end:
                return end
        return None

    def __str__(self) -> str:
        day = "" if self.weekday is None else f"{WEEKDAYS[self.weekday]} "
        return f"{day}{self.begin:%H:%M}-{self.end:%H:%M}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Hours stand in a configuration as their text."""
        from_text = core_schema.no_info_after_validator_function(cls.parse, core_schema.str_schema())
        return core_schema.json_or_python_schema(
            json_schema=from_text,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), from_text]),
            serialization=core_schema.to_string_ser_schema(),
        )
