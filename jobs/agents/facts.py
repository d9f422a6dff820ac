"""What the engine knows about an agent that is not well: may it be touched, and who stopped it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from jobs.clients.docker import NoSuchContainer
from jobs.clients.errors import ClientError
from jobs.core.agents.record import AgentRecord, Verdict
from jobs.core.agents.state import Facts, State
from jobs.core.agents.stop import is_told, who_stopped
from jobs.core.containers import Container, ContainerEvent, Inspection

if TYPE_CHECKING:
    from jobs.clients.agents import AgentReading
    from jobs.clients.docker import DockerEngine

_CLOCK_SLACK = timedelta(seconds=60)


@dataclass(frozen=True)
class Known:
    """The facts of one agent, and what they were taken from. `replaced`: the container is gone since the list."""

    facts: Facts
    inspection: Inspection | None = None
    verdict: Verdict | None = None
    replaced: bool = False


class FactFinder:
    """Finds facts by asking `engine`; a container younger than `young_seconds` may still be coming up.

    Of a healthy agent it asks only with `inspects_all`: nothing is done about it otherwise.
    """

    def __init__(self, engine: DockerEngine, young_seconds: float, *, inspects_all: bool = False) -> None:
        self._engine = engine
        self._inspects_all = inspects_all
        self._young = timedelta(seconds=young_seconds)

    def facts(self, reading: AgentReading, record: AgentRecord, now: datetime) -> Known:
        """The facts of one agent at `now`."""
        seen = Facts(reading.state, reading.detail)
        if reading.container is None or (reading.healthy and not self._inspects_all):
            return Known(seen)
        try:
            inspection = self._engine.inspect(reading.container.id)
        except ClientError as error:
            return self._uninspected(seen, error)
        return self._judged(seen, reading.container, inspection, record, now)

    def _uninspected(self, seen: Facts, error: ClientError) -> Known:
        if isinstance(error, NoSuchContainer):
            gone = replace(seen, detail="its container was removed or replaced while it was being checked", young=True)
            return Known(gone, replaced=True)
        return Known(replace(seen, detail=f"{seen.detail}; {error}"))

    def _judged(
        self, seen: Facts, container: Container, inspection: Inspection, record: AgentRecord, now: datetime
    ) -> Known:
        if inspection.status != container.state:
            changed = f"its container went from {container.state} to {inspection.status} while it was being checked"
            return Known(replace(seen, detail=changed, young=True), inspection)
        if seen.state is State.STOPPED:
            return self._stopped(seen, inspection, record)
        facts = replace(
            seen,
            touchable=inspection.status == "running",
            young=self._is_young(inspection, now),
            # The verdict of a check that cannot run means nothing.
            failing_streak=0 if inspection.check_error else inspection.failing_streak,
        )
        return Known(facts, inspection)

    def _stopped(self, seen: Facts, inspection: Inspection, record: AgentRecord) -> Known:
        verdict = record.verdict
        if verdict is None or (verdict.container_id, verdict.finished) != (inspection.id, inspection.finished_text):
            verdict = self._verdict(inspection, record)
        how = f"{seen.detail}{', out of memory' if inspection.oom_killed else ''}"
        touchable = inspection.status in ("exited", "created")
        return Known(replace(seen, detail=how, stop=verdict.stop, touchable=touchable), inspection, verdict)

    def _verdict(self, inspection: Inspection, record: AgentRecord) -> Verdict:
        stop = who_stopped(inspection, self._last_events(inspection), record.attempt)
        return Verdict(container_id=inspection.id, finished=inspection.finished_text, stop=stop)

    def _last_events(self, inspection: Inspection) -> list[ContainerEvent]:
        """The container's events since its last start, as far as the engine remembers them."""
        if inspection.finished_at is None or inspection.started_at is None:
            return []
        try:
            return self._engine.events(inspection.id, inspection.started_at, lambda events: is_told(inspection, events))
        except ClientError:
            return []

    def _is_young(self, inspection: Inspection, now: datetime) -> bool:
        if inspection.started_at is None or inspection.status != "running":
            return False
        return -_CLOCK_SLACK < now - inspection.started_at < self._young
