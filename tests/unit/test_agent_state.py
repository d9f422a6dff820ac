"""What is decided about one agent, given facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from jobs.core.agents.state import (
    Facts,
    Probe,
    Rules,
    State,
    Stop,
    Verb,
    backoff_left,
    counts_as_failure,
    decide,
    decide_release,
    decide_repair,
    observe,
)
from jobs.core.containers import Container

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
RULES = Rules(consecutive_failures=3, max_restarts_per_hour=3, backoff_seconds=30)
ILL = Facts(State.UNHEALTHY, "it answers with status 500", touchable=True)
SILENT = Facts(State.UNREACHABLE, "it does not answer", touchable=True)
CRASHED = Facts(State.STOPPED, "exited", touchable=True, stop=Stop.CRASH)


def ago(*seconds: float) -> list[datetime]:
    return [NOW - timedelta(seconds=s) for s in seconds]


@pytest.mark.parametrize(
    ("facts", "failures", "quarantined", "spent", "verb"),
    [
        # Failures in a row
        (Facts(State.HEALTHY, "", touchable=True), 0, False, [], Verb.NOTHING),
        (ILL, 1, False, [], Verb.NOTHING),
        (ILL, 2, False, [], Verb.NOTHING),
        (ILL, 3, False, [], Verb.RESTART),
        (SILENT, 2, False, [], Verb.NOTHING),
        (SILENT, 3, False, [], Verb.RESTART),
        # Docker's own verdict
        (replace(ILL, failing_streak=2), 1, False, [], Verb.NOTHING),
        (replace(ILL, failing_streak=3), 1, False, [], Verb.RESTART),
        (replace(SILENT, failing_streak=9), 1, False, [], Verb.NOTHING),
        # Just started
        (replace(SILENT, young=True), 7, False, [], Verb.NOTHING),
        # Stopped
        (CRASHED, 1, False, [], Verb.RESTART),
        (replace(CRASHED, stop=Stop.MONITOR), 1, False, [], Verb.RESTART),
        (replace(CRASHED, stop=Stop.OPERATOR), 9, False, [], Verb.NOTHING),
        (replace(CRASHED, stop=Stop.UNKNOWN), 9, False, [], Verb.NOTHING),
        # Not to be touched: paused, missing, restarted by Docker itself, no engine
        (Facts(State.PAUSED, ""), 9, False, [], Verb.NOTHING),
        (Facts(State.MISSING, ""), 9, False, [], Verb.NOTHING),
        (Facts(State.UNREACHABLE, "Docker restarts it"), 9, False, [], Verb.NOTHING),
        # Allowance and backoff
        (CRASHED, 1, False, ago(29), Verb.WAIT),
        (CRASHED, 1, False, ago(30), Verb.RESTART),
        (CRASHED, 1, False, ago(200, 59), Verb.WAIT),
        (CRASHED, 1, False, ago(200, 60), Verb.RESTART),
        (CRASHED, 1, False, ago(900, 600, 300), Verb.QUARANTINE),
        (ILL, 2, False, ago(900, 600, 300), Verb.NOTHING),
        # Quarantined
        (CRASHED, 1, True, [], Verb.NOTHING),
        (ILL, 9, True, [], Verb.NOTHING),
    ],
)
def test_decision(facts: Facts, failures: int, quarantined: bool, spent: list[datetime], verb: Verb) -> None:
    assert decide(facts, failures, quarantined, spent, NOW, RULES).verb is verb


def test_a_monitor_that_only_reports_never_restarts_or_quarantines() -> None:
    rules = replace(RULES, auto_restart=False)
    for spent in ([], ago(900, 600, 300)):
        decision = decide(CRASHED, 9, False, spent, NOW, rules)
        assert decision.verb is Verb.NOTHING
        assert "auto_restart" in decision.reason


def test_waiting_says_how_long() -> None:
    assert decide(CRASHED, 1, False, ago(10), NOW, RULES).wait_seconds == pytest.approx(20)


def test_a_clock_that_was_set_back_does_not_lengthen_the_wait() -> None:
    assert backoff_left([NOW + timedelta(hours=5)], NOW, 30) == 30


def test_each_restart_within_the_hour_waits_twice_as_long_as_the_one_before() -> None:
    assert [backoff_left([NOW] * n, NOW, 30) for n in range(5)] == [0, 30, 60, 120, 240]


@pytest.mark.parametrize(
    ("facts", "verb"),
    [
        (Facts(State.HEALTHY, "", touchable=True), Verb.NOTHING),
        (replace(CRASHED, stop=Stop.OPERATOR), Verb.RESTART),
        (replace(CRASHED, stop=Stop.UNKNOWN), Verb.RESTART),
        (ILL, Verb.RESTART),
        (Facts(State.PAUSED, ""), Verb.NOTHING),
        (Facts(State.MISSING, ""), Verb.NOTHING),
    ],
)
def test_a_release_restarts_whatever_is_down_and_may_be_touched(facts: Facts, verb: Verb) -> None:
    assert decide_release(facts).verb is verb


YOUNG = replace(ILL, young=True)


@pytest.mark.parametrize(
    ("facts", "quarantined", "spent", "verb", "said"),
    [
        (ILL, False, [], Verb.RESTART, ILL.detail),
        (CRASHED, False, [], Verb.RESTART, CRASHED.detail),
        (ILL, False, ago(900, 1), Verb.RESTART, ILL.detail),
        (ILL, False, ago(900, 600, 300), Verb.QUARANTINE, "used up"),
        (ILL, True, [], Verb.NOTHING, "quarantined"),
        (Facts(State.HEALTHY, "", touchable=True), True, [], Verb.NOTHING, "quarantined"),
        (Facts(State.HEALTHY, "", touchable=True), False, [], Verb.NOTHING, "healthy"),
        (Facts(State.PAUSED, "its container is paused"), False, [], Verb.NOTHING, "paused"),
        (Facts(State.MISSING, "it has no container"), False, [], Verb.NOTHING, "no container"),
        (replace(CRASHED, stop=Stop.OPERATOR), False, [], Verb.NOTHING, "on purpose"),
        (replace(CRASHED, stop=Stop.UNKNOWN), False, [], Verb.NOTHING, "nothing tells"),
        (replace(CRASHED, stop=Stop.MONITOR), False, [], Verb.RESTART, CRASHED.detail),
        (YOUNG, False, [], Verb.NOTHING, "only just started"),
        (replace(YOUNG, failing_streak=3), False, [], Verb.RESTART, "3 times in a row"),
    ],
)
def test_a_repair_restarts_at_the_first_failure_what_no_person_took_down(
    facts: Facts, quarantined: bool, spent: list[datetime], verb: Verb, said: str
) -> None:
    decision = decide_repair(facts, quarantined, spent, replace(RULES, auto_restart=False))
    assert decision.verb is verb
    assert said in decision.reason


def container(state: str = "running", health: str = "") -> Container:
    return Container("0" * 64, "a", "image", state, state, health, {}, (), "host", ())


OK, ERROR, SILENCE = Probe(204), Probe(503), Probe(None, "connection refused")


@pytest.mark.parametrize(
    ("container", "engine_known", "probe", "check_error", "state"),
    [
        (container(), True, OK, "", State.HEALTHY),
        (container(), True, ERROR, "", State.UNHEALTHY),
        (container(), True, SILENCE, "", State.UNREACHABLE),
        (container(), True, Probe(302), "", State.UNHEALTHY),
        (container(health="unhealthy"), True, OK, "", State.UNHEALTHY),
        (container(health="unhealthy"), True, OK, "no shell", State.HEALTHY),
        (container(health="unhealthy"), True, SILENCE, "no shell", State.UNREACHABLE),
        (container(health="starting"), True, OK, "", State.HEALTHY),
        (container(), True, None, "", State.HEALTHY),
        (container(health="unhealthy"), True, None, "", State.UNHEALTHY),
        (container("paused"), True, None, "", State.PAUSED),
        (container("exited"), True, None, "", State.STOPPED),
        (container("created"), True, None, "", State.STOPPED),
        (container("dead"), True, None, "", State.STOPPED),
        (container("restarting"), True, None, "", State.UNREACHABLE),
        (None, True, SILENCE, "", State.MISSING),
        (None, True, OK, "", State.HEALTHY),
        (None, True, ERROR, "", State.UNHEALTHY),
        # Without an engine nobody knows whether there is a container.
        (None, False, SILENCE, "", State.UNREACHABLE),
    ],
)
def test_state(
    container: Container | None, engine_known: bool, probe: Probe | None, check_error: str, state: State
) -> None:
    assert observe(container, engine_known, probe, check_error)[0] is state


@pytest.mark.parametrize(
    ("facts", "counts"),
    [
        (Facts(State.HEALTHY, ""), False),
        (ILL, True),
        (SILENT, True),
        (replace(SILENT, young=True), False),
        (CRASHED, True),
        (replace(CRASHED, stop=Stop.OPERATOR), False),
        (Facts(State.PAUSED, ""), False),
        (Facts(State.MISSING, ""), True),
    ],
)
def test_what_counts_as_a_failure(facts: Facts, counts: bool) -> None:
    assert counts_as_failure(facts) is counts
