"""What commands that tell about the past and the present print: tables, or JSON when asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from exporter.metrics import Metrics
from exporter.record import Record
from exporter.views.runs import why
from exporter.views.shapes import TaskEntry

if TYPE_CHECKING:
    from exporter.bridge.outgoing.outbox import Entry

out = Console(highlight=False, soft_wrap=True)
if not out.is_terminal:
    out.width = 240  # whoever reads this later has no edge to wrap at
_STYLES = {"ok": "green", "skipped": "yellow", "error": "red", "timeout": "red", "stopped": "yellow"}


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
        cells = (_when(record.started), what, request.mode, why(request), f"{record.duration_seconds:.1f} s")
        table.add_row(*map(escape, cells), outcome, escape(came_of_it))
    out.print(table if records else "Nothing has run yet.")
    for gap in missed:
        text = f"{gap['task']} ({gap['cadence']}): {gap['count']} missed"
        out.print(f"missed: {escape(text)} between {gap['after_slot']} and {gap['before_slot']}")



def print_tasks(entries: Sequence[TaskEntry], *, as_json: bool) -> None:
    """Every task with its schedule and its last run."""
    if as_json:
        print_json(entries)
        return
    table = table_of("task", "when", "last run", "outcome", "what it does")
    for entry in entries:
        when, last = ", ".join(entry["cadences"]) or "never (disabled)", entry["last_run"]
        outcome = f"[{_STYLES[last['outcome']]}]{last['outcome']}[/]" if last else ""
        began = _when(datetime.fromisoformat(last["started"])) if last else "never"
        table.add_row(entry["task"], when, began, outcome, entry["summary"])
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


def print_messages(entries: Sequence[Entry], nothing: str) -> None:
    """Messages of the outbox, the newest first; `nothing` is said where there are none."""
    table = table_of("written", "channel", "what", "attempts", "tried again", "why it was not taken")
    for entry in entries:
        again = _when(datetime.fromtimestamp(entry.due).astimezone()) if entry.state == "pending" else "no"
        cells = (_when(entry.message.at), entry.channel, entry.message.summary, str(entry.attempts), again, entry.error)
        table.add_row(*map(escape, cells))
    out.print(table if entries else nothing)


def print_json(content: Any) -> None:
    """JSON, indented, as other programs read it."""
    out.print(json.dumps(content, indent=2, default=list), markup=False)


def table_of(*columns: str) -> Table:
    """An empty table in the manner of all tables here."""
    return Table(*columns, box=None, padding=(0, 2, 0, 0))


def _when(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"
