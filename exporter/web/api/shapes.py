"""The shapes of what the API alone says; what there is to see has its shapes in `exporter.views.shapes`."""

from __future__ import annotations

from typing_extensions import TypedDict

from exporter.views.shapes import (
    AgentEntry,
    BackupEntry,
    FindingEntry,
    RemediationDocument,
    ReportEntry,
    RunEntry,
    SettingEntry,
)


class ProblemDetails(TypedDict):
    """A refusal (RFC 9457): `detail` names the thing, the reason and the remedy."""

    type: str
    status: int
    title: str
    detail: str


class RequestEntry(TypedDict):
    """A run that was asked for. `reason` says by whom."""

    task: str
    mode: str
    target: str
    trigger: str
    dry_run: bool
    reason: str


class Accepted(TypedDict):
    """A run that begins as soon as there is room for it."""

    accepted: RequestEntry


class Stopping(TypedDict):
    """Runs that end within their grace, and those that waited and will not begin."""

    stopping: list[RequestEntry]


class MissedEntry(TypedDict):
    """Times at which a task was due and nobody ran it; `noticed` is a Unix time."""

    task: str
    cadence: str
    after_slot: str
    before_slot: str
    count: int
    noticed: float


class Runs(TypedDict):
    """The ledger, newest first, and what was missed."""

    runs: list[RunEntry]
    missed: list[MissedEntry]


class Reports(TypedDict):
    """The reports on the disk, newest first."""

    reports: list[ReportEntry]


class Agents(TypedDict):
    """The agents, by name."""

    agents: list[AgentEntry]


class Findings(TypedDict):
    """What stands, the worst first."""

    findings: list[FindingEntry]


class Backups(TypedDict):
    """The backups on the disk, newest first."""

    backups: list[BackupEntry]


class ConfigurationDocument(TypedDict):
    """Every setting as it is in force, secrets masked."""

    settings: list[SettingEntry]


class AlertDocument(TypedDict):
    """An alert that came in; its texts are whoever's who sent it."""

    id: int
    state: str
    fingerprint: str
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]
    received: str | None
    ended: str | None
    handled: str | None


class Alerts(TypedDict):
    """The alerts that came in, newest first."""

    alerts: list[AlertDocument]


class Taken(TypedDict):
    """What became of the alerts of a request."""

    accepted: int
    duplicates: int


class Remediations(TypedDict):
    """Remediations, newest first."""

    remediations: list[RemediationDocument]


class AuditEntry(TypedDict):
    """A decision, with its place in the chain."""

    sequence: int
    hash: str


class Audit(TypedDict):
    """The audit log, newest first."""

    entries: list[AuditEntry]
