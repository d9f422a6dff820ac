"""Restarting agents: paid for first, with evidence saved, by container id, and verified afterwards."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from jobs.agents.files import AgentFiles
from jobs.clients.docker import NoSuchContainer
from jobs.clients.errors import ClientError
from jobs.core.agents.discovery import Watched
from jobs.core.agents.record import Attempt
from jobs.core.agents.state import WINDOW_SECONDS, Probe, State, observe
from jobs.core.agents.visit import FAILED, RECOVERED, RELEASE_COMMAND, Visit, container_name
from jobs.core.containers import Container, without_secrets
from jobs.core.model import Severity

if TYPE_CHECKING:
    from jobs.clients import Clients

_LOOK_SECONDS = 0.1
_PROBE_SECONDS = 2.0
_STEADY_SECONDS = 1.0
"""How long an agent without a known address must have run to count as recovered."""
_NO_LIMIT = 1 << 31
_SLACK_SECONDS = 60.0
"""What a restart may take beyond the stop's own time-out."""


class Repair:
    """Restarts agents and sees whether they come back. Its notes go into the visits.

    With `asked` it is a person who wants it: then the hour's allowance is spent and holds nothing back.
    """

    def __init__(
        self,
        clients: Clients,
        files: AgentFiles,
        *,
        max_restarts_per_hour: int,
        stop_timeout_seconds: float,
        recovery_timeout_seconds: float,
        log_lines: int,
        evidence_files: int,
        asked: bool = False,
    ) -> None:
        self._clients, self._files, self._asked = clients, files, asked
        self._limit, self._stop_seconds = max_restarts_per_hour, stop_timeout_seconds
        self._recovery_seconds = recovery_timeout_seconds
        self._log_lines, self._evidence_files = log_lines, evidence_files

    def restart(self, visit: Visit, container_id: str) -> bool:
        """Restart one agent's container; say whether the engine did it.

        The allowance is spent first: a restart that fails, or that this process does not survive, counts.
        """
        now, visit.restart_began = self._clients.clock.now(), self._clients.clock.monotonic()
        if not self._pay(visit, now):
            return False
        self._save_evidence(visit, container_id, now)
        self._remember_attempt(visit, container_id, now)
        try:
            self._clients.docker.restart(container_id, self._stop_seconds)
        except NoSuchContainer:
            self._failed(visit, "its container was removed or replaced in the meantime")
            return False
        except ClientError as error:
            self._failed(visit, str(error))
            return False
        visit.record = visit.record.updated(attempt=None, verdict=None)
        visit.did("restart", visit.decision.reason, done=True)
        return True

    def verify(self, visits: Sequence[Visit]) -> None:
        """Watch agents that were restarted until each is healthy, stopped again, or out of time."""
        clock, pending = self._clients.clock, {visit.name: visit for visit in visits}
        began = clock.monotonic()
        while pending and clock.monotonic() - began < self._recovery_seconds:
            for name in self._look(list(pending.values()), clock.monotonic() - began):
                del pending[name]
            if pending:
                time.sleep(_LOOK_SECONDS)
        for visit in pending.values():
            self._failed(visit, f"not healthy within {self._recovery_seconds:g} s: {visit.facts.detail}")

    def save(self, visit: Visit) -> None:
        """Remember the visit's record; a file that cannot be written becomes a finding."""
        try:
            self._files.save(visit.record.updated(status=visit.state, last_check=self._clients.clock.now()))
        except OSError as error:
            visit.note("state_not_saved", Severity.MEDIUM, f"the state of {visit.name} cannot be saved: {error}")

    def _pay(self, visit: Visit, now: datetime) -> bool:
        key = f"restart/{visit.name}"
        limit = _NO_LIMIT if self._asked else self._limit
        if not self._clients.budgets.spend(key, now, limit=limit, window_seconds=WINDOW_SECONDS):
            quarantine(visit, now, f"its {self._limit} restarts of this hour are used up")
            self.save(visit)
            return False
        visit.record = visit.record.updated(
            restarts_in_hour=(*visit.record.restarts_in_hour, now),
            last_restart=now,
            total_restarts=visit.record.total_restarts + 1,
        )
        return True

    def _remember_attempt(self, visit: Visit, container_id: str, now: datetime) -> None:
        limit = self._stop_seconds + self._clients.world.docker.timeout_seconds + _SLACK_SECONDS
        attempt = Attempt(container_id=container_id, began=now, ended=now + timedelta(seconds=limit))
        visit.record = visit.record.updated(attempt=attempt)
        # Before the engine is asked: a run that is killed in between leaves a stopped container, and must be
        # known to have stopped it.
        self.save(visit)

    def _save_evidence(self, visit: Visit, container_id: str, now: datetime) -> None:
        found = visit.inspection
        log, log_error = self._log(container_id)
        evidence = {
            "agent": visit.name,
            "taken_at": now.isoformat(),
            "reason": visit.decision.reason,
            "state": visit.state.value,
            "detail": visit.facts.detail,
            "probe": {"status": visit.probe.status, "error": visit.probe.error} if visit.probe else None,
            "container_id": container_id,
            "exit_code": found.exit_code if found else None,
            "oom_killed": found.oom_killed if found else None,
            "log_error": log_error,
            "log": log,
            "inspect": without_secrets(found.raw) if found else None,
        }
        try:
            self._files.save_evidence(visit.name, now, evidence, self._evidence_files)
        except (OSError, ValueError, RecursionError) as error:
            visit.note("evidence_not_saved", Severity.MEDIUM, f"no evidence saved for {visit.name}: {error}")

    def _log(self, container_id: str) -> tuple[list[str], str]:
        try:
            return self._clients.docker.log_tail(container_id, self._log_lines), ""
        except ClientError as error:
            return [], str(error)

    def _look(self, pending: Sequence[Visit], seconds: float) -> list[str]:
        """One look at agents that were restarted `seconds` ago; the names of those that are settled."""
        # Taken anew: a container that is stopped publishes no ports, and may get others when it starts.
        roll = self._clients.agents.roll(self._files.names())
        if not roll.engine_known:
            return []
        now_there = {w.container.id: w for w in roll.watched if w.container}
        found = [(visit, now_there.get(_container_id(visit))) for visit in pending]
        there = [watched for _, watched in found if watched]
        timeout = min(_PROBE_SECONDS, self._clients.world.agents.timeout_seconds)
        probes = dict(zip(map(id, there), self._clients.agents.probe(there, timeout), strict=True))
        return [v.name for v, w in found if self._settled(v, w, probes.get(id(w)), seconds)]

    def _settled(self, visit: Visit, watched: Watched | None, probe: Probe | None, seconds: float) -> bool:
        if watched is None or watched.container is None:
            self._failed(visit, "its container was removed or replaced right after")
            return True
        state, detail = observe(watched.container, True, probe, visit.check_error)
        visit.watched, visit.probe = watched, probe
        visit.facts = replace(visit.facts, state=state, detail=detail, stop=None)
        if state is State.STOPPED:
            self._failed(visit, f"it stopped again at once ({watched.container.status_text})")
            return True
        if state is not State.HEALTHY or (probe is None and not _steady(watched.container, seconds)):
            return False
        self._recovered(visit)
        return True

    def _recovered(self, visit: Visit) -> None:
        now, seconds = self._clients.clock.now(), self._clients.clock.monotonic() - visit.restart_began
        visit.restart = RECOVERED
        visit.record = visit.record.updated(
            consecutive_failures=0, last_successful_check=now, attempt=None, verdict=None
        )
        message = f"{visit.name} was restarted ({visit.decision.reason}) and is healthy, after {seconds:.1f} s"
        visit.note("restarted", Severity.LOW, message)
        self.save(visit)

    def _failed(self, visit: Visit, reason: str) -> None:
        visit.restart = FAILED
        visit.note(
            "restart_failed",
            Severity.CRITICAL,
            f"the restart of {visit.name} failed: {reason}",
            f"docker logs {container_name(visit)}",
        )
        self.save(visit)


def quarantine(visit: Visit, now: datetime, reason: str) -> None:
    """Leave an agent alone from now on, until somebody releases it."""
    visit.record = visit.record.updated(quarantined_since=now, quarantine_reason=reason[:1000])
    visit.did("quarantine", f"{reason}; {RELEASE_COMMAND} {visit.name} ends it", done=True)


def _container_id(visit: Visit) -> str:
    return visit.watched.container.id if visit.watched.container else ""


def _steady(container: Container, seconds: float) -> bool:
    return seconds >= _STEADY_SECONDS and container.health in ("", "healthy")
