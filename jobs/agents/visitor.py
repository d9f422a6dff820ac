"""Visiting one agent: lock it, recall what is remembered, find the facts, decide, and remember."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from jobs.agents.facts import FactFinder
from jobs.agents.files import AgentFiles, CorruptState
from jobs.agents.repair import Repair, quarantine
from jobs.core.agents.discovery import Watched
from jobs.core.agents.record import AgentRecord
from jobs.core.agents.state import (
    WINDOW_SECONDS,
    Decision,
    Facts,
    Rules,
    State,
    Verb,
    decide,
    decide_release,
    decide_repair,
    decide_restart,
)
from jobs.core.agents.visit import PARTICIPLES, RELEASE, REPAIR, RESTART, Visit, remembered
from jobs.core.job import JobError
from jobs.core.model import Severity

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.clients.agents import AgentReading

_AGAIN_SECONDS = 5.0
_ASKED_WAIT_SECONDS = 60.0


class Visitor:
    """Visits agents at `now`. With `dry_run` it only says what it would do; `mode` is the job's."""

    def __init__(
        self,
        clients: Clients,
        files: AgentFiles,
        repair: Repair,
        rules: Rules,
        *,
        now: datetime,
        young_seconds: float,
        dry_run: bool,
        mode: str,
    ) -> None:
        self._clients, self._files, self._repair, self._rules = clients, files, repair, rules
        self._finder = FactFinder(clients.docker, young_seconds, inspects_all=mode == RESTART)
        self._now, self._dry_run, self._mode = now, dry_run, mode

    def visit(self, reading: AgentReading, locks: ExitStack) -> Visit:
        """Look at one agent and decide; what is to be restarted stays locked until the run is over."""
        visit = _begun(reading)
        with ExitStack() as lock:
            visit.busy = not self._locked(visit, lock)
            self._recall(visit)
            if not visit.busy:
                self._judge(visit, self._still_true(visit, reading))
                self._apply(visit)
            if visit.decision.verb is Verb.RESTART:
                locks.push(lock.pop_all())
        return visit

    def _still_true(self, visit: Visit, reading: AgentReading) -> AgentReading:
        """The reading, or a new one where another run has looked at the agent since this run began.

        A run for one agent overtakes one for all that waits for a slow agent: the older reading must not undo it.
        """
        last = visit.record.last_check
        if last is None or not self._now <= last <= self._clients.clock.now():
            return reading
        roll = self._clients.agents.roll([visit.name])
        anew = self._clients.agents.read(roll, [one for one in roll.watched if one.name == visit.name])
        if not anew:
            return reading
        visit.watched, visit.probe, visit.check_error = _watched(anew[0]), anew[0].probe, anew[0].check_error
        return anew[0]

    def _locked(self, visit: Visit, lock: ExitStack) -> bool:
        """Whether nobody else is at work on the agent; a planned run writes nothing, and so needs no lock."""
        if self._dry_run:
            return True
        try:
            mine = self._lock(visit.name, lock)
        except OSError as error:
            if self._mode in PARTICIPLES:
                raise JobError(f"{visit.name} cannot be {PARTICIPLES[self._mode]}: {error}") from error
            visit.note("not_locked", Severity.HIGH, f"nothing is done about {visit.name}: {error}")
            return False
        if not mine:
            visit.note("busy", Severity.INFO, f"another run is at work on {visit.name}")
        return mine

    def _lock(self, name: str, lock: ExitStack) -> bool:
        """Take the agent's lock. A run for this agent alone waits for it: whoever asked is not to ask again."""
        asked = self._mode in PARTICIPLES
        deadline = time.monotonic() + (_ASKED_WAIT_SECONDS if asked else 0)
        while not lock.enter_context(self._files.lock(name)):
            lock.close()
            if time.monotonic() >= deadline:
                if asked:
                    done = PARTICIPLES[self._mode]
                    raise JobError(f"{name} cannot be {done} while another run is at work on it; try again")
                return False
            time.sleep(0.1)
        return True

    def _recall(self, visit: Visit) -> None:
        """Put what is remembered of the agent into the visit; set aside what cannot be understood."""
        try:
            self._load(visit)
        except OSError as error:
            visit.busy = True
            visit.note("state_not_read", Severity.HIGH, f"nothing is done about {visit.name}: {error}")
        visit.before = visit.record.status

    def _load(self, visit: Visit) -> None:
        try:
            visit.record = self._files.load(visit.name) or visit.record
        except CorruptState as error:
            if not visit.busy:
                self._rebuild(visit, str(error))

    def _rebuild(self, visit: Visit, reason: str) -> None:
        spent = self._spent(visit.name)
        visit.record = visit.record.updated(
            restarts_in_hour=tuple(spent)[-1000:],
            last_restart=spent[-1] if spent else None,
            total_restarts=len(spent),
        )
        kept = "it would be set aside"
        if not self._dry_run:
            kept = f"it was kept as {self._files.set_aside(visit.name, self._now).name}"
        message = f"the state file of {visit.name} could not be understood ({reason}); {kept} and rebuilt"
        visit.note("corrupt_state", Severity.MEDIUM, message)

    def _judge(self, visit: Visit, reading: AgentReading) -> None:
        known = self._finder.facts(reading, visit.record, self._now)
        visit.facts, visit.inspection = known.facts, known.inspection
        visit.record = remembered(visit, self._now)
        if known.verdict:
            visit.record = visit.record.updated(verdict=known.verdict)
        if self._mode == RELEASE:
            self._release(visit)
            visit.decision = decide_release(visit.facts)
        else:
            visit.decision = self._decision(visit)
        if visit.facts.young and visit.facts.state is not State.HEALTHY:
            visit.again_seconds = _AGAIN_SECONDS

    def _decision(self, visit: Visit) -> Decision:
        spent: Sequence[datetime] = ()
        if visit.facts.touchable and visit.facts.state is not State.HEALTHY:
            spent = self._spent(visit.name)
            visit.record = visit.record.with_restarts(spent, self._now)
        failures, quarantined = visit.record.consecutive_failures, visit.record.quarantined_since is not None
        if self._mode == RESTART:
            return decide_restart(visit.facts)
        if self._mode == REPAIR:
            return decide_repair(visit.facts, quarantined, spent, self._rules)
        return decide(visit.facts, failures, quarantined, spent, self._now, self._rules)

    def _release(self, visit: Visit) -> None:
        done = not self._dry_run
        visit.did("release", "its quarantine ends and its restarts of this hour are forgotten", done=done)
        if done:
            self._clients.budgets.reset(f"restart/{visit.name}")
        visit.record = visit.record.updated(quarantined_since=None, quarantine_reason="", restarts_in_hour=())

    def _spent(self, name: str) -> Sequence[datetime]:
        return self._clients.budgets.spent(f"restart/{name}", self._now - timedelta(seconds=WINDOW_SECONDS))

    def _apply(self, visit: Visit) -> None:
        """Do what needs no restart, or in a planned run only say it."""
        decision = visit.decision
        if self._dry_run:
            if decision.verb in (Verb.RESTART, Verb.QUARANTINE):
                visit.did(decision.verb.value, decision.reason, done=False)
            return
        if decision.verb is Verb.QUARANTINE:
            quarantine(visit, self._now, decision.reason)
        elif decision.verb is Verb.WAIT:
            visit.again_seconds = decision.wait_seconds
        self._repair.save(visit)


def _begun(reading: AgentReading) -> Visit:
    facts, blank = Facts(reading.state, reading.detail), AgentRecord(agent_name=reading.agent.name)
    return Visit(_watched(reading), reading.probe, facts, blank, reading.check_error)


def _watched(reading: AgentReading) -> Watched:
    return Watched(reading.agent, reading.container, reading.url)
