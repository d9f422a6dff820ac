"""The remediations that come with the exporter, and those that are in force.

Their limits are those of the settings that the bundled alert rules are about, so that a fix is proven by what the alert
asks for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from exporter.bridge.remediation.settings import Remediation
from exporter.settings import Settings
from jobs.core.registry import all_jobs

Document = dict[str, Any]

_HOUR_SECONDS, _DAY_SECONDS = 3600.0, 86400.0


def rules_of(settings: Settings) -> tuple[Remediation, ...]:
    """The configured remediations, in their order; where none are set, the bundled ones of the tasks that there are."""
    if settings.remediation.rules is not None:
        return settings.remediation.rules
    return tuple(map(Remediation.model_validate, _documents(settings)))


def _documents(settings: Settings) -> Iterator[Document]:
    for tasks, documents in (
        ({"agent-monitor"}, _agents),
        ({"log-rotation", "health-check"}, _disks),
        ({"certificate-renewal"}, _certificates),
        ({"database-maintenance", "backup-verification"}, _backups),
        ({"database-maintenance"}, _databases),
    ):
        if tasks <= all_jobs().keys():
            yield from documents(settings)


def _agents(settings: Settings) -> Iterator[Document]:
    proof = {"task": "agent-monitor", "mode": "check", "metric": "sutazai_agent_up", "labels": ["agent"], "at_least": 1}
    step = {"task": "agent-monitor", "mode": "repair"}
    yield {**_rule("restart-agent", "AgentDown", step, proof), "target_label": "agent"}


def _disks(settings: Settings) -> Iterator[Document]:
    look = {"task": "health-check", "mode": "light", "labels": ["mountpoint"]}
    used, thresholds = "sutazai_filesystem_used_ratio", settings.thresholds
    slow = {"at_least": settings.jobs.health_check.min_hours_to_full * _HOUR_SECONDS}
    # Where a file system does not fill, there is no such series; that it was looked at is told by another one.
    filling = {**look, "metric": "sutazai_filesystem_full_seconds", **slow, "or_absent": True, "witness": used}
    yield _disk("clean-logs-full-soon", "DiskFullSoon", filling)
    for name, alert, percent in (
        ("clean-logs-high", "DiskUsageHigh", thresholds.max_disk_percent),
        ("clean-logs-critical", "DiskUsageCritical", thresholds.critical_disk_percent),
    ):
        # The alert fires from the limit on.
        yield _disk(name, alert, {**look, "metric": used, "at_most": math.nextafter(percent / 100, 0)})


def _disk(name: str, alert: str, proof: Document) -> Document:
    """`force` also deletes the oldest archives of logs beyond the total that they may have."""
    return _rule(name, alert, {"task": "log-rotation", "mode": "force"}, proof)


def _certificates(settings: Settings) -> Iterator[Document]:
    """What is critical about a certificate keeps its warning from coming in, and so brings about the same."""
    look = {"task": "certificate-renewal", "mode": "watch", "labels": ["certificate"]}
    renewed = {**look, "metric": "sutazai_certificate_renewal_due", "at_most": 0}
    usable = {**look, "metric": "sutazai_certificate_valid", "at_least": 1}
    for name, alert, proof in (
        ("renew-certificate", "CertificateExpiring", renewed),
        ("renew-certificate-imminent", "CertificateExpiryImminent", renewed),
        ("renew-certificate-invalid", "CertificateInvalid", usable),
    ):
        yield _rule(name, alert, {"task": "certificate-renewal", "mode": "standard"}, proof)


def _backups(settings: Settings) -> Iterator[Document]:
    """A backup, then its verification: the alert is about the newest one that was found whole."""
    max_age_seconds = settings.jobs.backup_verification.max_backup_age_days * _DAY_SECONDS
    proof = {
        "task": "backup-verification",
        "mode": "standard",
        "labels": ["kind", "source"],
        "metric": "sutazai_backup_newest_verified_timestamp_seconds",
        "from_now": True,
        "at_least": -max_age_seconds,
    }
    yield _rule("make-backup", "BackupTooOld", {"task": "database-maintenance", "mode": "backup"}, proof)


def _databases(settings: Settings) -> Iterator[Document]:
    proof = {
        "task": "database-maintenance",
        "mode": "statistics",
        "labels": ["server", "database"],
        "metric": "sutazai_postgres_dead_rows",
        "per": "sutazai_postgres_live_rows",
        "at_most": _dead_per_live(settings.alerts.postgres_dead_percent),
        "negligible": settings.alerts.postgres_dead_rows,
    }
    yield _rule("clean-database", "PostgresDeadRows", {"task": "database-maintenance", "mode": "vacuum"}, proof)


def _dead_per_live(percent: float) -> float:
    """Dead rows for each live one, where the alert counts them as a share of all."""
    return percent / (100 - percent) if percent < 100 else math.inf


def _rule(name: str, alert: str, step: Document, proof: Document) -> Document:
    return {"name": name, "alert": alert, "steps": [step], "proof": proof}
