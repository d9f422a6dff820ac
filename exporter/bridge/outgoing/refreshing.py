"""Alertmanager forgets what nobody tells it anew: what still stands is told again each minute."""

from __future__ import annotations

import contextlib
from datetime import datetime

from pydantic import ValidationError

from exporter.bridge.model import Problem
from exporter.bridge.outgoing.wording import host_name
from exporter.settings import Settings
from exporter.store import Store

REFRESH_SECONDS = 60.0
_STANDING = """
SELECT problem, EXISTS (
  SELECT 1 FROM told JOIN outbox o ON o.id = told.entry
  WHERE told.problem = problems.id AND told.severity = 'critical' AND o.channel = 'alertmanager')
FROM problems WHERE cleared IS NULL ORDER BY id
"""


def stands_anything(store: Store, settings: Settings) -> bool:
    """Whether there is anything to tell an Alertmanager anew; raise StoreError."""
    return settings.alertmanager.url is not None and bool(
        store.rows("SELECT 1 FROM problems WHERE cleared IS NULL LIMIT 1")
    )


def refresh_alerts(store: Store, settings: Settings, now: datetime, limit_seconds: float) -> bool:
    """Tell the configured Alertmanager of every problem that stands, and say whether there was anything to tell.

    Raise Refused, Delayed, StoreError.

    To be called by who delivers, after what is due: then a problem that is read here as standing is told of before
    the message that it is gone, which cannot have been sent yet.
    """
    from exporter.bridge.outgoing.channels.alertmanager import AlertmanagerChannel

    problems = []
    for text, was_critical in store.rows(_STANDING):
        with contextlib.suppress(ValidationError):  # written by another version: its next run tells it anew
            problems.append((Problem.model_validate_json(text), bool(was_critical)))
    timeout_seconds = min(settings.alertmanager.timeout_seconds, limit_seconds)
    AlertmanagerChannel(settings.alertmanager, timeout_seconds).refresh(problems, host_name(), now)
    return bool(problems)
