"""Alerts that fire, and the remediations they have brought about."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from exporter.bridge.incoming.inbox import Entry as Received
from exporter.bridge.incoming.inbox import Inbox, State
from exporter.bridge.model import RemediationState
from exporter.bridge.remediation.bundled import rules_of
from exporter.bridge.remediation.remediations import Entry, lately_ended, standing
from exporter.bridge.remediation.remedies import plan_of
from exporter.bridge.remediation.settings import Remediation
from exporter.views.moments import told, told_seconds
from exporter.views.sources import Sources

if TYPE_CHECKING:
    from exporter.views.shapes import AlertEntry, RemediationDocument, RemediationEntry

_WEB = ("https://", "http://")
_LATELY = timedelta(hours=1)
"""So long it is said how a remediation has ended: who looks because of an alert sees what has become of it."""
MOST = 1000
"""So many alerts are told of; an Alertmanager that sends more has one cause for them."""


def firing(sources: Sources) -> list[AlertEntry]:
    """Every alert without an end, newest first."""
    return [_alert(sources, entry) for entry in _episodes(Inbox(sources.store).firing(MOST))]


def _episodes(entries: Iterable[Received]) -> list[Received]:
    """One of each alert: of two beginnings that two Prometheus gave it, the one that was last heard of."""
    newest: dict[str, Received] = {}
    for entry in entries:
        known = newest.get(entry.alert.fingerprint)
        if known is None or entry.received > known.received:
            newest[entry.alert.fingerprint] = entry
    return list(newest.values())


def _alert(sources: Sources, entry: Received) -> AlertEntry:
    alert = entry.alert
    return {
        "name": alert.name,
        "state": "stale" if entry.state(sources.now) is State.STALE else "firing",
        "severity": alert.labels.get("severity", ""),
        "summary": alert.annotations.get("summary") or alert.annotations.get("description", ""),
        "runbook": runbook if (runbook := alert.annotations.get("runbook_url", "")).startswith(_WEB) else "",
        "since": told(sources, alert.starts_at),
        "labels": dict(alert.labels),
    }


def remediations(sources: Sources) -> list[RemediationEntry]:
    """Every remediation that is not over, those that wait for a person first; then how the last ones have ended."""
    rules = {rule.name: rule for rule in rules_of(sources.configuration.settings)}
    open_ones = sorted(standing(sources.store), key=lambda entry: entry.state is not RemediationState.WAITING)
    ended = lately_ended(sources.store, sources.now - _LATELY)
    return [_remediation(sources, entry, rules.get(entry.rule)) for entry in (*open_ones, *ended)]


def _remediation(sources: Sources, entry: Entry, rule: Remediation | None) -> RemediationEntry:
    return {
        "id": entry.id,
        "alert": entry.alert.name,
        "labels": dict(entry.alert.labels),
        "rule": entry.rule,
        "task": entry.task,
        "target": entry.target,
        "state": entry.state.value,
        "attempts": entry.attempts,
        "created": told_seconds(sources, entry.created) or "",
        "changed": told_seconds(sources, entry.changed) or "",
        "due": told_seconds(sources, entry.due),
        "plan": plan_of(rule, entry.target) if rule else entry.detail,
    }


def remediation_document(entry: Entry) -> RemediationDocument:
    """A remediation with all that is known of it, whether it is over or not."""
    alert = entry.alert
    return {
        "id": entry.id,
        "rule": entry.rule,
        "task": entry.task,
        "target": entry.target,
        "state": entry.state.value,
        "attempts": entry.attempts,
        "due": entry.due,
        "created": entry.created,
        "changed": entry.changed,
        "who": entry.who,
        "detail": entry.detail,
        "alert": {
            "name": alert.name,
            "fingerprint": alert.fingerprint,
            "labels": dict(alert.labels),
            "starts_at": alert.starts_at.isoformat(),
            "ended": entry.ended,
        },
    }
