"""The alert rules, their unit tests and the dashboards, as the contract tests read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from exporter.metrics import catalogue
from tests.contract.promql import Known, known_metrics, result_labels

ROOT = Path(__file__).resolve().parents[2]
RULE_FILES = sorted((ROOT / "alert_rules").glob("*.rules.yml"))
RULE_TESTS = sorted((ROOT / "alert_rules" / "tests").glob("*.test.yml"))
DASHBOARD_FILES = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
WATCHDOG = "Watchdog"
"""The alert that always fires, and is about no instance."""
EXPORTED = known_metrics(catalogue())
RUNBOOKS = ROOT / "docs" / "runbooks"
RUNBOOK_BASE_URL = "https://github.com/sutazai/sutazai-exporter/blob/main/docs/runbooks/"
"""Where the pages of docs/runbooks are read; the rules spell it out, as Prometheus has no variables for it."""


@dataclass(frozen=True)
class Alert:
    """One alerting rule."""

    name: str
    expr: str
    labels: dict[str, str]
    annotations: dict[str, str]
    hold: str
    """Its `for`, empty where it fires at once."""


def read_yaml(text: str) -> Any:
    """A document, read ten times as fast as by the loader that is all Python, where there is the other one."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@cache
def rules() -> list[dict[str, Any]]:
    """Every rule of every file."""
    groups = [group for path in RULE_FILES for group in read_yaml(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[Alert]:
    """Every alerting rule."""
    return [
        Alert(rule["alert"], rule["expr"], rule["labels"], rule["annotations"], rule.get("for", ""))
        for rule in rules()
        if "alert" in rule
    ]


def recorded() -> list[tuple[str, str]]:
    """Every recording rule as (name, expression)."""
    return [(rule["record"], rule["expr"]) for rule in rules() if "record" in rule]


@cache
def known() -> Known:
    """The labels of every metric that may be asked for: what is exported, and what the rules record of it."""
    return EXPORTED | {name: result_labels(expr, EXPORTED) for name, expr in recorded()}


@cache
def expected_records() -> frozenset[str]:
    """The recorded series that the unit tests of the rules look at."""
    cases = [case for path in RULE_TESTS for case in read_yaml(path.read_text())["tests"]]
    return frozenset(one["expr"] for case in cases for one in case.get("promql_expr_test", []) if one["exp_samples"])


@cache
def expectations() -> list[tuple[str, bool]]:
    """What the unit tests of the rules expect: (alert, whether it fires)."""
    cases = [case for path in RULE_TESTS for case in read_yaml(path.read_text())["tests"]]
    expected = [one for case in cases for one in case.get("alert_rule_test", [])]
    return [(one["alertname"], bool(one.get("exp_alerts"))) for one in expected]


def dashboard(path: Path) -> dict[str, Any]:
    """A dashboard as it is stored."""
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def short_name(path: Path) -> str:
    """`agents` of sutazai-agents.json."""
    return path.stem.removeprefix("sutazai-")


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel that shows something: rows are opened, and not panels themselves."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", [])
        else:
            yield panel


def annotations(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every annotation that is a query, which is all but Grafana's own."""
    return (one for one in board["annotations"]["list"] if not one.get("builtIn"))


def queries(board: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every query of a dashboard with the title of the panel, or the name of the annotation, that it is of."""
    for panel in panels(board):
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for annotation in annotations(board):
        yield annotation["name"], annotation["expr"]
