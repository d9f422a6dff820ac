"""What an alert may bring about: rules choose, the alert's texts never name what is run, and limits say when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.bridge.model import RemediationMode
from exporter.bridge.remediation import remedies
from exporter.bridge.remediation.bundled import rules_of
from exporter.bridge.remediation.proof import doubt
from exporter.bridge.remediation.remedies import Past, Refused
from exporter.bridge.remediation.settings import Remediation, RemediationSettings
from exporter.config import ConfigError, load
from exporter.record import Record
from jobs.core.model import Outcome, Request, Result, Sample, Trigger
from tests.services.remedial import RULE, alert, document
from tests.services.trial_jobs import TASK, TrialPackage, configuration_of

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[TrialPackage]:
    package = TrialPackage(tmp_path / "package")
    with package.in_process():
        yield package


def rule(**changes: Any) -> Remediation:
    return Remediation.model_validate({**RULE, **changes})


# Which rule, which target


def test_the_first_rule_with_the_alerts_name_and_labels_is_taken(trial: TrialPackage) -> None:
    narrow, wide = rule(name="narrow", labels={"zone": "a"}), rule(name="wide")
    chosen = [remedies.rule_for(alert(zone=zone), [narrow, wide]) for zone in ("a", "b")]
    assert [found and found.name for found in chosen] == ["narrow", "wide"]
    assert remedies.rule_for(alert(name="Other"), [narrow, wide]) is None


@pytest.mark.parametrize("agent", ["stranger", "", "../web", "web ", "WEB", "web\n", "a" * 300])
def test_a_target_that_is_no_known_agent_is_refused(trial: TrialPackage, agent: str) -> None:
    with pytest.raises(Refused, match="no agent that is known"):
        remedies.target_of(rule(), alert(agent), {"web"})


def test_an_alert_without_a_label_of_the_proof_is_refused(trial: TrialPackage) -> None:
    with pytest.raises(Refused, match="no label 'thing'"):
        remedies.target_of(rule(), alert(thing=""), {"web"})


@given(st.dictionaries(st.sampled_from(["task", "mode", "target", "container", "path", "x"]), st.text(max_size=50)))
def test_nothing_that_an_alert_says_changes_what_is_run(labels: dict[str, str]) -> None:
    bundled = rules_of(load(environment={}).settings)
    one = next(found for found in bundled if found.alert == "AgentDown")
    told = alert("web", name="AgentDown", **labels)
    assert remedies.rule_for(told, bundled) is one
    target = remedies.target_of(one, told, {"web"})
    (step,) = remedies.steps_of(one, target, "alert")
    assert (step.task, step.mode, step.target, step.trigger) == ("agent-monitor", "repair", "web", Trigger.ALERT)


def test_a_task_without_targets_is_looked_at_as_a_whole() -> None:
    bundled = rules_of(load(environment={}).settings)
    one = next(found for found in bundled if found.alert == "DiskUsageHigh")
    assert remedies.target_of(one, alert("web", name="DiskUsageHigh", mountpoint="/"), {"web"}) == ""
    assert remedies.look_of(one, "", "alert").target == ""


# The bundled rules


def test_the_bundled_rules_are_about_alerts_that_there_are_and_name_what_the_proof_needs() -> None:
    rules = rules_of(load(environment={}).settings)
    directory = Path(__file__).resolve().parents[2] / "alert_rules"
    texts = "".join(file.read_text() for file in directory.glob("*.rules.yml"))
    assert [found.alert for found in rules if f"alert: {found.alert}\n" not in texts] == []
    assert {found.alert for found in rules} == {
        *("AgentDown", "DiskFullSoon", "DiskUsageHigh", "DiskUsageCritical"),
        *("CertificateExpiring", "CertificateExpiryImminent", "CertificateInvalid"),
        *("BackupTooOld", "PostgresDeadRows"),
    }
    assert len({found.name for found in rules}) == len(rules)


def test_the_bundled_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    settings = configuration_of(tmp_path / "base", {"thresholds": {"max_disk_percent": 70}}).settings
    high = next(found for found in rules_of(settings) if found.alert == "DiskUsageHigh")
    assert high.proof.at_most is not None
    assert 0.7 - 1e-12 < high.proof.at_most < 0.7


@pytest.mark.parametrize(
    ("limits", "dead", "live", "well"),
    [
        ({}, 300_000, 700_000, True),
        ({}, 300_001, 699_999, False),
        ({}, 100_000, 1, True),
        ({}, 0, 0, True),
        ({"postgres_dead_percent": 60, "postgres_dead_rows": 10}, 600, 400, True),
        ({"postgres_dead_percent": 60, "postgres_dead_rows": 10}, 601, 399, False),
        ({"postgres_dead_percent": 60, "postgres_dead_rows": 10}, 11, 0, False),
        ({"postgres_dead_percent": 100, "postgres_dead_rows": 0}, 5, 0, True),
    ],
)
def test_dead_rows_are_proven_cleaned_where_their_alert_would_not_fire(
    tmp_path: Path, limits: dict[str, float], dead: int, live: int, well: bool
) -> None:
    settings = configuration_of(tmp_path / "base", {"alerts": limits}).settings
    one = next(found for found in rules_of(settings) if found.alert == "PostgresDeadRows")
    labels = {"server": "main", "database": "app"}
    figures = {"sutazai_postgres_dead_rows": dead, "sutazai_postgres_live_rows": live}
    samples = tuple(Sample(family=name, value=value, labels=labels) for name, value in figures.items())
    record = Record(
        run_id=1,
        request=Request(task=one.proof.task, mode=one.proof.mode),
        outcome=Outcome.OK,
        started=NOON,
        finished=NOON,
        duration_seconds=1,
        result=Result(status="GOOD", samples=samples),
    )
    told = alert(name="PostgresDeadRows", **labels)
    assert (doubt(one.proof, told, record) == "") is well


def test_without_their_jobs_there_are_no_bundled_rules(trial: TrialPackage, tmp_path: Path) -> None:
    assert rules_of(configuration_of(tmp_path / "base", {}).settings) == ()


def test_configured_rules_stand_instead_of_the_bundled_ones(tmp_path: Path) -> None:
    assert rules_of(configuration_of(tmp_path / "base", {"remediation": {"rules": []}}).settings) == ()


# What is decided against


def test_a_disabled_task_is_not_run_for_an_alert(trial: TrialPackage, tmp_path: Path) -> None:
    whole = document()
    whole["jobs"]["trial_work"]["enabled"] = False
    settings = configuration_of(tmp_path / "base", whole).settings
    assert remedies.disabled(settings.remediation.rules[0], settings).startswith(f"{TASK} is disabled")


@pytest.mark.parametrize(("mode", "says"), [("off", "its mode is off now"), ("shadow", "its mode is shadow now")])
def test_what_was_decided_before_is_not_done_once_the_mode_forbids_it(
    trial: TrialPackage, tmp_path: Path, mode: str, says: str
) -> None:
    settings = configuration_of(tmp_path / "base", document(mode=mode)).settings
    assert remedies.objection(settings.remediation.rules[0], TASK, settings) == says
    assert remedies.objection(None, TASK, settings) == "its rule is not there any more"


def test_a_rules_own_mode_wins(trial: TrialPackage) -> None:
    settings = RemediationSettings(mode=RemediationMode.SHADOW)
    assert remedies.mode_of(rule(), settings) is RemediationMode.SHADOW
    assert remedies.mode_of(rule(mode="auto"), settings) is RemediationMode.AUTO


# When


def held(past: Past, **settings: Any) -> tuple[timedelta, str] | None:
    found = remedies.hold(past, RemediationSettings(**settings), NOON)
    return (found.until - NOON, found.reason) if found else None


def test_nothing_holds_up_the_first_attempt() -> None:
    assert held(Past()) is None


def test_a_target_rests_after_its_last_remediation() -> None:
    ended = NOON.timestamp() - 100
    assert held(Past(ended=ended), cool_down_seconds=300) == (timedelta(seconds=200), "the cool-down of 300 s")
    assert held(Past(ended=ended), cool_down_seconds=100) is None


def test_a_spent_budget_frees_when_its_oldest_attempt_is_an_hour_old() -> None:
    spent = [NOON.timestamp() - age for age in (3700, 3000, 2000, 1000)]
    assert held(Past(target=spent), max_per_target_per_hour=4) is None
    assert held(Past(target=spent), max_per_target_per_hour=3) == (
        timedelta(seconds=600),
        "the budget of this target: 3 in an hour",
    )
    assert held(Past(target=spent), max_per_target_per_hour=2) == (
        timedelta(seconds=1600),
        "the budget of this target: 2 in an hour",
    )
    assert held(Past(overall=spent), max_per_hour=3) == (
        timedelta(seconds=600),
        "the budget of everything: 3 in an hour",
    )


def test_a_clock_that_was_set_back_widens_no_budget() -> None:
    ahead = [NOON.timestamp() + 50_000]
    assert held(Past(target=ahead), max_per_target_per_hour=1) is not None


def test_a_maintenance_window_is_waited_out_and_the_longest_hold_counts() -> None:
    settings = RemediationSettings.model_validate({"maintenance_windows": ["monday 11:00-13:00", "11:30-12:30"]})
    found = remedies.hold(Past(ended=NOON.timestamp()), settings, NOON)
    assert found is not None
    assert (found.until - NOON, found.reason) == (timedelta(hours=1), "the maintenance window monday 11:00-13:00")


def test_the_wait_between_attempts_doubles() -> None:
    settings = RemediationSettings(backoff_seconds=60)
    waits = [(remedies.next_attempt(done, settings, NOON) - NOON).total_seconds() for done in (1, 2, 3)]
    assert waits == [60, 120, 240]


# Mistakes in the configuration


def proof(**changes: Any) -> dict[str, Any]:
    return {"proof": {**RULE["proof"], **changes}}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"steps": [{"task": "trial-wrok"}]}, "no task is called 'trial-wrok'"),
        ({"steps": [{"task": TASK, "mode": "half"}]}, "has no mode 'half'"),
        ({"steps": []}, "steps: at least one run is needed"),
        (proof(metric="sutazai_agent_up"), "trial-work reports no gauge 'sutazai_agent_up'"),
        (proof(metric="sutazai_trial_things_total"), "reports no gauge 'sutazai_trial_things_total'"),
        (proof(labels=["agent"]), "sutazai_trial_value has no label 'agent'; it has thing"),
        (proof(per="sutazai_trial_score"), "sutazai_trial_score has no label 'thing'; it has none"),
        (proof(at_least=None), "without a limit it proves nothing"),
        (proof(at_least=2, at_most=1), "at_least 2 is above at_most 1: no value is both"),
        ({"mode": "yes"}, "remediation.rules[0].mode"),
        ({"container": "web"}, "unknown key"),
    ],
)
def test_a_mistake_in_a_rule_is_one_line(
    trial: TrialPackage, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError) as told:
        configuration_of(tmp_path / "base", document(rules=[{**RULE, **changes}]))
    (line,) = told.value.problems
    assert line.startswith("remediation.rules[0]")
    assert says in line
    assert "\n" not in line


def test_a_repair_of_one_agent_without_a_label_that_names_it_is_refused(tmp_path: Path) -> None:
    rule = {
        "name": "restart",
        "alert": "AgentDown",
        "steps": [{"task": "agent-monitor", "mode": "repair"}],
        "proof": {"task": "agent-monitor", "metric": "sutazai_agent_up", "at_least": 1},
    }
    with pytest.raises(ConfigError, match="target_label: agent-monitor repair is always about one thing"):
        configuration_of(tmp_path / "base", document(rules=[rule]))


def test_two_rules_of_one_name_are_refused(trial: TrialPackage, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two of them are called 'mend-thing'"):
        configuration_of(tmp_path / "base", document(rules=[RULE, RULE]))


def test_a_target_is_refused_for_a_task_that_takes_none(tmp_path: Path) -> None:
    bad = {
        "name": "x",
        "alert": "DiskUsageHigh",
        "target_label": "agent",
        "steps": [{"task": "log-rotation"}],
        "proof": {"task": "health-check", "metric": "sutazai_health_score", "at_least": 1},
    }
    with pytest.raises(ConfigError, match="log-rotation takes no target"):
        configuration_of(tmp_path / "base", {"remediation": {"rules": [bad]}})
