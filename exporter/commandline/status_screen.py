"""Everything at a glance, as `status` shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding

from exporter.commandline.console import SEVERITY_STYLES, VERDICT_STYLES, said, styled, when
from exporter.commandline.tables import agent_table, task_table
from exporter.views.shapes import AlertEntry, FindingEntry, RemediationEntry, Score, Status, ToDo

MAX_DEDUCTIONS = 3
"""Of what was taken off a score, so much is shown."""
MAX_FINDINGS = 10
_SMALL = ("info", "low")
MAX_AGENTS = 20
"""Of more agents those are shown that are not well."""


def status_screen(status: Status) -> RenderableType:
    """The verdict, what to do, and then how everything is."""
    parts: list[RenderableType] = [*_head(status)]
    for title, part in (
        ("To do", list(_to_do(status["to_do"]))),
        ("Under way", list(_under_way(status))),
        ("Scores", list(map(_score, status["scores"]))),
        ("Agents", list(_agents(status))),
        ("Alerts that fire", list(map(_alert, status["alerts"]))),
        ("Remediations", list(map(_remediation, status["remediations"]))),
        ("Findings", list(_findings(status))),
        ("Tasks", [task_table(status["tasks"], datetime.fromisoformat(status["at"]))] if status["tasks"] else []),
    ):
        if part:
            parts += ["", f"[bold]{title}[/]", *(Padding(one, (0, 0, 0, 2), expand=False) for one in part)]
    return Group(*parts)


def _head(status: Status) -> Iterator[RenderableType]:
    verdict = status["verdict"]
    yield f"[{VERDICT_STYLES[verdict]}]{verdict.upper()}[/]  {said(status['answer'])}"
    daemon = "a daemon serves it" if status["serving"] else "no daemon serves it"
    place = f"{status['base_dir']} on {status['host']}, {daemon}"
    yield f"[dim]{when(status['at'])}, {said(place)}, version {said(status['version'])}[/]"


def _to_do(entries: Sequence[ToDo]) -> Iterator[str]:
    for number, entry in enumerate(entries, 1):
        since = f"[dim], since {when(entry['since'])}[/]" if entry["since"] else ""
        subject = f"{said(entry['subject'])}: " if entry["subject"] not in entry["what"] else ""
        yield f"{number}. {_severity(entry['severity'])} {subject}{said(entry['what'])}{since}"
        if entry["remedy"]:
            yield f"   [dim]→ {said(entry['remedy'])}[/]"
        if entry["command"]:
            yield f"   [bold]$ {said(entry['command'])}[/]"


def _under_way(status: Status) -> Iterator[str]:
    for task in status["tasks"]:
        if now := task["running"]:
            far = f" {now['done']} of {now['total']}" if now["total"] else ""
            message = f": {said(now['message'])}" if now["message"] else ""
            yield f"[cyan]{said(task['task'])}[/]{far}{message} [dim](since {when(now['since'])})[/]"


def _severity(severity: str) -> str:
    return styled(severity, SEVERITY_STYLES.get(severity, ""))


def _score(score: Score) -> str:
    taken = [f"-{one['points']:g} {one['reason']}" for one in score["deductions"]]
    more = [f"{len(taken) - MAX_DEDUCTIONS} more"] if len(taken) > MAX_DEDUCTIONS else []
    value = "not known" if score["value"] is None else f"{score['value']:g}"
    why = f" [dim]({said(', '.join(taken[:MAX_DEDUCTIONS] + more))})[/]" if taken else ""
    return f"{said(score['name']):12} {value}{why}"


def _agents(status: Status) -> Iterator[RenderableType]:
    agents, percent = status["agents"], status["agent_uptime_percent"]
    if not agents:
        return
    healthy = sum(agent["healthy"] for agent in agents)
    uptime = "" if percent is None else f", up {percent:.1f} % of the last 24 h"
    yield f"{healthy} of {len(agents)} healthy{uptime}"
    shown = [agent for agent in agents if len(agents) <= MAX_AGENTS or not agent["healthy"]]
    if shown:
        yield agent_table(shown[:MAX_AGENTS])
    if len(shown) > MAX_AGENTS:
        yield f"and {len(shown) - MAX_AGENTS} more: sutazai-exporter agents list"


def _alert(alert: AlertEntry) -> str:
    since = f"[dim]({alert['state']} since {when(alert['since'])})[/]"
    return f"{_severity(alert['severity'])} {said(alert['name'])}: {said(alert['summary'])} {since}"


def _remediation(entry: RemediationEntry) -> str:
    return f"{entry['id']} {said(entry['state'])}: {said(entry['alert'])}, {said(entry['plan'])}"


def _findings(status: Status) -> Iterator[str]:
    counts = {name: count for name, count in status["finding_counts"].items() if count}
    if not counts:
        return
    yield ", ".join(f"{count} {_severity(name)}" for name, count in counts.items())
    shown = [finding for finding in status["findings"] if finding["severity"] not in _SMALL][:MAX_FINDINGS]
    yield from map(_finding, shown)
    if sum(counts.values()) > len(shown):
        yield "[dim]all of them: sutazai-exporter findings[/]"


def _finding(finding: FindingEntry) -> str:
    return f"{_severity(finding['severity'])} {said(finding['subject'])}: {said(finding['message'])}"


def finding_lines(findings: Sequence[FindingEntry]) -> RenderableType:
    """Each finding with what to do about it."""
    lines: list[str] = []
    for finding in findings:
        since = f", since {when(finding['since'])}" if finding["since"] else ""
        lines.append(f"{_finding(finding)} [dim]({said(finding['task'])}, seen {when(finding['at'])}{since})[/]")
        if finding["remedy"]:
            lines.append(f"   [dim]→ {said(finding['remedy'])}[/]")
    return Group(*lines)
