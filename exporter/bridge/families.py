"""The metric families of the bridge."""

from __future__ import annotations

from jobs.core.model import Family, MetricType

_CHANNEL = ("channel",)

PROBLEMS = Family(
    name="sutazai_problems", help="Problems that stand, as they are told of.", labels=("task", "severity")
)
NOTIFICATIONS = Family(
    name="sutazai_notifications_total",
    help="Attempts to send a message: sent, failed (tried again later) or dead (given up).",
    labels=("channel", "result"),
    type=MetricType.COUNTER,
)
PENDING = Family(
    name="sutazai_notifications_pending", help="Messages that wait to be sent (later again).", labels=_CHANNEL
)
DEAD = Family(
    name="sutazai_notifications_dead", help="Messages that were given up and not put aside since.", labels=_CHANNEL
)
OLDEST_PENDING = Family(
    name="sutazai_notification_oldest_timestamp_seconds",
    help="When the oldest message that should be sent by now was written; absent without one.",
    labels=_CHANNEL,
)
CHANNEL_UP = Family(
    name="sutazai_notification_channel_up",
    help="1 if the channel's last attempt worked, 0 if not; absent before the first.",
    labels=_CHANNEL,
)
CHANNEL_LAST_SUCCESS = Family(
    name="sutazai_notification_last_success_timestamp_seconds",
    help="When the channel last took a message.",
    labels=_CHANNEL,
)
ALERTS_RECEIVED = Family(
    name="sutazai_alerts_received_total",
    help="Alerts taken in from Alertmanager: accepted (in the inbox) or duplicate (there already).",
    labels=("status", "result"),
    type=MetricType.COUNTER,
)
INTAKE_REFUSED = Family(
    name="sutazai_alert_requests_refused_total",
    help="Requests with alerts that were refused; Alertmanager sends again after `store` and `overload` only.",
    labels=("reason",),
    type=MetricType.COUNTER,
)
ALERTS_FIRING = Family(name="sutazai_alerts_firing", help="Alerts in the inbox that fire and did not resolve yet.")
REMEDIATIONS = Family(
    name="sutazai_remediations_total",
    help="Remediations that ended, by rule and by how they ended.",
    labels=("remediation", "state"),
    type=MetricType.COUNTER,
)
REMEDIATIONS_OPEN = Family(
    name="sutazai_remediations_open", help="Remediations that are not over, by where they stand.", labels=("state",)
)
REMEDIATION_LAST = Family(
    name="sutazai_remediation_last_timestamp_seconds",
    help="When a remediation of this rule last began to change something.",
    labels=("remediation",),
)
AUDIT_ENTRIES = Family(name="sutazai_audit_entries", help="Entries in the audit log; it never falls.")
AUDIT_INTACT = Family(
    name="sutazai_audit_intact", help="1 if the chain of the audit log was whole when it was last checked, else 0."
)

FAMILIES = (
    PROBLEMS, NOTIFICATIONS, PENDING, DEAD, OLDEST_PENDING, CHANNEL_UP, CHANNEL_LAST_SUCCESS, ALERTS_RECEIVED,
    INTAKE_REFUSED, ALERTS_FIRING, REMEDIATIONS, REMEDIATIONS_OPEN, REMEDIATION_LAST, AUDIT_ENTRIES, AUDIT_INTACT,
)  # fmt: skip
