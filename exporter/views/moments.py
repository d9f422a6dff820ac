"""Times as documents have them: ISO 8601 with an offset, whole seconds, in the zone of whoever looks."""

from __future__ import annotations

from datetime import UTC, datetime

from exporter.views.sources import Sources
from jobs.pages import moments


def told(sources: Sources, at: datetime) -> str:
    """A time. One that a calendar has no place for in that zone (the year 1, of an alert) keeps its own."""
    try:
        return at.astimezone(sources.now.tzinfo).isoformat(timespec="seconds")
    except (OverflowError, ValueError):
        return at.isoformat(timespec="seconds")


def read(at: str | None) -> str:
    """A time of a document as it stands in a sentence, to the minute: `28 Nov 01:15`."""
    return moments.short(datetime.fromisoformat(at)) if at else "?"


def told_seconds(sources: Sources, stamp: float | None) -> str | None:
    """A Unix time; None where there is none, or it is none."""
    if stamp is None:
        return None
    try:
        return told(sources, datetime.fromtimestamp(stamp, UTC))
    except (OverflowError, ValueError, OSError):
        return None
