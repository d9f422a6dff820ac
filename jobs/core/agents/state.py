"""What an agent's condition is, and what should be done about it: judged from facts, touching nothing.

The facts of one agent come from a probe of its port, the engine's account of its container, and what was
remembered of it. `decide` is the heart of the agent monitor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from jobs.core.containers import Container

WINDOW_SECONDS = 3600.0
"""Restarts are counted over this sliding time."""


class State(StrEnum):
    """The condition of an agent; everything but healthy counts as not up."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNREACHABLE = "unreachable"
    STOPPED = "stopped"
    PAUSED = "paused"
    MISSING = "missing"
    QUARANTINED = "quarantined"


class Verb(StrEnum):
    """What is to be done now."""

    NOTHING = "nothing"
    WAIT = "wait"
    RESTART = "restart"
    QUARANTINE = "quarantine"


class Stop(StrEnum):
    """Who ended a container: a person or program by `docker stop`, this monitor in mid-restart, or nobody."""

    OPERATOR = "operator"
    MONITOR = "monitor"
    CRASH = "crash"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Probe:
    """What came of asking an agent: an HTTP status, or None with the reason."""

    status: int | None
    error: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it said that it is well."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True)
class Facts:
    """What is known of one agent now.

    `touchable` is False where there is nothing that could be restarted (no container, no engine) or where
    somebody else is at it (paused, the engine's own restart policy). `young` is a container that started
    so recently that it may still be coming up. `stop` is set for a stopped container only.
    """

    state: State
    detail: str
    touchable: bool = False
    young: bool = False
    stop: Stop | None = None
    failing_streak: int = 0


@dataclass(frozen=True)
class Rules:
    """How patient the monitor is, and how often it may act."""

    consecutive_failures: int = 3
    max_restarts_per_hour: int = 3
    backoff_seconds: float = 30.0
    auto_restart: bool = True


@dataclass(frozen=True)
class Decision:
    """What to do and why; `wait_seconds` is set where the answer is to wait."""

    verb: Verb
    reason: str = ""
    wait_seconds: float = 0.0


def observe(
    container: Container | None, engine_known: bool, probe: Probe | None, check_error: str
) -> tuple[State, str]:
    """An agent's state and the reason for it, in words.

    `probe` is None where it was not asked: its container does not run, or has no address that is known.
    `check_error` says that the container's own health check cannot run, so its verdict means nothing.
    """
    if container is not None and container.state != "running":
        return _not_running(container)
    if probe is not None and not probe.ok:
        return _not_well(container, engine_known, probe)
    if container is not None and container.health == "unhealthy" and not check_error:
        return State.UNHEALTHY, "Docker's health check fails"
    return State.HEALTHY, "" if probe is not None else "its container runs"


def _not_running(container: Container) -> tuple[State, str]:
    if container.state == "paused":
        return State.PAUSED, "its container is paused"
    if container.state == "restarting":
        return State.UNREACHABLE, "Docker's restart policy is restarting its container"
    return State.STOPPED, f"its container is {container.state}: {container.status_text}"


def _not_well(container: Container | None, engine_known: bool, probe: Probe) -> tuple[State, str]:
    if probe.status is not None:
        return State.UNHEALTHY, f"it answers with status {probe.status}"
    if container is None and engine_known:
        return State.MISSING, f"it has no container and does not answer: {probe.error}"
    return State.UNREACHABLE, f"it does not answer: {probe.error}"


def counts_as_failure(facts: Facts) -> bool:
    """Whether this adds to the consecutive failures: what a person did on purpose, or is just starting, does not."""
    if facts.state in (State.HEALTHY, State.PAUSED) or facts.young:
        return False
    return facts.stop is not Stop.OPERATOR


def decide(
    facts: Facts, failures: int, quarantined: bool, spent: Sequence[datetime], now: datetime, rules: Rules
) -> Decision:
    """What to do about an agent.

    `failures` counts this one. `spent` are the restarts of the last hour, oldest first: refused and failed
    ones too, or a container that cannot start would be restarted for ever.
    """
    if facts.state is State.HEALTHY or not facts.touchable:
        return Decision(Verb.NOTHING)
    if quarantined:
        return Decision(Verb.NOTHING, "it is quarantined")
    due, reason = _due(facts, failures, rules)
    if not due:
        return Decision(Verb.NOTHING, reason)
    return allowed(reason, spent, now, rules)


def decide_release(facts: Facts) -> Decision:
    """What to do about an agent that an operator releases: what is down is restarted, whatever took it down."""
    if facts.state is State.HEALTHY or not facts.touchable:
        return Decision(Verb.NOTHING)
    return Decision(Verb.RESTART, "released by an operator")


def decide_repair(facts: Facts, quarantined: bool, spent: Sequence[datetime], rules: Rules) -> Decision:
    """What to do about an agent whose repair is asked for by name, by a person or an alert.

    It is restarted at its first failure, with automatic restarts off as well, and without the wait that grows between
    them: whoever asks has seen it fail. What it may cost stays as it is (`spent`, as in `decide`), and what a person
    took down stays down.
    """
    if quarantined:
        return Decision(Verb.NOTHING, "it is quarantined")
    if facts.state is State.HEALTHY:
        return Decision(Verb.NOTHING, "it is healthy")
    if not facts.touchable:
        return Decision(Verb.NOTHING, f"it cannot be restarted: {facts.detail}")
    due, reason = _repair_due(facts, rules)
    if not due:
        return Decision(Verb.NOTHING, reason)
    return _affordable(reason, spent, rules) or Decision(Verb.RESTART, reason)


def decide_restart(facts: Facts) -> Decision:
    """What to do about an agent that a person wants restarted: well or not, stopped or quarantined, it is.

    Neither the hour's allowance nor the wait between restarts holds a person back. What cannot be restarted (no
    container, a paused one, the engine's own restarts) is left alone.
    """
    if facts.touchable:
        return Decision(Verb.RESTART, "asked for by a person")
    return Decision(Verb.NOTHING, f"it cannot be restarted: {facts.detail or 'nothing is known of its container'}")


def allowed(reason: str, spent: Sequence[datetime], now: datetime, rules: Rules) -> Decision:
    """Whether a restart that is due for `reason` may happen now, must wait, or may not happen any more."""
    if not rules.auto_restart:
        return Decision(Verb.NOTHING, f"{reason}, but automatic restarts are off (auto_restart)")
    refused = _affordable(reason, spent, rules)
    wait = backoff_left(spent, now, rules.backoff_seconds)
    if refused is None and wait > 0:
        return Decision(Verb.WAIT, f"{reason}; the next restart is due in {wait:.0f} s", wait)
    return refused or Decision(Verb.RESTART, reason)


def _affordable(reason: str, spent: Sequence[datetime], rules: Rules) -> Decision | None:
    """None while there are restarts left in this hour, else the end of them."""
    if len(spent) < rules.max_restarts_per_hour:
        return None
    used_up = f"its {rules.max_restarts_per_hour} restarts of this hour are used up"
    return Decision(Verb.QUARANTINE, f"{reason}, and {used_up}")


def backoff_left(spent: Sequence[datetime], now: datetime, backoff_seconds: float) -> float:
    """Seconds until the next restart: none for the first, `backoff_seconds` for the second, then doubling."""
    if not spent:
        return 0.0
    wait = backoff_seconds * float(2 ** (len(spent) - 1))
    due = spent[-1] + timedelta(seconds=wait)
    # A clock that was set back must not make the wait longer than it is.
    return min(wait, max(0.0, (due - now).total_seconds()))


def _due(facts: Facts, failures: int, rules: Rules) -> tuple[bool, str]:
    if facts.state is State.STOPPED:
        return _stopped_due(facts)
    if facts.failing_streak >= rules.consecutive_failures and facts.state is State.UNHEALTHY:
        return True, f"Docker's health check failed {facts.failing_streak} times in a row"
    if facts.young:
        return False, "it has only just started"
    if failures >= rules.consecutive_failures:
        return True, f"{facts.detail} ({failures} times in a row)"
    return False, f"failure {failures} of {rules.consecutive_failures}"


def _repair_due(facts: Facts, rules: Rules) -> tuple[bool, str]:
    if facts.state is State.STOPPED:
        return _stopped_due(facts)
    if facts.young:
        # Docker's own health check gave it the time that its image asks for.
        return _due(facts, 0, rules)
    return True, facts.detail


def _stopped_due(facts: Facts) -> tuple[bool, str]:
    if facts.stop is Stop.OPERATOR:
        return False, "it was stopped on purpose"
    if facts.stop in (Stop.CRASH, Stop.MONITOR):
        return True, facts.detail
    return False, "nothing tells whether it was stopped on purpose"
