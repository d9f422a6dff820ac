"""Which time a report is about, and with which it is compared."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

HOUR_SECONDS, DAY_SECONDS = 3600, 86400
_LENGTHS = {
    "daily": (1, HOUR_SECONDS, HOUR_SECONDS),
    "weekly": (7, HOUR_SECONDS, 6 * HOUR_SECONDS),
    "monthly": (30, DAY_SECONDS, DAY_SECONDS),
}
"""By mode: days, the unit that a period begins with, and the step of its trends."""


@dataclass(frozen=True)
class Period:
    """The time from `since` to `until`, which is now; the period before, of `days` whole days, ends where it begins.

    It begins with a whole hour, or for a month with a whole day of UTC, as the history is kept so: it is that much
    longer than its days.
    """

    mode: str
    days: int
    since: datetime
    until: datetime
    step_seconds: int

    @property
    def before(self) -> datetime:
        """When the period before begins."""
        return datetime.fromtimestamp(self.since.timestamp() - self.before_seconds, self.since.tzinfo)

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.until.timestamp() - self.since.timestamp()

    @property
    def before_seconds(self) -> float:
        """How long the period before is."""
        return float(self.days * DAY_SECONDS)


def period_of(mode: str, now: datetime) -> Period:
    """The last day, week or 30 days before `now`, in whole hours or days, and what has begun since."""
    days, unit, step = _LENGTHS[mode]
    begun = now.timestamp() // unit * unit
    return Period(mode, days, datetime.fromtimestamp(begun - days * DAY_SECONDS, now.tzinfo), now, step)
