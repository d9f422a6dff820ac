"""The performance report as it is made: samples of a real host, reports out of a real history, files on disk."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from exporter.runs.reports import prune_reports
from exporter.settings import ReportsSettings
from jobs.pages.page import LineChart, Notices, Table
from jobs.performance import series
from jobs.performance.page import page_of
from jobs.performance.periods import period_of
from jobs.performance.report import Report, gathered
from jobs.performance.sampling.sampled import Gap, Sampled
from jobs.performance.scoring import losses_of
from jobs.performance.series import Figure
from jobs.performance_report import JOB
from tests.services.chromium import Chromium
from tests.services.http_agent import HttpAgent
from tests.services.performance_runs import WELL, PerformanceRuns
from tests.services.ports import free_port
from tests.services.trees import tree_digest

NOW = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
DAY = timedelta(days=1)
RESPONSE = series.AGENT_RESPONSE.series("orchestrator")
MARKUP = "<script>alert(1)</script>"
Cli = Callable[..., CompletedProcess[str]]


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[PerformanceRuns]:
    made = PerformanceRuns(tmp_path / "base")
    yield made
    made.store.close()


def samples(result: Any) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Values of the samples by family and labels."""
    return {(s.family, tuple(sorted(s.labels.items()))): s.value for s in result.samples}


# The document


def test_the_report_has_the_shape_of_the_script_it_replaces(runs: PerformanceRuns) -> None:
    runs.record_days(2, NOW, {series.MEMORY.series(): 0.4})
    sections = {"system_metrics": {"memory_total_bytes": 1 << 34}, "agent_metrics": {"total": 2}}
    figures = (*WELL[:-1], Figure(series.AGENTS_HEALTHY, 0.5))
    report = runs.result(NOW, figures=figures, sections=sections).report
    assert report
    assert list(report)[:7] == [
        "report_info", "system_metrics", "container_metrics", "agent_metrics", "database_metrics", "ollama_metrics",
        "summary",
    ]  # fmt: skip
    assert report["report_info"]["report_type"] == "daily"
    assert report["report_info"]["timestamp"] == "2026-03-02T07:00:00+00:00"
    assert report["system_metrics"] == {"memory_total_bytes": 1 << 34}
    assert report["summary"] == {
        "overall_status": "good",
        "performance_score": 75,
        "agent_health": {"healthy_ratio": 0.5},
        "resource_usage": {
            "cpu_used_ratio": 0.2,
            "load_per_core_ratio": 0.3,
            "memory_used_ratio": 0.4,
            "disk_used_ratio": 0.5,
        },
        "recommendations": [
            "agents that are well 50.0 % (limit 80 %): see which are not: `sutazai-exporter run agent-monitor` says "
            "why, and what was done"
        ],
    }
    assert report["deductions"][0]["reason"] == "agents_down"
    json.dumps(report, allow_nan=False)


def test_what_is_missing_is_in_the_report_and_never_a_good_figure(runs: PerformanceRuns) -> None:
    gaps = (Gap("redis", "NOAUTH"), Gap("ollama", "none is there", absent=True))
    result = runs.result(NOW, figures=(), gaps=gaps)
    assert result.report
    assert result.report["gaps"] == [
        {"source": "redis", "reason": "NOAUTH", "absent": False},
        {"source": "ollama", "reason": "none is there", "absent": True},
    ]
    assert result.report["summary"]["resource_usage"] == dict.fromkeys(
        ("cpu_used_ratio", "load_per_core_ratio", "memory_used_ratio", "disk_used_ratio")
    )
    assert (result.score, result.verdict, result.status) == (95, 1, "EXCELLENT")


@pytest.mark.parametrize(
    ("mode", "step", "points"), [("daily", 3600, 24), ("weekly", 6 * 3600, 28), ("monthly", 86400, 31)]
)
def test_trends_have_steps_that_fit_the_period(runs: PerformanceRuns, mode: str, step: int, points: int) -> None:
    runs.record_days(65, NOW, {series.CPU.series(): lambda at: (at - NOW).total_seconds() / 86400})
    runs.store.prune(NOW, timedelta(days=400))
    report = runs.result(NOW, mode).report
    assert report
    (trend,) = report["trends"]
    means = [(datetime.fromisoformat(one["since"]), one["mean"]) for one in trend["means"]]
    assert len(means) == points
    assert {(b[0] - a[0]).total_seconds() for a, b in pairwise(means)} == {step}
    for since, mean in means[:-1]:
        middle = since + timedelta(seconds=step / 2)
        assert mean == pytest.approx((middle - NOW).total_seconds() / 86400, abs=0.01)


# Metrics


def test_the_percentiles_of_each_agent_are_over_the_last_day(runs: PerformanceRuns) -> None:
    slow = {RESPONSE: lambda at: 5.0 if at.minute == 0 else 0.2, series.AGENT_RESPONSE.series("a/b"): 0.1}
    runs.record(NOW - 2 * DAY, NOW - DAY, {RESPONSE: 60.0})
    runs.record_days(1, NOW, slow)
    agents = ("orchestrator", "a/b", "is silent")
    figures = tuple(Figure(series.AGENT_ERRORS, 0, (agent,)) for agent in agents)
    found = samples(runs.result(NOW, "sample", figures=figures))
    family = "sutazai_agent_response_percentile_seconds"
    values = {p: found[family, (("agent", "orchestrator"), ("percentile", p))] for p in ("50", "95", "99")}
    assert values == {
        "50": pytest.approx(0.2, rel=0.01),
        "95": pytest.approx(5, rel=0.01),
        "99": pytest.approx(5, rel=0.01),
    }
    assert found[family, (("agent", "a/b"), ("percentile", "99"))] == pytest.approx(0.1, rel=0.01)


def test_an_agent_that_is_no_more_has_no_percentiles(runs: PerformanceRuns) -> None:
    runs.record_days(1, NOW, {RESPONSE: 0.1})
    assert "sutazai_agent_response_percentile_seconds" not in {s.family for s in runs.result(NOW, "sample").samples}


def test_every_mode_exports_everything_so_that_no_gauge_vanishes(runs: PerformanceRuns) -> None:
    runs.record_days(1, NOW, {RESPONSE: 0.1, series.SCORE.series(): 100})
    gaps = (Gap("redis", "no answer"),)
    exported = [samples(runs.result(NOW, mode, gaps=gaps)) for mode in JOB.modes]
    assert exported[1:] == exported[:-1]
    assert exported[0]["sutazai_performance_score", ()] == 95
    reason = (("reason", "redis_unknown"), ("score", "performance"))
    assert exported[0]["sutazai_score_deduction_points", reason] == 5
    assert exported[0]["sutazai_performance_history_coverage_ratio", ()] == pytest.approx(1, abs=0.01)
    assert exported[0]["sutazai_performance_history_series", ()] == 2
    assert exported[0]["sutazai_performance_history_refused_series", ()] == 0


def test_every_figure_and_the_score_are_remembered_in_every_mode(runs: PerformanceRuns) -> None:
    for mode in JOB.modes:
        remembered = {o.series: o.value for o in runs.result(NOW, mode).observations}
        assert remembered == {f.kind.series(*f.labels): f.value for f in WELL} | {series.SCORE.series(): 100}


def test_a_sample_makes_no_report(runs: PerformanceRuns) -> None:
    result = runs.result(NOW, "sample")
    assert (result.report, result.renderings) == (None, {})


@pytest.mark.parametrize(("form", "has"), [("json", (True, False)), ("html", (False, True)), ("both", (True, True))])
def test_a_report_has_the_forms_that_are_asked_for(tmp_path: Path, form: str, has: tuple[bool, bool]) -> None:
    result = PerformanceRuns(tmp_path, report_format=form).result(NOW)
    assert (result.report is not None, ".html" in result.renderings) == has


# The page


def page_report(runs: PerformanceRuns, figures: tuple[Figure, ...] = WELL, gaps: tuple[Gap, ...] = ()) -> Report:
    sampled = Sampled(figures=figures, gaps=gaps)
    losses = losses_of(sampled, runs.settings, runs.clients(NOW).world.thresholds)
    return gathered("host", period_of("daily", NOW), sampled, losses, runs.store, 25)


def test_the_page_begins_with_what_got_worse(runs: PerformanceRuns) -> None:
    runs.record_days(2, NOW, {RESPONSE: lambda at: 0.9 if at >= NOW - DAY else 0.1, series.CPU.series(): 0.2})
    page = page_of(page_report(runs, (*WELL, Figure(series.MEMORY, 0.9)), (Gap("redis", "NOAUTH"),)))
    first, advice = page.sections[:2]
    worse, better = (block for block in first.blocks if isinstance(block, Table))
    assert [row[0] for row in worse.rows] == ["Response time of orchestrator"]
    assert (better.rows, better.empty) == ((), "Nothing did.")
    (notices,) = (block.notices for block in advice.blocks if isinstance(block, Notices))
    assert notices[0].title == "memory in use 90.0 % (limit 80 %)"
    assert all(notice.remedy for notice in notices)
    assert page.score and (page.score.value, page.score.word) == (80, "good")
    assert [section.title for section in page.sections[2:]] == ["The machine", "Agents", "What could not be measured"]
    charts = [block for section in page.sections for block in section.blocks if isinstance(block, LineChart)]
    assert [chart.title for chart in charts] == ["CPU in use", "Response time"]
    assert all(len(line.points) == 24 for chart in charts for line in chart.lines)


def test_a_gap_in_what_is_known_is_a_gap_in_the_chart(runs: PerformanceRuns) -> None:
    runs.record(NOW - DAY, NOW - timedelta(hours=20), {series.CPU.series(): 0.2})
    runs.record(NOW - timedelta(hours=2), NOW, {series.CPU.series(): 0.2})
    page = page_of(page_report(runs))
    (chart,) = (block for section in page.sections for block in section.blocks if isinstance(block, LineChart))
    known = [value is not None for _, value in chart.lines[0].points]
    assert known == [True] * 5 + [False] * 17 + [True] * 2  # the last sample of a stretch speaks a while longer


def test_a_large_installation_still_makes_a_page(runs: PerformanceRuns) -> None:
    names = [series.CONTAINER_CPU.series(f"container-{n}") for n in range(300)]
    runs.record(NOW - timedelta(hours=1), NOW, dict.fromkeys(names, 0.5))
    page = page_of(page_report(runs))
    (section,) = (section for section in page.sections if section.title == "Containers")
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    (chart,) = (block for block in section.blocks if isinstance(block, LineChart))
    assert (len(table.rows), len(chart.lines)) == (200, 6)
    assert "100 more are in the JSON report" in table.caption


def test_names_of_others_are_text_on_the_page(runs: PerformanceRuns) -> None:
    name = MARKUP + "\x1b[2J\u202e"
    runs.record_days(2, NOW, {series.CONTAINER_MEMORY.series(name): lambda at: 9e9 if at >= NOW - DAY else 1e9})
    figures = (Figure(series.MEMORY, 0.95), Figure(series.CONTAINER_MEMORY, 9e9, (name,)))
    result = runs.result(NOW, figures=figures, gaps=(Gap(f"postgres/{MARKUP}", MARKUP),))
    html = result.renderings[".html"]
    assert MARKUP not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "\x1b" not in html
    assert result.report
    assert any(MARKUP in text for text in result.report["summary"]["recommendations"])


def test_a_report_full_of_hostile_names_is_read_on_a_phone(runs: PerformanceRuns, tmp_path: Path) -> None:
    names = [MARKUP, "\"onload='alert(1)'", "x" * 120, "\u202eright to left", "</style><b>", "\U0001f600 a b"]
    kinds = (series.CONTAINER_CPU, series.CONTAINER_MEMORY, series.AGENT_RESPONSE, series.DISK, series.MODEL_SPEED)
    runs.record_days(2, NOW, {k.series(n): lambda at: 0.9 if at >= NOW - DAY else 0.1 for k in kinds for n in names})
    figures = (*WELL, *(Figure(series.DISK, 0.99, (name,)) for name in names))
    file = tmp_path / "report.html"
    file.write_text(runs.result(NOW, figures=figures).renderings[".html"], encoding="utf-8")
    browser = Chromium()
    try:
        with browser.opened(file, width=360) as opened:
            assert (opened.events, opened.ask("window.violations")) == ([], [])
            assert opened.ask("document.documentElement.scrollWidth") == 360
            assert opened.ask("document.querySelectorAll('svg').length") == len(kinds)
            assert f"CPU of {MARKUP}" in opened.text()
    finally:
        browser.close()


# From the command line, on this machine


def report_files(base: Path) -> list[str]:
    return sorted(re.sub(r"_\d{8}_\d{6}", "", path.name) for path in (base / "reports/performance").iterdir())


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    return tmp_path / "base"


def test_samples_and_then_the_reports_of_each_length(run_here: Cli, base: Path) -> None:
    now = datetime.now().astimezone()
    past = PerformanceRuns(base)
    past.record_days(2, now, {series.MEMORY.series(): lambda at: 0.0001 if at >= now - DAY else 0.9})
    past.store.close()

    def run(mode: str) -> str:
        done = run_here("run", "performance-report", "--mode", mode)
        assert done.returncode in (0, 1, 2), done.stderr
        return done.stdout

    said = [run(mode) for mode in ("sample", "sample", "daily", "weekly", "monthly")]
    assert ["not comparable" in words for words in said] == [False, False, False, True, True]
    assert report_files(base) == sorted(
        [f"performance_report_{mode}{form}" for mode in ("daily", "weekly", "monthly") for form in (".json", ".html")]
        + ["latest_performance_report.json", "latest_performance_report.html"]
    )
    reports = base / "reports/performance"
    assert (reports / "latest_performance_report.html").read_text().startswith("<!DOCTYPE html>")
    assert (
        json.loads((reports / "latest_performance_report.json").read_text())["report_info"]["report_type"] == "monthly"
    )
    (daily,) = reports.glob("performance_report_daily_*.json")
    document = json.loads(daily.read_text())
    assert document["system_metrics"]["memory_total_bytes"] > 0
    (better,) = (e for e in document["comparison"]["got_better"] if e["figure"] == "host_memory_used_ratio")
    # A day of samples, those of the hour with which the period begins, and the two of just now.
    assert 288 + 2 <= better["now"]["observations"] <= 300 + 2
    assert (better["now"]["minimum"], better["before"]["p95"]) == (0.0001, pytest.approx(0.9))
    assert 0.001 < better["now"]["maximum"] < 1


def test_what_does_not_answer_is_in_the_report_and_costs_its_points(
    run_here: Cli, base: Path, http_agent: Callable[..., HttpAgent]
) -> None:
    closed = [free_port() for _ in range(3)]
    config = {
        "agents": {
            "listed": [{"name": "alive", "port": http_agent().port}, {"name": "dead", "port": closed[0]}],
            "discover": False,
        },
        "ollama": {"url": f"http://127.0.0.1:{closed[1]}"},
        "redis": {"url": f"redis://127.0.0.1:{closed[2]}/0"},
        "thresholds": {"max_load_per_core": 100, "max_disk_percent": 100, "max_memory_percent": 100},
        "jobs": {"performance_report": {"busy_memory_percent": 100, "busy_disk_percent": 100}},
    }
    done = run_here("run", "performance-report", config=config)
    assert done.returncode == 2, done.stderr
    document = json.loads((base / "reports/performance/latest_performance_report.json").read_text())
    reasons = {one["reason"]: one["points"] for one in document["deductions"]}
    # Whatever else this machine has or lacks.
    assert reasons.items() >= {"agents_down": 25, "ollama_down": 30, "redis_unknown": 5}.items()
    assert document["summary"]["performance_score"] == 100 - sum(reasons.values())
    assert document["summary"]["overall_status"] == "poor"
    assert document["summary"]["agent_health"] == {"healthy_ratio": 0.5}
    assert set(document["agent_metrics"]["agents"]) == {"alive", "dead"}
    assert {gap["source"] for gap in document["gaps"] if not gap["absent"]} >= {"ollama", "redis"}
    for finding in ("agents_down", "ollama_down", "redis_unknown"):
        assert finding in done.stdout


def test_the_default_is_the_daily_report(run_here: Cli, base: Path) -> None:
    run_here("run", "performance-report")
    assert "performance_report_daily.json" in report_files(base)


def test_a_dry_run_writes_nothing(run_here: Cli, base: Path) -> None:
    run_here("run", "performance-report", "--mode", "sample")
    before = tree_digest(base)
    done = run_here("run", "performance-report", "--mode", "weekly", "--dry-run")
    assert done.returncode in (0, 1, 2), done.stderr
    assert tree_digest(base) == before


@pytest.mark.parametrize("value", ["pdf", "", "JSON"])
def test_an_unknown_form_is_a_wrong_configuration(run_here: Cli, base: Path, value: str) -> None:
    done = run_here("run", "performance-report", config={"jobs": {"performance_report": {"report_format": value}}})
    assert done.returncode == 78
    assert "jobs.performance_report.report_format" in done.stderr
    assert not (base / "reports").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--mode", "yearly"), "it has daily, weekly, monthly, sample"), (("--target", "x"), "takes no target")],
)
def test_what_it_cannot_do_it_says(run_here: Cli, base: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run_here("run", "performance-report", *arguments)
    assert done.returncode not in (0, 1, 2)
    assert said in done.stderr + done.stdout


def test_changed_thresholds_change_the_score(run_here: Cli, base: Path) -> None:
    run_here("run", "performance-report", "--mode", "sample", env={"SUTAZAI_MAX_MEMORY_USAGE": "1"})
    with sqlite3.connect(base / "data/sutazai.db") as db:
        (record,) = db.execute("SELECT record FROM runs").fetchone()
    db.close()
    reasons = {one["reason"] for one in json.loads(record)["result"]["deductions"]}
    assert "memory_high" in reasons


def test_reports_of_every_length_are_kept_for_ninety_days(base: Path) -> None:
    directory = base / "reports/performance"
    directory.mkdir(parents=True)
    kept, gone = set(), set()
    for mode, days in (("daily", 1), ("weekly", 7), ("monthly", 30)):
        for age in range(0, 200, days):
            at = NOW - timedelta(days=age)
            for form in (".json", ".html"):
                name = f"performance_report_{mode}_{at:%Y%m%d_%H%M%S}{form}"
                (directory / name).touch()
                (kept if age <= 90 else gone).add(name)
    prune_reports(JOB, base, ReportsSettings(), NOW)
    assert {path.name for path in directory.iterdir()} == kept
    assert gone
