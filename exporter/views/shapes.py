"""The shape of every document that views return, and with it of the API's answers.

Times are ISO 8601 with an offset, durations are seconds, shares are ratios from 0 to 1. What is not known is None,
never 0. Texts may come from containers, databases and alerts: whoever shows them escapes them.
"""

from __future__ import annotations

from typing import Any, Literal

# On Python 3.11 pydantic cannot make a schema of typing's own.
from typing_extensions import TypedDict

Verdict = Literal["good", "attention", "critical", "unknown"]
"""Whether anything is wrong: `unknown` where too little was looked at to say so."""

SeverityName = Literal["info", "low", "medium", "high", "critical"]
OutcomeName = Literal["ok", "error", "timeout", "stopped", "skipped"]


class ToDo(TypedDict):
    """One thing that a person should do, most urgent first. `command` can be typed as it is; empty where none helps.

    `kind` is where it comes from: a problem that stands, an approval that is waited for, a task that does not run,
    an alert that fires, the daemon itself.
    """

    severity: SeverityName
    kind: Literal["problem", "approval", "task", "alert", "daemon"]
    subject: str
    what: str
    remedy: str
    command: str
    since: str | None


class DeductionEntry(TypedDict):
    """Points off a score, under a short stable reason."""

    reason: str
    points: float


class Score(TypedDict):
    """A score from 0 to 100 (`health`, `performance`, `security`) with all that was taken off, the most first.

    `value` is None where the task has not run, or not lately.
    """

    name: str
    task: str
    value: float | None
    deductions: list[DeductionEntry]


class AgentEntry(TypedDict):
    """How an agent was when it was last looked at; `state` is one of the agent monitor's words."""

    agent: str
    state: str
    healthy: bool
    uptime_24h_ratio: float | None
    consecutive_failures: int | None
    restarts_total: int | None
    quarantined: bool


class RunEntry(TypedDict):
    """A run that is over. `report` is the id of its report where one was kept; `why` says who or what asked for it."""

    run_id: int
    task: str
    mode: str
    target: str
    trigger: str
    why: str
    outcome: OutcomeName
    started: str
    finished: str
    duration_seconds: float
    status: str
    summary: str
    error: str
    findings: int
    report: str | None


class RunningEntry(TypedDict):
    """A run that is under way; `done` of `total` steps, `total` 0 and `ratio` None until it has said.

    `ours` is whether this daemon runs it, and so can stop it.
    """

    since: str
    done: int
    total: int
    ratio: float | None
    message: str
    ours: bool


class TaskEntry(TypedDict):
    """A task: what it does, when it runs, what it is doing, how it went.

    `durations` are those of its newest runs in the mode of the last one, oldest first. `stale` is whether its last
    result is too old to be true, `failing` whether its last run did not work.
    """

    task: str
    summary: str
    modes: list[str]
    takes_target: bool
    needs_target: list[str]
    cadences: list[str]
    enabled: bool
    next_run: str | None
    running: RunningEntry | None
    last_run: RunEntry | None
    last_success: str | None
    stale: bool
    failing: bool
    missed_total: int
    durations: list[float]


class FindingEntry(TypedDict):
    """Something a task found and has not found gone since. `at` is when it was last seen, `since` when it began

    (where it is severe enough to be a problem that is kept).
    """

    task: str
    mode: str
    kind: str
    subject: str
    severity: SeverityName
    message: str
    remedy: str
    at: str
    since: str | None


class AlertEntry(TypedDict):
    """An alert that fires, as Alertmanager sent it; `stale` where nobody repeated it for long.

    `runbook` is the address that its rule gives for what to do, empty where it gives none.
    """

    name: str
    state: Literal["firing", "stale"]
    severity: str
    summary: str
    runbook: str
    since: str
    labels: dict[str, str]


class RemediationEntry(TypedDict):
    """A remediation that is not over, or was until an hour ago; in the state `waiting` it waits for a person.

    `plan` says what it does. `changed` is when it came into its state. `alert` is the name of the alert that it is for,
    and `labels` are all of that one's labels.
    """

    id: int
    alert: str
    labels: dict[str, str]
    rule: str
    task: str
    target: str
    state: str
    attempts: int
    created: str
    changed: str
    due: str | None
    plan: str


class RemediationDocument(TypedDict):
    """A remediation and the alert that brought it about; times are Unix times."""

    id: int
    rule: str
    task: str
    target: str
    state: str
    attempts: int
    due: float | None
    created: float
    changed: float
    who: str
    detail: str
    alert: dict[str, Any]


class ReportEntry(TypedDict):
    """A report on the disk. `id` names it to the API and to `reports show`; `formats` are those it can be had in."""

    id: str
    task: str
    mode: str
    at: str
    formats: list[str]
    bytes: int
    latest: bool


class BackupEntry(TypedDict):
    """A backup on the disk. `proof` is how far it was proven good: its file is whole, or it was restored; else None."""

    file: str
    kind: str
    source: str
    created: str
    bytes: int
    proof: Literal["integrity", "restored"] | None
    verified: str | None
    problem: str


class SettingEntry(TypedDict):
    """A setting as it is in force, with where it came from; a secret's value is `***`, or None where there is none."""

    setting: str
    value: Any
    origin: str
    secret: bool


class Status(TypedDict):
    """Everything at a glance. `answer` is one sentence: whether anything is wrong; `to_do` what to do about it.

    `findings` are the worst ones, `finding_counts` all of them by severity. `reports` has the newest of each task.
    """

    at: str
    host: str
    version: str
    base_dir: str
    serving: bool
    verdict: Verdict
    answer: str
    to_do: list[ToDo]
    scores: list[Score]
    agents: list[AgentEntry]
    agent_uptime_percent: float | None
    tasks: list[TaskEntry]
    findings: list[FindingEntry]
    finding_counts: dict[str, int]
    alerts: list[AlertEntry]
    remediations: list[RemediationEntry]
    reports: list[ReportEntry]
