"""Rules and dashboards ask only for what is exported, and every alert is tested, explained and read safely."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import promql_parser as promql
import pytest
import yaml

from exporter.bridge.model import RemediationState
from exporter.cli import commands
from exporter.metrics import catalogue
from jobs.core.agents.state import State
from jobs.core.checks import Status
from jobs.core.model import Outcome, Severity
from jobs.security.scanner import Area
from tests.contract.promql import known_metrics, problems, result_labels, selectors
from tests.contract.rule_files import (
    DASHBOARD_FILES,
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
    panels,
    recorded,
)
from tests.services.binaries import need

ALERTS = alerts()
EXPORTED = known_metrics(catalogue())
KNOWN = EXPORTED | {name: result_labels(expr, EXPORTED) for name, expr in recorded()}

every_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert.name))


def promtool(*arguments: str | Path) -> str:
    """What promtool says; fails with it where promtool does."""
    command = [need("promtool", package="prometheus"), *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
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
    document = {"rule_files": [str(path) for path in RULE_FILES], "evaluation_interval": "1m", "tests": [case]}
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
    ("sutazai_remediations", "state"): set(RemediationState),
    ("sutazai_remediations_total", "state"): set(RemediationState),
    ("sutazai_threshold_ratio", "threshold"): {"memory_max", "memory_critical", "disk_max", "disk_critical"},
}
"""Label values that are fixed: one that is misspelt would match nothing, and say nothing."""


def _expressions() -> list[tuple[str, str]]:
    """Every expression with where it stands."""
    found = [(alert.name, alert.expr) for alert in ALERTS] + recorded()
    for path in DASHBOARD_FILES:
        for panel in panels(dashboard(path)):
            found += [(panel["title"], target["expr"]) for target in panel.get("targets", [])]
    return found


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
        words = shlex.split("".join(line), comments=True)
        command: click.Command = commands
        while isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
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


# --- dashboards ---

every_dashboard = pytest.mark.parametrize("path", DASHBOARD_FILES, ids=lambda path: str(path.stem))


@every_dashboard
def test_a_dashboard_can_be_provisioned_and_edited(path: Path) -> None:
    board = dashboard(path)
    assert board["uid"] == path.stem
    assert board["id"] is None
    assert board["schemaVersion"] == 39
    assert "__inputs" not in board
    assert board["title"]
    assert board["description"]


@every_dashboard
def test_a_dashboard_asks_only_for_what_is_exported(path: Path) -> None:
    found = {
        panel["title"]: wrong
        for panel in panels(dashboard(path))
        for target in panel.get("targets", [])
        if (wrong := problems(target["expr"], KNOWN))
    }
    assert found == {}


@every_dashboard
def test_a_dashboard_is_of_grafanas_own_shape(path: Path) -> None:
    # The kit is made from Grafana's schema: what it does not know is lost when it reads and writes a dashboard.
    models = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    cog = importlib.import_module("grafana_foundation_sdk.cog.encoder")
    importlib.import_module("grafana_foundation_sdk.cog.plugins").register_default_plugins()
    board = dashboard(path)
    understood = json.loads(cog.JSONEncoder().encode(models.Dashboard.from_json(board)))
    assert list(_lost(board, understood)) == ["/id"]


def _lost(ours: Any, theirs: Any, where: str = "") -> Iterator[str]:
    """Where a value is missing or differs in theirs, which may have more."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from _lost(value, theirs.get(key, ...), f"{where}/{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _lost(mine, other, f"{where}/{index}")
    elif ours != theirs:
        yield where


def test_prometheus_parses_every_query(tmp_path: Path) -> None:
    queries = [
        re.sub(r"\$__\w+", "5m", target["expr"])
        for path in DASHBOARD_FILES
        for panel in panels(dashboard(path))
        for target in panel["targets"]
    ]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "queries.rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "queries.rules.yml")


@every_dashboard
def test_every_panel_says_what_it_shows_and_in_which_unit(path: Path) -> None:
    board = list(panels(dashboard(path)))
    assert len({panel["id"] for panel in board}) == len(board)
    assert len({panel["title"] for panel in board}) == len(board)
    for panel in board:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGH")[: len(panel["targets"])]


@every_dashboard
def test_panels_stand_side_by_side(path: Path) -> None:
    taken: dict[tuple[int, int], int] = {}
    for panel in dashboard(path)["panels"]:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["id"]) == panel["id"], panel["title"]


@every_dashboard
def test_every_query_follows_the_variables(path: Path) -> None:
    board = dashboard(path)
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert {"datasource", "instance"} <= variables.keys()
    assert variables["datasource"]["type"] == "datasource"
    for name, variable in variables.items():
        if variable["type"] == "query":
            assert _variable_problems(variable) == [], name
            assert variable["datasource"]["uid"] == "${datasource}"
    for panel in panels(board):
        for target in panel["targets"]:
            for selector in selectors(target["expr"]):
                assert selector.matched.get("instance") == "$instance", panel["title"]
                if "agent" in KNOWN[selector.name]:
                    assert selector.matched.get("agent") == "$agent", panel["title"]


def _variable_problems(variable: dict[str, Any]) -> list[str]:
    match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
    assert match, variable["query"]
    return problems(f"sum by ({match[2]}) ({match[1]})", KNOWN)


def _limits(alert_name: str) -> set[float]:
    """The numbers that an alert compares with."""
    expr = next(alert.expr for alert in ALERTS if alert.name == alert_name)
    found = set()

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.BinaryExpr) and isinstance(node.rhs, promql.NumberLiteral):
            found.add(node.rhs.val)
        if isinstance(node, promql.BinaryExpr) and isinstance(node.rhs, promql.BinaryExpr):
            found.add(_product(node.rhs))

    promql.walk(promql.parse(expr), visit)
    return found


def _product(node: promql.BinaryExpr) -> float:
    if isinstance(node.lhs, promql.NumberLiteral) and isinstance(node.rhs, promql.NumberLiteral):
        return float(node.lhs.val * node.rhs.val)
    return float("nan")


@pytest.mark.parametrize(
    ("title", "warning", "critical"),
    [
        ("Health score", "HealthScoreLow", "HealthScoreCritical"),
        ("Performance score", "PerformanceScoreLow", "PerformanceScoreCritical"),
        ("Certificates: time left", "CertificateExpiring", "CertificateExpiryImminent"),
        ("Time until a disk is full", "DiskFullSoon", None),
        ("Agent response time", "AgentSlow", None),
        ("Security score", "SecurityScoreLow", None),
        ("Since each scanner was through", "ScannerStale", None),
        ("Age of databases", "ScannerDatabaseStale", None),
    ],
)
def test_thresholds_of_panels_are_those_of_the_rules(title: str, warning: str, critical: str | None) -> None:
    panel = next(panel for path in DASHBOARD_FILES for panel in panels(dashboard(path)) if panel["title"] == title)
    steps = {step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]} - {None}
    alerts_of_panel = [name for name in (warning, critical) if name]
    assert len(steps) == len(alerts_of_panel)
    for name in alerts_of_panel:
        assert steps & _limits(name), name


@pytest.mark.parametrize("path", sorted((ROOT / "grafana" / "provisioning").rglob("*.yml")), ids=lambda path: path.stem)
def test_provisioning_files_are_what_grafana_reads(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    assert document["apiVersion"] == 1
    (entry,) = document["providers" if path.parent.name == "dashboards" else "datasources"]
    assert entry["type"] in ("file", "prometheus")
