"""What a run says: samples, verdict, uptime, report, findings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from jobs.core.agents.discovery import Watched
from jobs.core.agents.families import FAMILIES
from jobs.core.agents.record import AgentRecord
from jobs.core.agents.report import FAILED_SERIES, RESPONSE_SERIES, Round, Uptimes
from jobs.core.agents.state import Decision, Facts, Probe, State, Stop, Verb
from jobs.core.agents.visit import FAILED, RECOVERED, Visit, finding, remembered
from jobs.core.model import Severity
from jobs.core.settings import Agent

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def visit(name: str = "a", state: State = State.HEALTHY, stop: Stop | None = None, seconds: float = 0.5) -> Visit:
    agent = Agent(name=name, port=8001)
    probe = Probe(200, seconds=seconds) if state is State.HEALTHY else Probe(None, "refused")
    facts = Facts(state, "as seen", stop=stop)
    return Visit(Watched(agent, None, "http://x"), probe, facts, AgentRecord(agent_name=name, port=8001))


def round_of(visits: Sequence[Visit], day: dict[str, float] | None = None) -> Round:
    return Round(visits, {v.name: v.state for v in visits}, Uptimes(day or {}, {}))


def value(whole: Round, family: str, **labels: str) -> float | None:
    found = [s.value for s in whole.samples() if s.family == family and dict(s.labels) == labels]
    assert len(found) < 2
    return found[0] if found else None


@pytest.mark.parametrize(
    ("healthy", "ill", "verdict"), [(3, 0, 0), (2, 1, 1), (1, 1, 1), (1, 2, 2), (0, 1, 2), (5, 5, 1), (0, 0, 0)]
)
def test_verdict(healthy: int, ill: int, verdict: int) -> None:
    visits = [visit(f"h{n}") for n in range(healthy)] + [visit(f"i{n}", State.MISSING) for n in range(ill)]
    assert round_of(visits).verdict() == verdict


def test_every_sample_belongs_to_a_family_with_just_its_labels() -> None:
    families = {family.name: set(family.labels) for family in FAMILIES}
    whole = round_of([visit("a"), visit("b", State.UNREACHABLE)], {"a": 0.5})
    for sample in whole.samples():
        assert set(sample.labels) == families[sample.family]
    assert len({(s.family, tuple(sorted(s.labels.items()))) for s in whole.samples()}) == len(whole.samples())


@pytest.mark.parametrize("state", [s for s in State if s is not State.HEALTHY])
def test_everything_but_healthy_is_not_up(state: State) -> None:
    ill = visit("a", state)
    if state is State.QUARANTINED:
        ill = visit("a")
        ill.record = ill.record.updated(quarantined_since=NOW)
    whole = round_of([ill])
    assert value(whole, "sutazai_agent_up", agent="a") == 0
    assert value(whole, "sutazai_agent_state", agent="a", state=state.value) == 1
    assert sum(s.value for s in whole.samples() if s.family == "sutazai_agent_state") == 1
    assert [o.value for o in whole.observations() if o.series == "agent_up/a"] == [0.0]
    assert value(whole, "sutazai_agents", state=state.value) == 1


def test_each_probe_is_remembered_with_its_time_and_whether_it_failed() -> None:
    seen = {o.series: o.value for o in round_of([visit("a"), visit("b", State.UNREACHABLE)]).observations()}
    assert seen == {
        "agent_up/a": 1.0,
        RESPONSE_SERIES + "a": 0.5,
        FAILED_SERIES + "a": 0.0,
        "agent_up/b": 0.0,
        FAILED_SERIES + "b": 1.0,
    }
    not_asked = visit("c", State.STOPPED)
    not_asked.probe = None
    seen = {o.series: o.value for o in round_of([not_asked]).observations()}
    assert seen == {"agent_up/c": 0.0, FAILED_SERIES + "c": 1.0}


def test_an_agent_that_did_not_answer_has_no_response_time() -> None:
    assert value(round_of([visit("a", State.UNREACHABLE)]), "sutazai_agent_response_seconds", agent="a") is None
    assert value(round_of([visit("a")]), "sutazai_agent_response_seconds", agent="a") == 0.5


def test_restart_counters_exist_before_the_first_restart() -> None:
    def counts(restart: str) -> list[float | None]:
        one = visit("a")
        one.restart = restart
        whole = round_of([one])
        return [value(whole, "sutazai_agent_restarts_total", agent="a", result=r) for r in (RECOVERED, FAILED)]

    assert counts("") == [0, 0]
    assert counts(RECOVERED) == [1, 0]
    assert counts(FAILED) == [0, 1]


def test_uptime_is_the_mean_over_all_agents_and_the_present_where_nothing_is_recorded() -> None:
    visits = [visit("a"), visit("b"), visit("c", State.STOPPED)]
    assert value(round_of(visits, {"a": 0.25, "gone": 0.0}), "sutazai_agent_uptime") == pytest.approx(100 * 1.25 / 3)
    assert value(round_of(visits), "sutazai_agent_uptime") == pytest.approx(100 * 2 / 3)
    assert value(round_of([]), "sutazai_agent_uptime") is None


def test_an_agent_without_history_has_no_ratio() -> None:
    whole = round_of([visit("a"), visit("b")], {"a": 0.75})
    assert value(whole, "sutazai_agent_uptime_ratio", agent="a") == 0.75
    assert value(whole, "sutazai_agent_uptime_ratio", agent="b") is None


def test_the_report_has_the_shape_of_the_original() -> None:
    report = round_of([visit("a"), visit("b", State.PAUSED)]).report(NOW, "active", {"max": 3}, NOW)
    assert set(report) == {"timestamp", "monitoring_config", "agents", "summary", "next_check"}
    assert report["summary"]["total_agents"] == 2
    assert report["summary"]["monitoring_mode"] == "active"
    assert [a["status"] for a in report["agents"]] == ["healthy", "paused"]


@pytest.mark.parametrize(
    ("state", "stop", "severity", "remedy"),
    [
        (State.UNHEALTHY, None, Severity.HIGH, "see its log, and start it again: no container of it is known"),
        (State.UNREACHABLE, None, Severity.HIGH, "see its log, and start it again: no container of it is known"),
        (State.STOPPED, Stop.OPERATOR, Severity.MEDIUM, "docker start a"),
        (State.STOPPED, Stop.UNKNOWN, Severity.HIGH, "sutazai-exporter agents release a (or docker start a)"),
        (State.STOPPED, Stop.CRASH, Severity.CRITICAL, "docker start a"),
        (State.PAUSED, None, Severity.MEDIUM, "docker unpause a"),
        (State.MISSING, None, Severity.CRITICAL, "start a container called a"),
    ],
)
def test_each_condition_is_told_with_its_remedy(
    state: State, stop: Stop | None, severity: Severity, remedy: str
) -> None:
    ill = visit("a", state, stop)
    ill.decision = Decision(Verb.NOTHING, "because")
    found = finding(ill)
    assert found is not None
    assert (found.kind, found.subject, found.severity) == (state.value, "agent/a", severity)
    assert remedy in found.remedy


def test_a_quarantine_is_told_until_it_is_released_even_if_the_agent_answers() -> None:
    quarantined = visit("a")
    quarantined.record = quarantined.record.updated(quarantined_since=NOW, quarantine_reason="3 restarts used up")
    found = finding(quarantined)
    assert found is not None
    assert (found.kind, found.severity) == ("quarantined", Severity.CRITICAL)
    assert found.remedy == "sutazai-exporter agents release a"
    assert "answers again" in found.message


@pytest.mark.parametrize(
    ("facts", "before", "after"),
    [
        (Facts(State.HEALTHY, ""), 5, 0),
        (Facts(State.UNHEALTHY, ""), 5, 6),
        (Facts(State.UNREACHABLE, "", young=True), 5, 5),
        (Facts(State.PAUSED, ""), 5, 0),
        (Facts(State.STOPPED, "", stop=Stop.OPERATOR), 5, 0),
        (Facts(State.STOPPED, "", stop=Stop.CRASH), 5, 6),
    ],
)
def test_failures_in_a_row_are_counted(facts: Facts, before: int, after: int) -> None:
    one = visit("a")
    one.facts, one.record = facts, one.record.updated(consecutive_failures=before)
    assert remembered(one, NOW).consecutive_failures == after


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("as seen, but automatic restarts are off", "a is unreachable: as seen, but automatic restarts are off"),
        ("it is young", "a is unreachable: as seen (it is young)"),
        ("as seen", "a is unreachable: as seen"),
    ],
)
def test_why_nothing_is_done_does_not_say_again_what_was_seen(reason: str, message: str) -> None:
    down = visit(state=State.UNREACHABLE)
    down.decision = Decision(Verb.NOTHING, reason)
    told = finding(down)
    assert told is not None and told.message == message
