"""What commands show a person: tables and progress on a terminal, plain lines elsewhere, JSON when asked."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import FrameType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from exporter.config import Configuration
from exporter.logs import set_up
from exporter.metrics import Metrics
from exporter.record import Record
from exporter.redaction import Redactor
from exporter.runner import Runner, Watcher
from jobs.core.cadence import Cadence
from jobs.core.job import Job
from jobs.core.model import Outcome, Request, Severity

out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)
for _console in (out, _err):
    if not _console.is_terminal:
        _console.width = 240  # whoever reads this later has no edge to wrap at
_STYLES = {"ok": "green", "skipped": "yellow", "error": "red", "timeout": "red", "stopped": "yellow"}
_SEVERITY_STYLES = {
    Severity.CRITICAL: "bold red",
    Severity.HIGH: "red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "cyan",
    Severity.INFO: "dim",
}


def log_to_screen(configuration: Configuration, verbose: bool) -> None:
    """Log warnings to standard error; everything, if `verbose`."""
    level = "info" if verbose else "warning"
    set_up(level, configuration.settings.log.format, Redactor(configuration.secrets))
    logging.captureWarnings(True)


@contextmanager
def run_screen(*, quiet: bool) -> Iterator[Watcher]:
    """A watcher that shows a progress bar on a terminal, and nothing where there is none."""
    if quiet or not _err.is_terminal:
        yield Watcher()
        return
    name = TextColumn("{task.description}")
    columns = (SpinnerColumn(), name, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_err, transient=True) as progress:
        bar = progress.add_task("starting", total=None)

        def show(request: Request, done: int, total: int, message: str) -> None:
            progress.update(bar, completed=done, total=total, description=escape(message))

        yield Watcher(progress=show)


@contextmanager
def stopped_by_signals(runner: Runner) -> Iterator[None]:
    """Let SIGTERM and Ctrl-C stop the run, which then ends as stopped."""

    def stop(number: int, frame: FrameType | None) -> None:
        runner.stop.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def print_record(record: Record, *, as_json: bool) -> None:
    """What came of a run."""
    if as_json:
        print_json(json.loads(record.model_dump_json()))
        return
    task, seconds = record.request.task, f"{record.duration_seconds:.1f} s"
    if record.outcome is not Outcome.OK or record.result is None:
        _err.print(f"[{_STYLES[record.outcome]}]{task}: {record.outcome}[/] after {seconds}: {escape(record.error)}")
        return
    result = record.result
    out.print(f"[bold]{task}: {escape(result.status)}[/] ({seconds}) {escape(result.summary)}")
    for action in result.actions:
        word = "did" if action.done else "would"
        out.print(f"  {word}: {escape(f'{action.verb} {action.subject}')} {escape(action.detail)}")
    if record.request.dry_run and not result.actions:
        out.print("  nothing would be changed")
    for finding in sorted(result.findings, key=lambda f: -list(Severity).index(f.severity)):
        style = _SEVERITY_STYLES[finding.severity]
        remedy = f" [dim]→ {escape(finding.remedy)}[/]" if finding.remedy else ""
        out.print(f"  [{style}]{finding.severity:8}[/] {escape(finding.subject)}: {escape(finding.message)}{remedy}")
    for deduction in result.deductions:
        out.print(f"  [dim]-{deduction.points:g} points: {escape(deduction.reason)}[/]")
    if record.report:
        out.print(f"  report: {escape(record.report)}")


def print_history(records: Sequence[Record], missed: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """The ledger, newest first, and the slots that passed without a run."""
    if as_json:
        print_json({"runs": [json.loads(record.model_dump_json()) for record in records], "missed": list(missed)})
        return
    table = table_of("started", "task", "mode", "why", "took", "outcome", "what came of it")
    for record in records:
        request, result = record.request, record.result
        came_of_it = record.error or (f"{result.status}: {result.summary}" if result else "")
        outcome = f"[{_STYLES[record.outcome]}]{record.outcome}[/]"
        what = f"{request.task} {request.target}".strip()
        cells = (_when(record.started), what, request.mode, request.trigger, f"{record.duration_seconds:.1f} s")
        table.add_row(*map(escape, cells), outcome, escape(came_of_it))
    out.print(table if records else "Nothing has run yet.")
    for gap in missed:
        text = f"{gap['task']} ({gap['cadence']}): {gap['count']} missed"
        out.print(f"missed: {escape(text)} between {gap['after_slot']} and {gap['before_slot']}")


def print_tasks(rows: Iterable[tuple[Job, Sequence[Cadence], Record | None]], *, as_json: bool) -> None:
    """Every task with its schedule and its last run."""
    if as_json:
        print_json(
            [
                {
                    "task": job.name,
                    "summary": job.summary,
                    "modes": job.modes,
                    "cadences": [str(cadence) for cadence in cadences],
                    "last_run": json.loads(last.model_dump_json(exclude={"result"})) if last else None,
                }
                for job, cadences, last in rows
            ]
        )
        return
    table = table_of("task", "when", "last run", "outcome", "what it does")
    for job, cadences, last in rows:
        when = ", ".join(str(cadence) for cadence in cadences) or "never (disabled)"
        outcome = f"[{_STYLES[last.outcome]}]{last.outcome}[/]" if last else ""
        table.add_row(job.name, when, _when(last.started) if last else "never", outcome, job.summary)
    out.print(table)


def print_agents(metrics: Metrics, *, as_json: bool) -> None:
    """How each agent was when it was last looked at."""
    shown = metrics.exposition.series("sutazai_agent_state")
    states = {labels["agent"]: labels["state"] for labels, value in shown if value == 1}
    rows = [
        {
            "agent": agent,
            "state": state,
            "uptime_24h_ratio": metrics.exposition.get("sutazai_agent_uptime_ratio", {"agent": agent}),
            "consecutive_failures": metrics.exposition.get("sutazai_agent_consecutive_failures", {"agent": agent}),
        }
        for agent, state in sorted(states.items())
    ]
    if as_json:
        print_json(rows)
        return
    table = table_of("agent", "state", "up in 24 h", "failures in a row")
    for row in rows:
        uptime = row["uptime_24h_ratio"]
        cells = ("" if uptime is None else f"{uptime:.1%}", f"{row['consecutive_failures'] or 0:g}")
        table.add_row(escape(str(row["agent"])), str(row["state"]), *cells)
    out.print(table if rows else "No agents are known yet; `sutazai-exporter run agent-monitor` looks for them.")


def print_json(content: Any) -> None:
    """JSON, indented, as other programs read it."""
    out.print(json.dumps(content, indent=2, default=list), markup=False)


def table_of(*columns: str) -> Table:
    """An empty table in the manner of all tables here."""
    return Table(*columns, box=None, padding=(0, 2, 0, 0))


def _when(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"
