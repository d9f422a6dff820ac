"""Whether anything is wrong, and all that one glance should show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from exporter import __version__
from exporter.bridge.outgoing.wording import host_name
from exporter.store import StoreError
from exporter.views import agents, alerts, findings, repairs, reports, scores, tasks, trouble, upkeep
from exporter.views.answer import answer_of, verdict_of
from exporter.views.matters import Matter, joined, todo
from exporter.views.moments import told
from exporter.views.sources import Sources
from jobs.core.model import Severity

if TYPE_CHECKING:
    from exporter.views.shapes import (
        AgentEntry,
        AlertEntry,
        FindingEntry,
        RemediationEntry,
        ReportEntry,
        Score,
        Status,
        TaskEntry,
    )

WORST_FINDINGS = 50
"""So many findings stand in the document; it counts all of them."""

_T = TypeVar("_T")


@dataclass
class _Look:
    """Everything that there is to see. What cannot be read is empty, and `unread` says why."""

    sources: Sources
    unread: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        sources = self.sources
        self.scores: list[Score] = scores.scores(sources)
        self.agents: list[AgentEntry] = agents.agents(sources)
        if sources.store.is_stalled:  # it is not asked as well
            self.unread.append(f"{sources.store.file}: the store does not answer: its disk is frozen or gone")
        self.tasks: list[TaskEntry] = self._read(tasks.tasks)
        self.findings: list[FindingEntry] = self._read(findings.findings)
        self.alerts: list[AlertEntry] = self._read(alerts.firing)
        self.remediations: list[RemediationEntry] = self._read(alerts.remediations)
        self.reports: list[ReportEntry] = self._read(reports.newest)
        self.overdue: list[upkeep.Slot] = self._read(upkeep.overdue)

    def _read(self, view: Callable[[Sources], list[_T]]) -> list[_T]:
        if self.unread:  # the first reason is that of all
            return []
        try:
            return view(self.sources)
        except StoreError as error:
            self.unread.append(str(error))
        except OSError as error:
            self.unread.append(f"{error.filename}: cannot be read: {error.strerror}; check its owner")
        return []


def status(sources: Sources, *, serving: bool) -> Status:
    """Everything at a glance; `serving` is whether a daemon serves this base directory."""
    look = _Look(sources)
    matters = _matters(look, serving=serving)
    return {
        "at": told(sources, sources.now),
        "host": host_name(),
        "version": __version__,
        "base_dir": str(sources.configuration.settings.base_dir),
        "serving": serving,
        "verdict": verdict_of(matters),
        "answer": answer_of(matters),
        "to_do": [matter.todo for matter in matters],
        "scores": look.scores,
        "agents": look.agents,
        "agent_uptime_percent": agents.uptime_percent(sources),
        "tasks": look.tasks,
        "findings": look.findings[:WORST_FINDINGS],
        "finding_counts": _counted(look.findings),
        "alerts": look.alerts,
        "remediations": look.remediations,
        "reports": look.reports,
    }


def _matters(look: _Look, *, serving: bool) -> list[Matter]:
    """What wants a person. Where several views see one thing, the first one here says what to do."""
    sources, settings = look.sources, look.sources.configuration.settings
    if look.unread:
        return joined([_unread(look.unread[0]), *trouble.of_agents(look.agents, [], settings)])
    found = joined(
        [
            *trouble.of_approvals(look.remediations),
            *trouble.of_findings(look.findings, settings),
            *trouble.of_agents(look.agents, look.findings, settings),
            *trouble.of_scores(look.scores, settings),
            *upkeep.of_schedule(sources, look.overdue, look.tasks, serving=serving),
            *upkeep.of_daemon(sources),
            *upkeep.of_tasks(look.tasks),
            *upkeep.of_alerts(look.alerts, look.remediations, sources.now),
        ]
    )
    return [repairs.attended(matter) for matter in found]


def _unread(reason: str) -> Matter:
    wanted = todo(Severity.HIGH, "daemon", "store", reason, "see that its disk is there, and its owner")
    return Matter(wanted, upkeep.UNREAD, "what is known cannot be read", frozenset(["daemon/store"]))


def _counted(entries: list[FindingEntry]) -> dict[str, int]:
    counts = Counter(entry["severity"] for entry in entries)
    return {severity.value: counts[severity.value] for severity in reversed(Severity)}
