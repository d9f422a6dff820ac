"""Every query of every dashboard has an answer, from a real Prometheus and a world in which everything happened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.contract.promql import in_words_of_prometheus, selectors
from tests.contract.rule_files import DASHBOARD_FILES, annotations, dashboard, panels
from tests.services.dashboard_world import DashboardWorld
from tests.services.docker_engine import DockerEngine
from tests.services.grafana import Grafana
from tests.services.prometheus import Prometheus
from tests.services.wait import wait_for

every_dashboard = pytest.mark.parametrize("path", DASHBOARD_FILES, ids=lambda path: str(path.stem))

_NO_SWAP = ("sutazai_host_swap_used_ratio",) if not psutil.swap_memory().total else ()
_NO_PRESSURE = (
    ("sutazai_host_pressure_ratio", "sutazai_host_pressure_full_ratio") if not Path("/proc/pressure").exists() else ()
)
LACKING = {*_NO_SWAP, *_NO_PRESSURE}
"""What this machine does not have: no query for it can be answered, and none may be."""


@pytest.fixture(scope="module")
def world(docker_engine: DockerEngine) -> Iterator[DashboardWorld]:
    made = DashboardWorld(docker_engine)
    yield made
    made.close()


@pytest.fixture(scope="module")
def grafana(world: DashboardWorld) -> Grafana:
    return Grafana(world.prometheus, world.since)


def metrics(expr: str) -> set[str]:
    return {selector.name for selector in selectors(in_words_of_prometheus(expr))}


@every_dashboard
def test_every_panel_has_something_to_show(path: Path, grafana: Grafana) -> None:
    targets = [(panel["title"], target) for panel in panels(dashboard(path)) for target in panel["targets"]]
    wanted = [(title, target) for title, target in targets if not metrics(target["expr"]) & LACKING]

    def unanswered() -> list[tuple[str, str]]:
        return [(title, target["expr"]) for title, target in wanted if not grafana.has_data(target)]

    # What happened last may not have been scraped and recorded yet.
    wait_for(lambda: not unanswered(), 60, "every query is answered", detail=lambda: str(unanswered()))
    assert not [title for title, target in targets if metrics(target["expr"]) & LACKING and grafana.has_data(target)]


@every_dashboard
def test_every_annotation_marks_something(path: Path, grafana: Grafana) -> None:
    marks = list(annotations(dashboard(path)))
    wait_for(
        lambda: all(grafana.events(mark) for mark in marks),
        60,
        "every annotation marks something",
        detail=lambda: str([mark["name"] for mark in marks if not grafana.events(mark)]),
    )


@every_dashboard
def test_every_variable_has_something_to_choose(path: Path, grafana: Grafana) -> None:
    chosen = {
        one["name"]: grafana.choices(one) for one in dashboard(path)["templating"]["list"] if one["type"] == "query"
    }
    assert [name for name, values in chosen.items() if not values] == []


def test_a_query_that_nothing_answers_is_noticed(grafana: Grafana) -> None:
    absent: list[Mapping[str, Any]] = [
        {"expr": "sutazai_no_such_metric"},
        {"expr": "sutazai_no_such_metric", "instant": True},
        {"expr": 'sutazai_agent_up{agent="nobody", instance=~"$instance"}'},
        {"expr": "0 / (0 * sutazai_health_score)"},
    ]
    assert [target for target in absent if grafana.has_data(target)] == []
    assert grafana.events({"expr": "sutazai_agent_quarantined * 0"}) == []
    assert grafana.events({"expr": "(sutazai_build_info * 0 + 86400) * 1000", "useValueForTime": True}) == []


def test_the_world_was_watched_by_the_bundled_rules(world: DashboardWorld) -> None:
    prometheus: Prometheus = world.prometheus
    assert prometheus.wait_query('ALERTS{alertstate="firing", alertname="Watchdog"}')
    assert prometheus.wait_query("task:sutazai_success_age:ratio")
