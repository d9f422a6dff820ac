"""What the tables of the bridge say on /metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from exporter.bridge import families
from exporter.bridge.model import RemediationState
from exporter.bridge.outgoing.channels import channel_names
from exporter.bridge.remediation.bundled import rules_of
from exporter.bridge.remediation.remediations import OPEN
from exporter.exposition import Exposition
from exporter.settings import Settings
from exporter.store import CounterKey, Store
from jobs.core.model import Family

Series = list[tuple[Mapping[str, str], float]]

_BY_LABEL: tuple[tuple[Family, str], ...] = (
    (families.DEAD, "SELECT channel, count(*) FROM outbox WHERE state = 'dead' GROUP BY channel"),
    (families.CHANNEL_LAST_SUCCESS, "SELECT name, last_success FROM channels WHERE last_success IS NOT NULL"),
    (families.CHANNEL_UP, "SELECT name, failures = 0 FROM channels WHERE last_attempt IS NOT NULL"),
    (families.REMEDIATIONS_OPEN, f"SELECT state, count(*) FROM remediations WHERE {OPEN} GROUP BY 1"),  # noqa: S608
    (
        families.REMEDIATION_LAST,
        "SELECT rule, max(changed) FROM remediations WHERE attempts > 0 GROUP BY rule",
    ),
)
"""Families with one label, and the query that gives its value and the sample's."""
_TOLD_ENDS = (RemediationState.VERIFIED, RemediationState.FAILED, RemediationState.REFUSED)
"""Ends of remediations that a rule may ask the increase of."""
_COUNTERS = (families.NOTIFICATIONS, families.ALERTS_RECEIVED, families.REMEDIATIONS)


def show(exposition: Exposition, store: Store, settings: Settings, now: datetime) -> None:
    """Bring the gauges and counters of the bridge up to date; raise StoreError."""
    series = {**_gauges(store, settings, now), **_counted(store.counters(), settings)}
    with exposition.changes():
        for family, values in series.items():
            exposition.replace(family, values)


def _gauges(store: Store, settings: Settings, now: datetime) -> dict[str, Series]:
    problems = store.rows("SELECT task, severity, count(*) FROM problems WHERE cleared IS NULL GROUP BY 1, 2")
    waiting = store.rows(
        "SELECT channel, count(*), min(CASE WHEN created <= ? THEN created END) FROM outbox"
        " WHERE state = 'pending' GROUP BY channel",
        now.timestamp(),
    )
    # (`created` is when a message may go: one that waits for another attempt is late, one that is held is not.)
    pending = dict.fromkeys(channel_names(settings), 0) | {channel: count for channel, count, _ in waiting}
    found: dict[str, Series] = {
        families.PROBLEMS.name: [({"task": task, "severity": severity}, n) for task, severity, n in problems],
        families.PENDING.name: [({"channel": channel}, count) for channel, count in pending.items()],
        families.OLDEST_PENDING.name: [({"channel": channel}, at) for channel, _, at in waiting if at is not None],
        families.ALERTS_FIRING.name: _one(
            store, "SELECT count(*) FROM alerts WHERE status = 'firing' AND ended IS NULL"
        ),
        families.AUDIT_ENTRIES.name: _one(store, "SELECT coalesce(max(sequence), 0) FROM audit"),
    }
    for family, sql in _BY_LABEL:
        found[family.name] = [({family.labels[0]: label}, value) for label, value in store.rows(sql)]
    return found


def _one(store: Store, sql: str) -> Series:
    return [({}, store.rows(sql)[0][0])]


def _counted(counters: Mapping[CounterKey, float], settings: Settings) -> dict[str, Series]:
    found = dict(_zeros(settings))
    for (name, labels), value in counters.items():
        if name in (family.name for family in _COUNTERS):
            found[name, labels] = value
    series: dict[str, Series] = {family.name: [] for family in _COUNTERS}
    for (name, labels), value in found.items():
        series[name].append((dict(labels), value))
    return series


def _zeros(settings: Settings) -> Iterable[tuple[CounterKey, float]]:
    """Counters begin at 0, so that the first increase is one."""
    for channel in channel_names(settings):
        for result in ("sent", "failed", "dead"):
            yield (families.NOTIFICATIONS.name, (("channel", channel), ("result", result))), 0.0
    for rule in rules_of(settings):
        for state in _TOLD_ENDS:
            yield (families.REMEDIATIONS.name, (("remediation", rule.name), ("state", state.value))), 0.0
    for status in ("firing", "resolved"):
        for result in ("accepted", "duplicate"):
            yield (families.ALERTS_RECEIVED.name, (("result", result), ("status", status))), 0.0
