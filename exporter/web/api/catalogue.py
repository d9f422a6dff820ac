"""Every operation of the API: the one list that routes, scopes and the OpenAPI document are made from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from exporter.record import Record
from exporter.views.shapes import RemediationDocument, Status, TaskEntry
from exporter.web.api import shapes
from exporter.web.api.handlers.alerts import MAX_LISTED, AlertIntake
from exporter.web.api.handlers.control import Control
from exporter.web.api.handlers.events import Events
from exporter.web.api.handlers.health import Health
from exporter.web.api.handlers.reading import MEDIA_TYPES, Reading
from exporter.web.api.handlers.remediations import Remediations
from exporter.web.api.operations import NAME_PATTERN, Answer, Field, Handler, Operation, Parameter, limit
from exporter.web.api.webhook_schema import WEBHOOK

_NAME = {"type": "string", "pattern": NAME_PATTERN}
_CHOICE = "^([A-Za-z0-9][A-Za-z0-9_.-]{0,127})?$"
"""A name, or nothing."""
_NUMBER = {"type": "integer", "minimum": 1, "maximum": (1 << 63) - 1}
_TASK = Parameter("task", "path", "A task, by its name here or in SutazAI's guide.", _NAME, "health-check")
_AGENT = Parameter("agent", "path", "An agent.", _NAME, "sutazai-agent-orchestrator")
_OF_TASK = Parameter("task", "query", "A task, to see what is of it alone.", _NAME, "health-check")
_RUN = Parameter("id", "path", "The number of a run.", _NUMBER, 17)
_REMEDIATION = Parameter("id", "path", "The number of a remediation.", _NUMBER, 7)
_REPORT = Parameter("id", "path", "The id of a report.", _NAME, "daily_health_report_20260301_060000")
_FORMAT = Parameter(
    "format", "query", "A form of the report.", {"type": "string", "enum": list(MEDIA_TYPES), "default": "json"}, "json"
)
_OPEN = Parameter("open", "query", "Only those that are not over.", {"type": "boolean", "default": False}, True)
_KEY = Parameter(
    "Idempotency-Key",
    "header",
    "Up to 255 letters, digits and '_.:~+/=-', which name this request and no other for 24 hours.",
    {"type": "string", "pattern": '^"?[A-Za-z0-9_.:~+/=-]{1,255}"?$'},
    "8e03978e-40d5-43dd-bc93-6894a57f9324",
)
_MODE = Field("A mode of the task; its first without one.", "full", _CHOICE)
_TARGET = Field("What the run is narrowed to, for tasks that take it.", "sutazai-agent-orchestrator", _CHOICE)

_NO_SUCH = {404: "There is nothing of this name."}
_STOPPING = {503: "The exporter is stopping, or its store cannot be used."}
_KEYED = {
    409: "The first request with this key has not been answered yet.",
    422: "The key was given with another request.",
    429: "Too many wrong tokens came from this address, or more keys within 24 hours than are kept.",
    **_NO_SUCH,
    **_STOPPING,
}
_SAFE_AGAIN = (
    "With an `Idempotency-Key` it is safe to ask again: the same request with the same key gets the first answer, and "
    "what it asks for is begun once, across restarts and crashes of the exporter too."
)
_TEXT = ("text/plain",)
_ACCEPTED = Answer("It runs as soon as there is room.", shapes.Accepted, status=202)
_REPORT_ANSWER = Answer(
    "The report as it is on the disk. A page comes with a policy that lets it show and do nothing.",
    media=tuple(media.partition(";")[0] for media in MEDIA_TYPES.values()),
)


def operations(
    health: Health,
    reading: Reading,
    control: Control,
    intake: AlertIntake,
    remedial: Remediations,
    events: Events,
    document: Handler,
) -> tuple[Operation, ...]:
    """Every operation; of two whose paths both fit, the first is the one. `document` answers with the OpenAPI one."""
    own = (*_health(health, control), *_reading(reading, events), *_control(control), *_remedial(intake, remedial))
    answer = Answer("An OpenAPI 3.1 document.")
    return (*own, *_guide(own), Operation("GET", "/api/v1/openapi.json", "read", "This document", answer, document))


def _health(health: Health, control: Control) -> tuple[Operation, ...]:
    good = Answer("It is.", media=_TEXT)
    return (
        Operation("GET", "/-/healthy", "", "Whether the process answers at all", good, health.healthy),
        Operation(
            "GET", "/-/ready", "", "Whether the schedule is watched", good, health.ready,
            refusals={503: "It is starting or stopping."},
        ),
        *(
            Operation(
                method, "/-/reload", "operate", "Load the configuration anew", Answer("It is loaded.", media=_TEXT),
                control.reload, refusals={422: "It is wrong, and the old one stays; every reason is told."},
            )
            for method in ("POST", "PUT")
        ),
    )  # fmt: skip


def _get(path: str, summary: str, shape: Any, handler: Any, *parameters: Parameter, about: str = "") -> Operation:
    """An operation of those who read, which answers a document."""
    answer = Answer(summary, shape)
    refusals = _NO_SUCH if parameters else {}
    return Operation("GET", path, "read", summary, answer, handler, about, parameters, refusals=refusals)


def _reading(reading: Reading, events: Events) -> tuple[Operation, ...]:
    return (
        _get("/api/v1/status", "Everything at a glance", Status, reading.status),
        Operation(
            "GET", "/api/v1/events", "read", "Listen to what happens",
            Answer("Events, until the connection ends.", media=("text/event-stream",)), events.listen,
            "Server-sent events: `status` first and whenever something has changed, at most once a second; `progress` "
            "of a run under way, at most twice a second; `run` when one is over.",
            refusals={503: "As many as may listen do already, or the exporter is stopping."},
        ),
        _get("/api/v1/tasks", "The tasks", list[TaskEntry], reading.tasks),
        _get("/api/v1/tasks/{task}", "One task", TaskEntry, reading.task, _TASK),
        _get("/api/v1/runs", "The ledger of runs, newest first", shapes.Runs, reading.runs, _OF_TASK, limit()),
        _get("/api/v1/runs/{id}", "One run with all that it found and did", Record, reading.run, _RUN),
        _get("/api/v1/reports", "The reports on the disk, newest first", shapes.Reports, reading.reports, _OF_TASK),
        replace(_get("/api/v1/reports/latest/{task}", "The newest report of a task", None, reading.latest_report,
                     _TASK, _FORMAT), answer=_REPORT_ANSWER),
        replace(_get("/api/v1/reports/{id}", "One report", None, reading.report, _REPORT, _FORMAT),
                answer=_REPORT_ANSWER),
        _get("/api/v1/agents", "The agents", shapes.Agents, reading.agents),
        _get("/api/v1/findings", "What was found and stands", shapes.Findings, reading.findings, _OF_TASK),
        _get("/api/v1/backups", "The backups on the disk", shapes.Backups, reading.backups),
        _get("/api/v1/configuration", "The settings in force", shapes.ConfigurationDocument, reading.configuration,
             about="Secrets are masked."),
    )  # fmt: skip


def _control(control: Control) -> tuple[Operation, ...]:
    return (
        Operation(
            "POST", "/api/v1/tasks/{task}/start", "operate", "Start a task", _ACCEPTED, control.start, _SAFE_AGAIN,
            (_TASK, _KEY), {"mode": _MODE, "target": _TARGET}, _KEYED,
        ),
        Operation(
            "POST", "/api/v1/tasks/{task}/stop", "operate", "Stop a task",
            Answer("What runs ends within its grace, what waits does not begin.", shapes.Stopping, status=202),
            control.stop, "The runs are entered as stopped, by the name of the token.", (_TASK,), {"target": _TARGET},
            {409: "Nothing of it is running here; a run of another process is told by its holder.", **_NO_SUCH},
        ),
        Operation(
            "POST", "/api/v1/agents/{agent}/restart", "operate", "Restart an agent", _ACCEPTED, control.restart,
            "Evidence is saved first, and whether it recovers is looked at. It counts as one of the hour's restarts "
            f"and is not refused by them. {_SAFE_AGAIN}",
            (_AGENT, _KEY), {}, _KEYED,
        ),
        Operation(
            "POST", "/api/v1/agents/{agent}/release", "operate", "Release an agent from quarantine", _ACCEPTED,
            control.release, f"It gets its restarts of this hour back. {_SAFE_AGAIN}", (_AGENT, _KEY), {}, _KEYED,
        ),
    )  # fmt: skip


def _remedial(intake: AlertIntake, remedial: Remediations) -> tuple[Operation, ...]:
    answer = Answer("As it then stands.", RemediationDocument)
    refusals = {409: "It does not wait for an answer.", **_NO_SUCH}
    return (
        _get("/api/v1/alerts", "The alerts that came in, newest first", shapes.Alerts, intake.listing,
             limit(MAX_LISTED)),
        Operation(
            "POST", "/api/v1/alerts", "alert", "Take alerts in, as Alertmanager's webhook sends them",
            Answer("They are on the disk.", shapes.Taken), intake.take, admits=True, takes=WEBHOOK,
            refusals={503: "Send it again: it will be better soon."},
        ),
        _get("/api/v1/remediations", "What alerts have brought about, newest first", shapes.Remediations,
             remedial.listing, _OPEN, limit()),
        Operation("POST", "/api/v1/remediations/{id}/approve", "operate", "Let a remediation that waits be done",
                  answer, remedial.approve, parameters=(_REMEDIATION,), body={}, refusals=refusals),
        Operation("POST", "/api/v1/remediations/{id}/reject", "operate", "End a remediation that waits", answer,
                  remedial.reject, parameters=(_REMEDIATION,), body={}, refusals=refusals),
        _get("/api/v1/audit", "The audit log, newest first", shapes.Audit, remedial.entries, limit()),
    )  # fmt: skip


_GUIDE = {
    "/api/v1/status": "/api/automation/status",
    "/api/v1/reports/latest/{task}": "/api/automation/reports/{task}",
    "/api/v1/tasks/{task}/start": "/api/automation/{task}/start",
    "/api/v1/tasks/{task}/stop": "/api/automation/{task}/stop",
}
"""The paths of SutazAI's guide, which do the same as ours."""


def _guide(own: tuple[Operation, ...]) -> tuple[Operation, ...]:
    return tuple(
        replace(operation, path=_GUIDE[operation.path], summary=f"{operation.summary} (the guide's path)")
        for operation in own
        if operation.path in _GUIDE
    )
