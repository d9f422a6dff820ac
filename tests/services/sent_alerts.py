"""Alerts as Alertmanager sends them to a webhook, and a look at what a daemon has kept of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from tests.services.exporter_daemon import ExporterDaemon

PATH = "/api/v1/alerts"
BEGAN = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)
REFUSED = "sutazai_alert_requests_refused_total"


def sent(number: int = 1, *, resolved: bool = False, **changed: Any) -> dict[str, Any]:
    """One alert of a webhook's body; `number` makes its fingerprint and its agent."""
    ended = (BEGAN + timedelta(minutes=5)).isoformat() if resolved else "0001-01-01T00:00:00Z"
    return {
        "status": "resolved" if resolved else "firing",
        "labels": {"alertname": "AgentDown", "agent": f"agent-{number}", "severity": "critical"},
        "annotations": {"summary": f"agent-{number} is down", "runbook_url": "https://example.org/AgentDown"},
        "startsAt": BEGAN.isoformat(),
        "endsAt": ended,
        "generatorURL": "http://127.0.0.1:9090/graph?g0.expr=up",
        "fingerprint": f"{number:016x}",
        **changed,
    }


def webhook(alerts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A body of a webhook, version 4."""
    return {
        "version": "4",
        "groupKey": '{}:{alertname="AgentDown"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "bridge",
        "groupLabels": {"alertname": "AgentDown"},
        "commonLabels": {"alertname": "AgentDown"},
        "commonAnnotations": {},
        "externalURL": "http://127.0.0.1:9093",
        "alerts": list(alerts),
    }


def post(daemon: ExporterDaemon, headers: Mapping[str, str], *alerts: Mapping[str, Any]) -> requests.Response:
    """Send alerts to a daemon."""
    return daemon.post(PATH, json=webhook(alerts), headers=dict(headers))


def kept(daemon: ExporterDaemon) -> list[tuple[str, str, bool]]:
    """Fingerprint and status of every alert in a daemon's store, and whether its end is known, in their order."""
    rows = _query(daemon, "SELECT fingerprint, status, ended IS NOT NULL FROM alerts ORDER BY id")
    return [(fingerprint, status, bool(ended)) for fingerprint, status, ended in rows]


def accepted(daemon: ExporterDaemon) -> float:
    """How many alerts a daemon's store has counted as accepted."""
    rows = _query(
        daemon,
        "SELECT coalesce(sum(value), 0) FROM counters WHERE family = 'sutazai_alerts_received_total'"
        " AND json_extract(labels, '$.result') = 'accepted'",
    )
    return float(next(iter(rows))[0])


def refused(daemon: ExporterDaemon) -> dict[str, float]:
    """How many requests with alerts a daemon says it has refused, by reason."""
    return {sample.labels["reason"]: sample.value for sample in daemon.metrics().samples(REFUSED)}


def _query(daemon: ExporterDaemon, sql: str) -> Iterable[Any]:
    file = daemon.base_dir / "data" / "sutazai.db"
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(sql).fetchall()
