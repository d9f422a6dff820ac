"""How values are worded for people: verdicts, moments, shares, durations."""

from __future__ import annotations

from datetime import datetime

from markupsafe import Markup

from exporter.dashboard.markup import element
from jobs.pages import moments

VERDICTS = {"good": "Good.", "attention": "Attention.", "critical": "Critical.", "unknown": "Not known."}
TONES = {"good": "good", "attention": "warning", "critical": "critical", "unknown": "unknown"}
_SEVERITIES = {"critical": "critical", "high": "critical", "medium": "warning", "low": "plain", "info": "plain"}
_OUTCOMES = {"ok": "good", "error": "critical", "timeout": "critical", "stopped": "warning", "skipped": "warning"}
NONE = Markup("&ndash;")
NOT_KNOWN = Markup('<span data-tone="unknown">not known</span>')


def moment(at: str | None) -> Markup:
    """A time of a document, to the minute."""
    if at is None:
        return NONE
    when = datetime.fromisoformat(at)
    return element("time", f"{moments.text(when)} {moments.zone(when)}", datetime=at)


def severity(name: str) -> Markup:
    """A severity as a badge."""
    return badge(name, _SEVERITIES.get(name, "plain"))


def outcome(name: str) -> Markup:
    """An outcome as a badge."""
    return badge(name, _OUTCOMES.get(name, "plain"))


def badge(word: str, tone: str) -> Markup:
    """A word that stands out."""
    return element("span", word, class_="badge", data_tone=tone)


def percent(ratio: float | None) -> object:
    """A share."""
    return NOT_KNOWN if ratio is None else f"{ratio:.1%}".replace(".0%", "%")


def seconds(duration: float) -> str:
    """A duration: `0.4 s`, `12 s`, `3 min`, `2.5 h`."""
    if duration < 10:
        return f"{duration:.1f} s"
    if duration < 120:
        return f"{duration:.0f} s"
    return f"{duration / 60:.0f} min" if duration < 7200 else f"{duration / 3600:.1f} h"
