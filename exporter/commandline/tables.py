"""What views return, as tables for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.table import Table

from exporter.commandline.console import OUTCOME_STYLES, from_now, how_large, how_long, said, styled, table_of, when
from exporter.views.shapes import AgentEntry, BackupEntry, ReportEntry, RunEntry, SettingEntry, TaskEntry

if TYPE_CHECKING:
    from exporter.bridge.outgoing.outbox import Entry

_STATE_STYLES = {"healthy": "green", "paused": "yellow", "stopped": "yellow"}


def agent_table(entries: Sequence[AgentEntry]) -> Table:
    """How each agent is."""
    table = table_of("agent", "state", "up in 24 h", "failures in a row", "restarts")
    for entry in entries:
        uptime = entry["uptime_24h_ratio"]
        table.add_row(
            said(entry["agent"]),
            styled(entry["state"], _STATE_STYLES.get(entry["state"], "red")),
            "" if uptime is None else f"{uptime:.1%}",
            _count(entry["consecutive_failures"]),
            _count(entry["restarts_total"]),
        )
    return table


def task_table(entries: Sequence[TaskEntry], now: datetime, *, wide: bool = False) -> Table:
    """How each task is doing; where there is room, also when it runs and what it does."""
    more = ("when", "what it does") if wide else ()
    table = table_of("task", "now", "last run", "outcome", "due", *more, wraps=more)
    for entry in entries:
        runs = entry["enabled"] and entry["cadences"]
        table.add_row(
            said(entry["task"]),
            running(entry),
            from_now(entry["last_run"]["started"], now) if entry["last_run"] else "never",
            last_outcome(entry),
            from_now(entry["next_run"], now) if runs else "never",
            *((said(", ".join(entry["cadences"])) if runs else "never (disabled)", said(entry["summary"])) * wide),
        )
    return table


def running(entry: TaskEntry) -> str:
    """How far the run of a task is that is under way; empty where none is."""
    now = entry["running"]
    if now is None:
        return ""
    ratio = "" if now["ratio"] is None else f" {now['ratio']:.0%}"
    return f"[cyan]running{ratio}[/]"


def last_outcome(entry: TaskEntry) -> str:
    """How the last run of a task ended, and whether its result is still to be believed."""
    last = entry["last_run"]
    if last is None:
        return ""
    outcome = styled(last["outcome"], OUTCOME_STYLES.get(last["outcome"], ""))
    # "ok CRITICAL" would be read as a contradiction: a run that worked is told of by what it found.
    told = said(last["status"]) if last["outcome"] == "ok" and last["status"] else outcome
    return f"{told}{' [yellow](stale)[/]' if entry['stale'] else ''}"


def run_table(entries: Sequence[RunEntry]) -> Table:
    """What ran, why, and what came of it."""
    table = table_of(
        "id",
        "started",
        "task",
        "mode",
        "why",
        "took",
        "outcome",
        "what came of it",
        wraps=("why", "what came of it"),
    )
    for entry in entries:
        came_of_it = entry["error"] or f"{entry['status']}: {entry['summary']}"
        what = f"{entry['task']} {entry['target']}".strip()
        cells = (str(entry["run_id"]), when(entry["started"]), what, entry["mode"], entry["why"])
        outcome = styled(entry["outcome"], OUTCOME_STYLES.get(entry["outcome"], ""))
        table.add_row(*map(said, cells), how_long(entry["duration_seconds"]), outcome, said(came_of_it))
    return table


def report_table(entries: Sequence[ReportEntry]) -> Table:
    """The reports on the disk."""
    table = table_of("id", "task", "mode", "written", "forms", "size", "")
    for entry in entries:
        cells = (entry["id"], entry["task"], entry["mode"], when(entry["at"]), ", ".join(entry["formats"]))
        table.add_row(*map(said, cells), how_large(entry["bytes"]), "latest" if entry["latest"] else "")
    return table


def backup_table(entries: Sequence[BackupEntry]) -> Table:
    """The backups, with how far each was proven good."""
    table = table_of("made", "kind", "of", "size", "proof", "file", "problem", wraps=("problem",))
    for entry in entries:
        proof = entry["proof"]
        verified = f" {when(entry['verified'])}" if entry["verified"] else ""
        table.add_row(
            when(entry["created"]),
            said(entry["kind"]),
            said(entry["source"]),
            how_large(entry["bytes"]),
            styled(f"{proof}{verified}", "green") if proof else "[yellow]none[/]",
            said(entry["file"]),
            styled(entry["problem"], "red"),
        )
    return table


def setting_table(entries: Sequence[SettingEntry]) -> Table:
    """Each setting, where its value comes from, and the value as YAML takes it, which may be long."""
    table = table_of("setting", "from", "value", wraps=("value", "from"))
    for entry in entries:
        value = "" if entry["value"] is None else json.dumps(entry["value"], ensure_ascii=False, default=str)
        table.add_row(said(entry["setting"]), said(entry["origin"]), said(value))
    return table


def message_table(entries: Sequence[Entry]) -> Table:
    """Messages of the outbox."""
    why = "why it was not taken"
    table = table_of("written", "channel", "what", "attempts", "tried again", why, wraps=("what", why))
    for entry in entries:
        again = when(datetime.fromtimestamp(entry.due, UTC).isoformat()) if entry.state == "pending" else "no"
        cells = (when(entry.message.at.isoformat()), entry.channel, entry.message.summary, str(entry.attempts), again)
        table.add_row(*map(said, (*cells, entry.error)))
    return table


def _count(number: int | None) -> str:
    return "" if number is None else str(number)
