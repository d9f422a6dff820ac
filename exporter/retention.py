"""Whether what is past its time may be removed: not by a clock that was just set."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

from jobs.clients.clock_marks import ClockMarks

logger = logging.getLogger(__name__)


def may_remove(base_dir: Path, what: str, now: datetime) -> bool:
    """Whether the clock has run on by itself since this was asked last of `what` (`reports-health-check`).

    By a date that is wrong everything would be past its time. The next time counts from now on. Raise OSError where
    that cannot be remembered.
    """
    marks = ClockMarks(base_dir)
    jump = marks.jump(what, now)
    marks.set(what, now)
    if jump is not None:
        hours = round(jump.total_seconds() / 3600, 1)
        logger.warning("the clock was set: nothing is removed as too old this time", extra={"of": what, "hours": hours})
    return jump is None
