"""Where a panel changes its colour is where a rule fires or a setting says so."""

from __future__ import annotations

from typing import Any

import promql_parser as promql
import pytest

from exporter.config import Configuration
from exporter.plan import stale_after_seconds
from exporter.settings import settings_model
from tests.contract.panel_limits import COLOURS, LIMITS, Count, One, Rule, Setting, Source, figure, limits
from tests.contract.promql import in_words_of_prometheus
from tests.contract.rule_files import DASHBOARD_FILES, Alert, alerts, dashboard, panels, short_name

ALERTS = {alert.name: alert for alert in alerts()}
DEFAULTS = Configuration(settings_model()(), {})


def _steps(panel: dict[str, Any]) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return steps


def _with_steps() -> dict[tuple[str, str], dict[str, Any]]:
    """Every panel whose colour or line depends on its value."""
    found = {(short_name(path), panel["title"]): panel for path in DASHBOARD_FILES for panel in panels(dashboard(path))}
    return {key: panel for key, panel in found.items() if len(_steps(panel)) > 1}


def test_it_is_said_of_every_panel_with_thresholds_where_they_are_from() -> None:
    assert LIMITS.keys() == _with_steps().keys()


@pytest.mark.parametrize("key", LIMITS, ids=lambda key: str(key[0]))
def test_thresholds_of_panels_are_those_of_the_rules_and_settings(key: tuple[str, str]) -> None:
    panel, sources = _with_steps()[key], LIMITS[key]
    base, *steps = _steps(panel)
    assert len(steps) == len(sources)
    assert base["value"] is None
    for below, step, source in zip([base, *steps], steps, sources, strict=False):
        _holds(panel, below, step, source)


def _holds(panel: dict[str, Any], below: dict[str, Any], step: dict[str, Any], source: Source) -> None:
    """Fail unless a step is what its source says; `below` is the one before it, whose colour ends there."""
    if isinstance(source, Rule | Count):
        alert = ALERTS[source.alert]
        is_bad_below, value = _as_ruled(alert, step["value"]) if isinstance(source, Rule) else (False, 1)
        assert step["value"] == pytest.approx(value), source
        assert (below if is_bad_below else step)["color"] == COLOURS[alert.labels["severity"]], source
        assert alert.name in panel["description"], source
    elif isinstance(source, One):
        assert step["value"] == 1
    elif isinstance(source, Setting):
        value: Any = DEFAULTS.settings
        for name in source.path.split("."):
            value = getattr(value, name)
        assert step["value"] == pytest.approx(value / source.per)
    else:
        assert step["value"] == stale_after_seconds(DEFAULTS, source.task)


def _as_ruled(alert: Alert, value: float) -> tuple[bool, float]:
    """The limit of an alert that is nearest to a value: whether below it is bad, and the limit."""
    nearest = min(limits(alert.expr), key=lambda limit: abs(limit.step - value))
    return nearest.is_bad_below, nearest.step


@pytest.mark.parametrize("alert", ALERTS.values(), ids=list(ALERTS))
def test_a_panel_that_shows_what_an_alert_judges_shows_its_limit(alert: Alert) -> None:
    # What an alert is about is its first comparison; others only say from when on it matters.
    limit = next(iter(limits(alert.expr)), None)
    if limit is None or not limit.is_number or limit.value in (0, 1):
        return
    for path in DASHBOARD_FILES:
        for panel in (one for one in panels(dashboard(path)) if one["type"] != "table"):
            for target in panel["targets"]:
                if figure(promql.parse(in_words_of_prometheus(target["expr"]))) == limit.figure:
                    assert any(step["value"] == pytest.approx(limit.value) for step in _steps(panel)[1:]), panel[
                        "title"
                    ]
