"""A base directory with a past, and what there is to see of it at one moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from exporter.bridge.incoming.inbox import Inbox
from exporter.bridge.model import Alert
from exporter.bridge.outgoing.announcing import news_of
from exporter.config import Configuration
from exporter.metrics import counters_of
from exporter.record import Record
from exporter.replay import replayed_metrics
from exporter.runs.reports import write_report
from exporter.runs.tickets import Progress
from exporter.settings import settings_model
from exporter.store import Store
from exporter.views.shapes import Status
from exporter.views.sources import Sources
from exporter.views.status import status
from jobs.core.agents.families import FAILURES, QUARANTINED, STATE, UP, UPTIME
from jobs.core.agents.state import State
from jobs.core.model import Finding, Outcome, Request, Result, Sample, Severity
from jobs.core.registry import all_jobs

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Scene:
    """Runs that ended, alerts that came; `now` is the time, which only `wait` moves on."""

    def __init__(self, directory: Path, **sections: Any) -> None:
        self.base_dir, self.now = directory / "base", NOON
        document = {"base_dir": str(self.base_dir), **sections}
        self.configuration = Configuration(settings_model().model_validate(document), document)
        self.store = Store(self.base_dir / "data" / "sutazai.db")

    def wait(self, **span: float) -> Scene:
        """Let time pass."""
        self.now += timedelta(**span)
        return self

    def ran(
        self, task: str, *findings: Finding, mode: str = "", result: Mapping[str, Any] | None = None, **more: Any
    ) -> Record:
        """A run ended now; `result` has parts of its result, `more` are parts of the request and the record."""
        job = all_jobs()[task]
        parts = {key: more.pop(key) for key in ("outcome", "error") if key in more}
        request = Request(task=task, mode=mode or job.modes[0], **{"trigger": "schedule", **more})
        worked = parts.get("outcome", Outcome.OK) is Outcome.OK
        told = Result(**{"status": "GOOD", "summary": "all is said", "findings": findings, **(result or {})})
        record = Record(
            run_id=self.store.begin_run(request, self.now, 1),
            request=request,
            started=self.now,
            finished=self.now + timedelta(seconds=1),
            duration_seconds=1.5,
            result=told if worked else None,
            **{"outcome": Outcome.OK, **parts},
        )
        record = record.model_copy(update={"report": write_report(record, job, self.base_dir, [])})
        also = news_of(record, self.configuration.settings)
        self.store.finish_run(record, counters_of(record), self.now, also)
        return record

    def all_well(self) -> Scene:
        """Every task ran and found nothing."""
        for task in all_jobs():
            self.ran(task)
        return self

    def agents(self, *findings: Finding, **states: State) -> Record:
        """The agent monitor saw these agents so."""
        samples = [sample for name, state in states.items() for sample in _samples(name, state)]
        samples.append(Sample(family=UPTIME.name, value=99.5))
        return self.ran("agent-monitor", *findings, result={"samples": samples})

    def alert(
        self, name: str, severity: str = "critical", number: int = 1, *, runbook: str = "", **labels: str
    ) -> None:
        """An alert fires since now."""
        told = {"alertname": name, "severity": severity, **labels}
        text = {"summary": f"{name} is what it says", "runbook_url": runbook}
        fingerprint = f"{number:016x}"
        one = Alert(fingerprint=fingerprint, status="firing", starts_at=self.now, labels=told, annotations=text)  # type: ignore[arg-type]
        Inbox(self.store).take([one], self.now)

    def sources(self, progress_of: Callable[[str], Progress | None] = lambda task: None) -> Sources:
        """What views look at now."""
        metrics = replayed_metrics(self.configuration, self.store, self.now)
        return Sources(self.configuration, self.store, metrics.exposition, self.now, progress_of)

    def status(self, *, serving: bool = True) -> Status:
        """Everything at a glance."""
        return status(self.sources(), serving=serving)


def found(subject: str, severity: Severity = Severity.HIGH, kind: str = "fail", remedy: str = "") -> Finding:
    """Something that is wrong."""
    return Finding(kind=kind, subject=subject, severity=severity, message=f"{subject} is {kind}", remedy=remedy)


def _samples(name: str, state: State) -> list[Sample]:
    agent = {"agent": name}
    return [
        Sample(family=UP.name, labels=agent, value=state is State.HEALTHY),
        Sample(family=QUARANTINED.name, labels=agent, value=state is State.QUARANTINED),
        Sample(family=FAILURES.name, labels=agent, value=0 if state is State.HEALTHY else 3),
        *(Sample(family=STATE.name, labels={**agent, "state": one}, value=one is state) for one in State),
    ]
