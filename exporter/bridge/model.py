"""The values of the bridge: a problem stands, a message tells of it, an alert asks for a remediation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from jobs.core.model import FiniteFloat, LabelValue, Severity, Text, Value


class News(StrEnum):
    """What a message says of its problems; `completed` tells of a run, and `test` of nothing."""

    OPENED = "opened"
    WORSE = "worse"
    REMINDER = "reminder"
    CLEARED = "cleared"
    COMPLETED = "completed"
    TEST = "test"


class Problem(Value):
    """Something that is wrong, from the run that found it first to the one that finds it gone.

    `task`, `kind` and `subject` together identify it. `event` is the guide's word for its sort (`health`, `security`,
    `backup`, `certificate`, `agent`, `task`). `mode` is that of the run that saw it last; of a task that does not work,
    all modes that failed, with commas between.
    """

    task: str
    kind: Text
    subject: Text
    severity: Severity
    message: Text
    remedy: Text = ""
    event: str
    mode: str = ""
    opened: datetime


class Message(Value):
    """What goes out, once through each channel: one piece of news about one problem, or about many of one run.

    `id` stays the same through every attempt (Message-ID, Idempotency-Key). `thread` is the id of the message that
    opened the problem: its own, if it opens one. `status` is the status of the run that the news comes from
    (`CRITICAL`), its outcome where it had none. `report` is the path of its report below the base directory.
    """

    id: str
    thread: str
    news: News
    event: str
    severity: Severity
    at: datetime
    host: str
    task: str
    summary: Text
    status: Text = ""
    duration_seconds: FiniteFloat | None = None
    report: str = ""
    problems: tuple[Problem, ...] = ()


class AlertStatus(StrEnum):
    """Alertmanager's words for an alert."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Alert(Value):
    """An alert that came in; `fingerprint` and `starts_at` name its episode. Its texts are hostile until checked."""

    fingerprint: str
    status: AlertStatus
    starts_at: datetime
    ends_at: datetime | None = None
    labels: Mapping[str, LabelValue]
    annotations: Mapping[str, Text] = {}

    @property
    def name(self) -> str:
        """Its `alertname`; empty if it has none."""
        return self.labels.get("alertname", "")


class RemediationMode(StrEnum):
    """What an alert may bring about: nothing, a note of what would be done, a question to a person, or the fix."""

    OFF = "off"
    SHADOW = "shadow"
    APPROVE = "approve"
    AUTO = "auto"


class RemediationState(StrEnum):
    """Where a remediation stands.

    `shadow`, `refused`, `rejected`, `expired`, `verified`, `failed` and `resolved` (the alert ended before anything was
    done) are final. `waiting` waits for a person, `due` for its time (back-off, cool-down, budget, window), `running`
    and `verifying` for a run.
    """

    SHADOW = "shadow"
    REFUSED = "refused"
    WAITING = "waiting"
    REJECTED = "rejected"
    EXPIRED = "expired"
    DUE = "due"
    RUNNING = "running"
    VERIFYING = "verifying"
    VERIFIED = "verified"
    FAILED = "failed"
    RESOLVED = "resolved"


OPEN_STATES = (
    RemediationState.WAITING,
    RemediationState.DUE,
    RemediationState.RUNNING,
    RemediationState.VERIFYING,
)
"""While one of these stands for a task and target, no other is begun."""
