"""Rules ask only for what is exported, and every alert is tested, explained and read safely."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from exporter.bridge.model import RemediationState
from exporter.cli import commands
from jobs.core.agents.state import State
from jobs.core.checks import Status
from jobs.core.model import Outcome, Severity
from jobs.security.scanner import Area
from tests.contract.promql import problems, result_labels, selectors
from tests.contract.rule_files import (
    DASHBOARD_FILES,
    EXPORTED,
    ROOT,
    RULE_FILES,
    RULE_TESTS,
    RUNBOOK_BASE_URL,
    RUNBOOKS,
    WATCHDOG,
    Alert,
    alerts,
    dashboard,
    expectations,
    expected_records,
    known,
    queries,
    recorded,
)
from tests.services.binaries import need

ALERTS = alerts()
KNOWN = known()

every_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert.name))


def promtool(*arguments: str | Path) -> str:
    """What promtool says; fails with it where promtool does."""
    command = [need("promtool", package="prometheus"), *map(str, arguments)]
    # Its heap is small and collected all the time, a fifth of what it takes: it may grow.
    environment = {**os.environ, "GOGC": "400"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


# --- rules ---


def test_prometheus_accepts_the_rules_and_the_example_that_loads_them() -> None:
    promtool("check", "rules", "--lint-fatal", *RULE_FILES)
    said = promtool("check", "config", "--lint-fatal", ROOT / "alert_rules" / "prometheus.example.yml")
    assert f"{len(RULE_FILES)} rule files found" in said


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: str(path.name))
def test_the_rules_pass_their_unit_tests(path: Path) -> None:
    promtool("test", "rules", path)


@every_alert
def test_an_alert_is_tested_to_fire_and_to_stay_quiet(alert: Alert) -> None:
    expected = {True} if alert.name == WATCHDOG else {True, False}
    assert {fires for name, fires in expectations() if name == alert.name} == expected


def test_every_recorded_series_is_tested() -> None:
    assert expected_records() == {name for name, _ in recorded()}


def test_the_unit_tests_know_no_other_alerts() -> None:
    assert {name for name, _ in expectations()} == {alert.name for alert in ALERTS}


def test_without_any_series_only_the_missing_exporter_is_told(tmp_path: Path) -> None:
    cases: list[dict[str, Any]] = [
        {"eval_time": time, "alertname": alert.name, "exp_alerts": []}
        for alert in ALERTS
        if alert.name not in ("ExporterDown", WATCHDOG)
        for time in ("2m", "3h")
    ]
    case = {
        "interval": "1m",
        "input_series": [{"series": "up{job='node'}", "values": "1x200"}],
        "alert_rule_test": cases,
    }
    document = {"rule_files": [str(path) for path in RULE_FILES], "evaluation_interval": "2m", "tests": [case]}
    (tmp_path / "empty.test.yml").write_text(yaml.safe_dump(document))
    promtool("test", "rules", tmp_path / "empty.test.yml")


def test_alert_names_are_unique_and_in_camel_case() -> None:
    names = Counter(alert.name for alert in ALERTS)
    assert [name for name, count in names.items() if count > 1] == []
    # Watchdog is what every Prometheus calls it.
    assert [name for name in names if not re.fullmatch(r"([A-Z][a-z]+){2,}", name)] == [WATCHDOG]


@every_alert
def test_an_alert_says_what_is_wrong_how_bad_it_is_and_where_to_read_on(alert: Alert) -> None:
    # An Alertmanager holds back by `host` what follows from a machine that is down; Watchdog goes on.
    if alert.name == WATCHDOG:
        assert alert.labels == {"severity": "none"}
    else:
        assert alert.labels.keys() == {"severity", "host"}
        assert alert.labels["severity"] in ("warning", "critical")
        assert alert.labels["host"] == "{{ $labels.instance | stripPort }}"
        assert "$labels.instance" in alert.annotations["summary"]
    assert alert.annotations.keys() == {"summary", "description", "runbook_url"}
    assert alert.annotations["runbook_url"] == f"{RUNBOOK_BASE_URL}{alert.name}.md"
    assert alert.annotations["description"].endswith(".")


@every_alert
def test_an_alert_asks_only_for_what_is_exported(alert: Alert) -> None:
    assert problems(alert.expr, EXPORTED) == []


def test_a_recording_rule_asks_only_for_what_is_exported() -> None:
    assert [found for _, expr in recorded() for found in problems(expr, EXPORTED)] == []


def test_a_recorded_series_is_named_by_level_metric_and_operation() -> None:
    # The levels are labels beside those of the target, which every one keeps: dashboards choose by them.
    for name, expr in recorded():
        level, _, operation = name.split(":")
        assert result_labels(expr, EXPORTED) == {"job", "instance", level}, name
        assert operation


@every_alert
def test_an_alert_names_only_labels_that_its_metrics_have(alert: Alert) -> None:
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(alert.annotations.values())))
    assert named <= {label for selector in selectors(alert.expr) for label in KNOWN[selector.name]}


@every_alert
def test_an_alert_outlives_a_failed_scrape(alert: Alert) -> None:
    # A failed scrape ends every series; only a range still sees what stood before it.
    instant = {selector.name for selector in selectors(alert.expr) if not selector.over_time}
    assert {name for name in instant if not name.endswith("_total")} <= {"up"}


VALUES: Mapping[tuple[str, str], set[str]] = {
    ("sutazai_task_runs_total", "outcome"): set(Outcome),
    ("sutazai_agent_state", "state"): set(State),
    ("sutazai_agents", "state"): set(State),
    ("sutazai_check_status", "status"): set(Status),
    ("sutazai_security_findings", "area"): set(Area),
    ("sutazai_security_findings", "severity"): set(Severity),
    ("sutazai_problems", "severity"): set(Severity),
    ("sutazai_security_new_findings", "severity"): set(Severity),
    ("sutazai_remediations_open", "state"): set(RemediationState),
    ("sutazai_remediations_total", "state"): set(RemediationState),
    ("sutazai_threshold_ratio", "threshold"): {"memory_max", "memory_critical", "disk_max", "disk_critical"},
}
"""Label values that are fixed: one that is misspelt would match nothing, and say nothing."""


def _expressions() -> list[tuple[str, str]]:
    """Every expression with where it stands."""
    found = [(alert.name, alert.expr) for alert in ALERTS] + recorded()
    return found + [query for path in DASHBOARD_FILES for query in queries(dashboard(path))]


@pytest.mark.parametrize(("where", "expr"), _expressions(), ids=lambda value: str(value)[:30])
def test_label_values_are_spelt_as_they_are_exported(where: str, expr: str) -> None:
    for selector in selectors(expr):
        for label, value in selector.matched.items():
            allowed = VALUES.get((selector.name, label))
            if allowed is not None and not value.startswith("$"):
                assert set(value.split("|")) <= allowed, f"{where}: {label}={value}"


# --- runbooks ---


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {alert.name for alert in ALERTS}


@every_alert
def test_a_page_says_what_it_means_how_to_check_what_to_do_and_what_is_done(alert: Alert) -> None:
    lines = (RUNBOOKS / f"{alert.name}.md").read_text().splitlines()
    assert lines[0] == f"# {alert.name}"
    headings = [line for line in lines if line.startswith("## ")]
    assert headings == ["## What it means", "## How to check", "## What to do", "## What the exporter does by itself"]


def _pages() -> list[Path]:
    return sorted(RUNBOOKS.glob("*.md"))


@pytest.mark.parametrize("path", _pages(), ids=lambda path: str(path.stem))
def test_the_commands_of_a_page_exist(path: Path) -> None:
    for line in re.findall(r"^sutazai-exporter (.+)$|`sutazai-exporter ([^`]+)`", path.read_text(), re.MULTILINE):
        # Whichever task it is, it has the flags that every task has.
        words = ["health-check" if word == "TASK" else word for word in shlex.split("".join(line), comments=True)]
        command: click.Command = commands
        while isinstance(command, click.Group):
            found = command.get_command(click.Context(command), words.pop(0))
            assert found is not None, line
            command = found
        # Parses the rest, and runs nothing.
        command.make_context(command.name, words)


@pytest.mark.parametrize("path", _pages(), ids=lambda path: str(path.stem))
def test_the_metrics_and_links_of_a_page_exist(path: Path) -> None:
    text = path.read_text()
    for name in re.findall(r"\bsutazai_\w+", text):
        assert any(known.startswith(name) for known in KNOWN), name
    for target in re.findall(r"\]\((\w+\.md)\)", text):
        assert (RUNBOOKS / target).exists(), target
    for target in re.findall(r"\b(alert_rules/[\w.]+)", text):
        assert (ROOT / target).exists(), target
