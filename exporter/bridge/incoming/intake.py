"""Reading what Alertmanager sends to a webhook, version 4 of its format.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config has the format, `template.Data` in
Alertmanager's notify/webhook and template packages what is really sent. Of each alert only what is needed is kept.
Addresses (`generatorURL`, `externalURL`, `silenceURL`) are dropped: whoever can send alerts must not choose what this
host asks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from exporter.bridge.model import Alert, AlertStatus
from jobs.core.model import MAX_LABEL, MAX_TEXT, clean_message, clean_text

VERSION = "4"
MAX_LABELS, MAX_ANNOTATIONS = 64, 64
_NO_TIME = "0001-01-01T00:00:00Z"
"""What Go writes for a time that is not set."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,127}")
_FINGERPRINT = re.compile(r"[0-9a-f]{1,64}")


class BadAlerts(Exception):
    """A body that is not what Alertmanager sends; the message is one line that says where and what."""


def parse(body: bytes) -> tuple[Alert, ...]:
    """The alerts of a body, all of them; raise BadAlerts if anything about one of them is wrong.

    Keys that are not known are passed over, as newer versions of Alertmanager have more of them.
    """
    document = _document(body)
    if not isinstance(document, dict):
        raise BadAlerts("the body must be an object")
    if document.get("version") != VERSION:
        raise BadAlerts(f"version: only {VERSION!r} is understood")
    alerts = document.get("alerts")
    if not isinstance(alerts, list):
        raise BadAlerts("alerts: a list is needed")
    return tuple(_alert(f"alerts[{place}]", alert) for place, alert in enumerate(alerts))


def _document(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadAlerts("the body is not JSON in UTF-8, or is nested too deeply") from None


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are unique: of two, one reader takes the first and another one the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadAlerts("an object has a key twice")
    return found


def _no_constant(name: str) -> Any:
    raise BadAlerts(f"{name} is not JSON")


def _alert(where: str, alert: Any) -> Alert:
    if not isinstance(alert, dict):
        raise BadAlerts(f"{where}: an object is needed")
    status, fingerprint = alert.get("status"), alert.get("fingerprint")
    if status not in ("firing", "resolved"):
        raise BadAlerts(f"{where}.status: must be 'firing' or 'resolved'")
    if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
        raise BadAlerts(f"{where}.fingerprint: must be hexadecimal (64 digits at most)")
    starts_at = _time(f"{where}.startsAt", alert.get("startsAt"))
    if starts_at is None:
        raise BadAlerts(f"{where}.startsAt: must be set")
    labels = _texts(f"{where}.labels", alert.get("labels"), MAX_LABELS, MAX_LABEL)
    annotations = _texts(f"{where}.annotations", alert.get("annotations", {}), MAX_ANNOTATIONS, MAX_TEXT)
    return Alert(
        fingerprint=fingerprint,
        status=AlertStatus(status),
        starts_at=starts_at,
        ends_at=_time(f"{where}.endsAt", alert.get("endsAt", _NO_TIME)),
        labels=labels,
        annotations=annotations,
    )


def _texts(where: str, texts: Any, limit: int, longest: int) -> dict[str, str]:
    """Texts by name, cleaned and cut.

    Names that only newer versions of Prometheus allow (any text in UTF-8) are left out: nothing here can refer to
    them, and the alert must not be lost for one of them.
    """
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise BadAlerts(f"{where}: an object is needed in which every value is text")
    if len(texts) > limit:
        raise BadAlerts(f"{where}: {len(texts)} are more than {limit}")
    return {name: clean_message(clean_text(text, longest)) for name, text in texts.items() if _NAME.fullmatch(name)}


def _time(where: str, text: Any) -> datetime | None:
    """A time of RFC 3339 in UTC, to the microsecond; None for Go's zero time."""
    if text == _NO_TIME:
        return None
    try:
        if not isinstance(text, str) or not _TIME.fullmatch(text):
            raise ValueError
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadAlerts(f"{where}: must be a time such as 2026-03-02T12:00:00.123456789Z") from None
    if not 1970 <= time.year < 9999:
        raise BadAlerts(f"{where}: the year {time.year} cannot be right")
    return time.astimezone(UTC)
