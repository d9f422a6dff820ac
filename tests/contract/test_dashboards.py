"""Dashboards ask only for what is exported, say what they show, lead to each other, and are what Grafana reads."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.promql import in_words_of_prometheus, problems, selectors
from tests.contract.rule_files import (
    DASHBOARD_FILES,
    ROOT,
    alerts,
    annotations,
    dashboard,
    known,
    panels,
    queries,
    short_name,
)
from tests.services.binaries import need

KNOWN = known()
ALERTS = {alert.name for alert in alerts()}
TAG = "sutazai"
NAMES = (
    *("overview", "agents", "jobs", "databases", "backups-certificates", "security", "host-models", "alerts"),
    *("performance", "logs"),
)
every_dashboard = pytest.mark.parametrize("path", DASHBOARD_FILES, ids=lambda path: str(path.stem))


# --- what there is ---


def test_every_area_has_its_dashboard() -> None:
    assert {short_name(path) for path in DASHBOARD_FILES} == set(NAMES)


@every_dashboard
def test_a_dashboard_can_be_provisioned_edited_and_exported_back(path: Path) -> None:
    board = dashboard(path)
    assert board["uid"] == path.stem
    assert board["id"] is None
    assert board["schemaVersion"] == 39
    assert "__inputs" not in board
    assert board["editable"]
    assert board["title"].startswith("SutazAI ")
    assert board["description"].endswith(".")
    # As Grafana writes what it exports, so that nothing but the change shows in what is put back.
    assert path.read_text() == json.dumps(board, indent=2, ensure_ascii=False) + "\n"


def test_titles_are_unique() -> None:
    assert len({dashboard(path)["title"] for path in DASHBOARD_FILES}) == len(DASHBOARD_FILES)


@every_dashboard
def test_the_page_on_dashboards_names_its_title_variables_and_marks(path: Path) -> None:
    board, page = dashboard(path), (ROOT / "docs" / "dashboards.md").read_text()
    named = [variable["name"] for variable in board["templating"]["list"][2:]]
    assert f"| {board['title']} | `{path.stem}` |" in page
    assert f"| {', '.join(named)} |\n" in page.partition(f"`{path.stem}`")[2].partition("\n")[0] + "\n"
    marked = page.partition("## What is marked")[2].partition("\n## ")[0]
    assert [mark["name"] for mark in annotations(board) if mark["name"] not in marked] == []


@every_dashboard
def test_a_dashboard_leads_to_all_others(path: Path) -> None:
    board = dashboard(path)
    assert board["tags"] == [TAG]
    (link,) = board["links"]
    assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == ("dashboards", [TAG], True, True)
    for panel in panels(board):
        for one in panel.get("links", []):
            assert re.match(r"/d/([a-z-]+)\?", one["url"])[1] in {other.stem for other in DASHBOARD_FILES}  # type: ignore[index]


@pytest.mark.parametrize("path", sorted((ROOT / "grafana" / "provisioning").rglob("*.yml")), ids=lambda path: path.stem)
def test_provisioning_files_are_what_grafana_reads(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    assert document["apiVersion"] == 1
    (entry,) = document["providers" if path.parent.name == "dashboards" else "datasources"]
    assert entry["type"] in ("file", "prometheus")


PROMETHEUS_ANNOTATION = ("tagKeys", "textFormat", "titleFormat", "useValueForTime")
"""What Grafana's data source for Prometheus reads of an annotation: the schema leaves these to each data source."""


@every_dashboard
def test_a_dashboard_is_of_grafanas_own_shape(path: Path) -> None:
    # The kit is made from Grafana's schema: what it does not know is lost when it reads and writes a dashboard.
    models = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    cog = importlib.import_module("grafana_foundation_sdk.cog.encoder")
    importlib.import_module("grafana_foundation_sdk.cog.plugins").register_default_plugins()
    board = dashboard(path)
    understood = json.loads(cog.JSONEncoder().encode(models.Dashboard.from_json(board)))
    of_prometheus = rf"/annotations/list/\d+/({'|'.join(PROMETHEUS_ANNOTATION)})"
    assert [lost for lost in _lost(board, understood) if not re.fullmatch(of_prometheus, lost)] == ["/id"]


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


# --- queries ---


@every_dashboard
def test_a_dashboard_asks_only_for_what_is_exported(path: Path) -> None:
    assert {title: wrong for title, expr in queries(dashboard(path)) if (wrong := problems(expr, KNOWN))} == {}


def test_prometheus_parses_every_query(tmp_path: Path) -> None:
    asked = [in_words_of_prometheus(expr) for path in DASHBOARD_FILES for _, expr in queries(dashboard(path))]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(asked)]
    file = tmp_path / "queries.rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    command = [need("promtool", package="prometheus"), "check", "rules", str(file)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


WHOLE = {("logs", "Archives and the cap"), ("databases", "Redis keys")}
"""Panels that a variable does not narrow: the cap is on all logs, and Redis's databases are not PostgreSQL's."""


@every_dashboard
def test_every_query_follows_the_variables(path: Path) -> None:
    board = dashboard(path)
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert list(variables)[:2] == ["datasource", "instance"]
    assert variables["datasource"]["type"] == "datasource"
    asking = set(variables) - {"datasource"}
    for name in asking:
        assert _variable_problems(variables[name]) == [], name
    for title, expr in queries(board):
        narrowed = {"instance"} if (short_name(path), title) in WHOLE else asking
        for selector in selectors(expr):
            for name in narrowed & KNOWN[selector.name]:
                assert selector.matched.get(name) == f"${name}", (title, name)


def _variable_problems(variable: dict[str, Any]) -> list[str]:
    match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
    if not match or match[2] != variable["name"]:
        return [variable["query"]["query"]]
    found = problems(f"sum by ({match[2]}) ({match[1]})", KNOWN)
    follows = variable["name"] == "instance" or 'instance=~"$instance"' in match[1]
    chosen = (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".*")
    ours = variable["type"] == "query" and variable["datasource"]["uid"] == "${datasource}"
    return (
        found + ["it does not follow the instance"] * (not follows) + ["it is set otherwise"] * (not chosen or not ours)
    )


def test_a_variable_is_the_same_on_every_dashboard() -> None:
    seen: dict[str, Any] = {}
    for path in DASHBOARD_FILES:
        for variable in dashboard(path)["templating"]["list"]:
            assert seen.setdefault(variable["name"], variable) == variable, path.stem


# --- annotations ---


@every_dashboard
def test_annotations_say_what_happened_and_each_has_a_colour_of_its_own(path: Path) -> None:
    board = dashboard(path)
    assert board["annotations"]["list"][0]["builtIn"] == 1
    marks = list(annotations(board))
    assert marks, "nothing is marked"
    assert len({mark["name"] for mark in marks}) == len({mark["iconColor"] for mark in marks}) == len(marks)
    for mark in marks:
        assert mark["datasource"]["uid"] == "${datasource}"
        assert mark["textFormat"].endswith(".")
        assert mark["titleFormat"]
        named = set(re.findall(r"{{(\w+)}}", mark["titleFormat"] + mark["textFormat"])) | set(
            mark["tagKeys"].split(",")
        )
        assert named <= {label for selector in selectors(mark["expr"]) for label in KNOWN[selector.name]}
        # A time that is exported is where it happened; Grafana takes milliseconds.
        assert mark.get("useValueForTime", False) == mark["expr"].endswith(" * 1000")


def test_an_annotation_has_the_same_colour_on_every_dashboard() -> None:
    colours: dict[str, str] = {}
    for path in DASHBOARD_FILES:
        for mark in annotations(dashboard(path)):
            assert colours.setdefault(mark["name"], mark["iconColor"]) == mark["iconColor"], path.stem


# --- panels ---


@every_dashboard
def test_every_panel_says_what_it_shows_and_in_which_unit(path: Path) -> None:
    units = _units()
    board = list(panels(dashboard(path)))
    assert len({panel["id"] for panel in board}) == len(board)
    assert len({panel["title"] for panel in board}) == len(board)
    for panel in board:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in units, panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGH")[: len(panel["targets"])]
        named = re.findall(r"\b(?:[A-Z][a-z]+){2,}\b", panel["description"])
        assert set(named) <= ALERTS, panel["title"]


def _units() -> set[str]:
    module = pytest.importorskip("grafana_foundation_sdk.models.units")
    return {value for value in vars(module).values() if isinstance(value, str)}


@every_dashboard
def test_panels_fill_the_width_side_by_side_without_a_hole(path: Path) -> None:
    taken: dict[tuple[int, int], int] = {}
    board = dashboard(path)["panels"]
    for panel in board:
        place = panel["gridPos"]
        if panel["type"] == "row":
            assert (place["x"], place["w"], place["h"], panel["panels"]) == (0, 24, 1, []), panel["title"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["id"]) == panel["id"], panel["title"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board)
    assert [(x, y) for y in range(height) for x in range(24) if (x, y) not in taken] == []
    places = [(panel["gridPos"]["y"], panel["gridPos"]["x"]) for panel in board]
    assert places == sorted(places)
