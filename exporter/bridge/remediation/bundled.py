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

_DAY_SECONDS = 86400.0
_DEAD_PER_LIVE = 3 / 7
"""What PostgresDeadRows asks for, 0.3 of all rows, as dead rows for each live one."""


def rules_of(settings: Settings) -> tuple[Remediation, ...]:
    """The configured remediations, in their order; where none are set, the bundled ones of the tasks that there are."""
    if settings.remediation.rules is not None:
        return settings.remediation.rules
    return tuple(
        Remediation.model_validate(found) for found in _documents(settings) if _tasks(found) <= set(all_jobs())
    )


def _tasks(document: Document) -> set[str]:
    return {run["task"] for run in (*document["steps"], document["proof"])}


def _documents(settings: Settings) -> Iterator[Document]:
    yield _rule(
        "restart-agent",
        "AgentDown",
        {"task": "agent-monitor", "mode": "repair"},
        {"task": "agent-monitor", "mode": "check", "metric": "sutazai_agent_up", "labels": ["agent"], "at_least": 1},
        target_label="agent",
    )
    yield from _disks(settings)
    yield _rule(
        "renew-certificate",
        "CertificateExpiring",
        {"task": "certificate-renewal", "mode": "standard"},
        {
            **{"task": "certificate-renewal", "mode": "watch", "labels": ["certificate"]},
            **{"metric": "sutazai_certificate_renewal_due", "at_most": 0},
        },
    )
    yield _backup(settings)
    yield _rule(
        "clean-database",
        "PostgresDeadRows",
        {"task": "database-maintenance", "mode": "vacuum"},
        {
            **{"task": "database-maintenance", "mode": "statistics", "labels": ["server", "database"]},
            **{"metric": "sutazai_postgres_dead_rows", "per": "sutazai_postgres_live_rows", "at_most": _DEAD_PER_LIVE},
        },
    )


def _disks(settings: Settings) -> Iterator[Document]:
    look = {"task": "health-check", "mode": "light", "labels": ["mountpoint"]}
    used, thresholds = "sutazai_filesystem_used_ratio", settings.thresholds
    hours = getattr(settings.jobs, "health_check", None)
    slow = {"at_least": hours.min_hours_to_full * 3600.0 if hours else _DAY_SECONDS}
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


def _backup(settings: Settings) -> Document:
    """A backup, then its verification: the alert is about the newest one that was found whole."""
    verification = getattr(settings.jobs, "backup_verification", None)
    max_age_seconds = verification.max_backup_age_days * _DAY_SECONDS if verification else _DAY_SECONDS
    return _rule(
        "make-backup",
        "BackupTooOld",
        {"task": "database-maintenance", "mode": "backup"},
        {
            **{"task": "backup-verification", "mode": "standard", "labels": ["kind", "source"]},
            **{"metric": "sutazai_backup_newest_verified_timestamp_seconds", "from_now": True},
            "at_least": -max_age_seconds,
        },
    )


def _rule(name: str, alert: str, step: Document, proof: Document, target_label: str | None = None) -> Document:
    return {"name": name, "alert": alert, "target_label": target_label, "steps": [step], "proof": proof}
