"""The bundled configuration of Alertmanager is the command's output, and fits the rules."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.alertmanager.inhibition import (
    EXPORTER_DOWN,
    HOST_DOWN,
    PAIRS,
    PLACE,
    THINGS,
    WATCHDOG,
    Pair,
    inhibit_rules,
)
from exporter.bridge.remediation.bundled import rules_of
from exporter.bridge.remediation.settings import Remediation
from exporter.config import load
from exporter.metrics import catalogue
from tests.contract.promql import known_metrics, selectors
from tests.contract.rule_files import ROOT, Alert, alerts
from tests.services.alertmanager import amtool

RULES = ROOT / "alert_rules"
EXAMPLE = RULES / "alertmanager.example.yml"
BUNDLED = {"alertmanager.yml": EXAMPLE, "templates/sutazai.tmpl": RULES / "templates" / "sutazai.tmpl"}
SECRETS = {
    "SUTAZAI_NOTIFICATIONS__MAIL__PASSWORD": "example-password-4711",
    "SUTAZAI_NOTIFICATIONS__WEBHOOK__TOKEN": "example-token-4712",
}
KNOWN = known_metrics(catalogue())
ALERTS = {alert.name: alert for alert in alerts()}
REMEDIATIONS = rules_of(load(environment={}).settings)

NOT_ONE_FIGURE = {("LogArchivingFails", "LogFilesSkipped")}
"""They count files that were skipped for different reasons."""


def labels_of(alert: Alert) -> frozenset[str]:
    return KNOWN[selectors(alert.expr)[0].name]


def figure_of(alert: Alert) -> tuple[str, frozenset[tuple[str, str]]]:
    first = selectors(alert.expr)[0]
    return first.name, frozenset(first.matched.items())


def test_the_bundled_files_are_what_the_command_writes_for_the_example(
    run_cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    written = run_cli(
        *(
            "alertmanager-config",
            "--config.file",
            str(RULES / "example.exporter.yml"),
            "--output",
            str(tmp_path / "out"),
        ),
        env={**SECRETS, "TZ": "Europe/Berlin", "SUTAZAI_BASE_DIR": "/opt/sutazaiapp"},
    )
    assert written.returncode == 0, written
    for name, bundled in BUNDLED.items():
        assert (tmp_path / "out" / name).read_text() == bundled.read_text(), f"{bundled} is not up to date"
    assert not any(secret in EXAMPLE.read_text() for secret in SECRETS.values())


def test_alertmanager_accepts_the_bundled_configuration() -> None:
    checked = amtool("check-config", str(EXAMPLE))
    assert checked.returncode == 0, checked
    assert "1 templates" in checked.stdout
    assert f"{2 + len(PAIRS) + len(THINGS)} inhibit rules" in checked.stdout


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        (["alertname=Watchdog", "severity=none"], "watchdog"),
        (["alertname=AgentDown", "severity=critical"], "bridge,critical"),
        (["alertname=LoadHigh", "severity=warning"], "bridge,other"),
        (["alertname=SomebodyElses"], "bridge,other"),
    ],
)
def test_an_alert_is_routed_by_its_severity_and_past_the_bridge(labels: list[str], receivers: str) -> None:
    routed = amtool("config", "routes", "test", f"--config.file={EXAMPLE}", f"--verify.receivers={receivers}", *labels)
    assert routed.returncode == 0, routed


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: str(pair.critical))
def test_a_pair_is_of_two_rules_on_one_figure(pair: Pair) -> None:
    critical, warning = ALERTS[pair.critical], ALERTS[pair.warning]
    assert (critical.labels["severity"], warning.labels["severity"]) == ("critical", "warning")
    assert figure_of(critical) == figure_of(warning)
    # What is equal must be all that tells two of them apart.
    assert labels_of(warning) - {"job", "instance"} == {*filter(None, [pair.thing])}


def test_every_two_rules_on_one_figure_are_a_pair() -> None:
    by_severity: dict[str, list[Alert]] = {"critical": [], "warning": [], "none": []}
    for alert in ALERTS.values():
        by_severity[alert.labels["severity"]].append(alert)
    found = {
        (critical.name, warning.name)
        for critical in by_severity["critical"]
        for warning in by_severity["warning"]
        if figure_of(critical) == figure_of(warning)
    }
    assert found - NOT_ONE_FIGURE == {(pair.critical, pair.warning) for pair in PAIRS}


@pytest.mark.parametrize("thing", THINGS)
def test_a_thing_that_keeps_its_warnings_quiet_is_a_label_of_both_severities(thing: str) -> None:
    about_it = [alert for alert in ALERTS.values() if alert.name != WATCHDOG and thing in labels_of(alert)]
    severities = {alert.labels["severity"] for alert in about_it}
    assert severities >= {"critical", "warning"}


def silencers(target: Alert) -> set[str]:
    """The alerts that may keep this one quiet, going by the labels that they have."""
    return {
        source.name
        for rule in inhibit_rules()
        for source in ALERTS.values()
        if source is not target
        and source.name != WATCHDOG
        and all(may_match(matcher, source) for matcher in rule["source_matchers"])
        and all(may_match(matcher, target) for matcher in rule["target_matchers"])
        and all(may_match(f'{label}!=""', target) for label in rule["equal"])
    }


def may_match(matcher: str, alert: Alert) -> bool:
    """Whether an alert of that rule can match; a label that comes from its series may be anything."""
    label, operator, value = re.fullmatch(r'(\w+)(=|!=|!~)"(.*)"', matcher).groups()  # type: ignore[union-attr]
    own = {"alertname": alert.name, **{name: text for name, text in alert.labels.items() if "{{" not in text}}
    if label not in own:
        return label in {*alert.labels, *labels_of(alert)}
    same = re.fullmatch(value, own[label]) if operator == "!~" else own[label] == value
    return bool(same) is (operator == "=")


@pytest.mark.parametrize("rule", REMEDIATIONS, ids=lambda rule: str(rule.name))
def test_what_keeps_the_alert_of_a_remediation_quiet_brings_about_the_same(rule: Remediation) -> None:
    steps = {one.alert: one.steps for one in REMEDIATIONS}
    # An exporter that is down mends nothing.
    unanswered = {name for name in silencers(ALERTS[rule.alert]) if steps.get(name) != rule.steps} - {EXPORTER_DOWN}
    assert unanswered == set()


def test_which_alerts_keep_one_quiet_is_read_from_the_rules_of_inhibition() -> None:
    critical = {"CertificateExpiryImminent", "CertificateInvalid"}
    assert silencers(ALERTS["CertificateExpiring"]) == {*critical, EXPORTER_DOWN}
    assert silencers(ALERTS["DiskUsageHigh"]) == {"DiskUsageCritical", EXPORTER_DOWN}
    assert silencers(ALERTS["AgentDown"]) == {EXPORTER_DOWN}
    assert silencers(ALERTS[HOST_DOWN]) == set()


def test_the_alerts_that_are_routed_or_keep_others_quiet_by_their_names_exist() -> None:
    assert [ALERTS[name].labels["severity"] for name in (WATCHDOG, HOST_DOWN, EXPORTER_DOWN)] == [
        "none",
        "critical",
        "critical",
    ]


def test_every_alert_but_the_watchdog_has_the_label_that_ties_it_to_its_host() -> None:
    assert {alert.name for alert in ALERTS.values() if PLACE not in alert.labels} == {WATCHDOG}
