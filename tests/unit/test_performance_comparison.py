"""How periods compare: against the raw points, by coverage, and in order of how bad it is."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.core.model import Result
from jobs.core.ports import Summary
from jobs.performance import series
from jobs.performance.comparing import Known, Verdict, compare
from jobs.performance.periods import period_of
from jobs.performance.series import Figure, Kind
from jobs.performance.telling import difference_of, sentence
from tests.services.performance_runs import WELL, PerformanceRuns

NOW = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
DAY = timedelta(days=1)
CPU, RESPONSE = series.CPU.series(), series.AGENT_RESPONSE.series("orchestrator")
LENGTHS = {"daily": 1, "weekly": 7, "monthly": 30}


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[PerformanceRuns]:
    made = PerformanceRuns(tmp_path / "base")
    yield made
    made.store.close()


def entries(result: Result) -> dict[str, dict[str, Any]]:
    """The comparison of a report by series."""
    assert result.report
    kinds = {kind.name: kind for kind in series.KINDS}
    return {kinds[e["figure"]].series(*e["labels"].values()): e for e in result.report["comparison"]["figures"]}


def summary(value: float, seconds: float = 86400, **changes: float) -> Summary:
    every = dict.fromkeys(("mean", "minimum", "maximum", "p50", "p95", "p99"), value)
    return Summary(**{**every, **changes}, seconds=seconds, count=288)


# Periods


@pytest.mark.parametrize("mode", LENGTHS)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Pacific/Chatham"])
@pytest.mark.parametrize("day", [(2026, 3, 29), (2026, 10, 25), (2026, 4, 5), (2024, 2, 29), (2026, 1, 1)], ids=str)
def test_a_period_is_as_long_as_it_says_whatever_the_clocks_do(mode: str, zone: str, day: tuple[int, int, int]) -> None:
    now = datetime(*day, 8, 30, 12, tzinfo=ZoneInfo(zone))
    period = period_of(mode, now)
    unit = 86400 if mode == "monthly" else 3600
    assert period.until == now
    assert 0 <= period.seconds - LENGTHS[mode] * 86400 < unit
    assert period.since.timestamp() % unit == 0
    assert period.since.timestamp() - period.before.timestamp() == LENGTHS[mode] * 86400 == period.before_seconds


# Against the raw points


@given(
    before=st.lists(st.floats(0, 1), min_size=12, max_size=40),
    after=st.lists(st.floats(0, 1), min_size=12, max_size=40),
)
@settings(max_examples=15)
def test_both_periods_are_what_their_points_say(before: list[float], after: list[float]) -> None:
    def value(moment: datetime) -> float:
        day, place = (after, moment - (NOW - DAY)) if moment >= NOW - DAY else (before, moment - (NOW - 2 * DAY))
        return day[int(place.total_seconds() // 300) % len(day)]

    with tempfile.TemporaryDirectory() as directory:
        runs = PerformanceRuns(Path(directory))
        runs.record_days(2, NOW, {CPU: value, series.SCORE.series(): 100})
        entry = entries(runs.result(NOW))[CPU]
        runs.store.close()
    times = [NOW - 2 * DAY + timedelta(seconds=300 * n) for n in range(2 * 288)]
    for name, points in (("before", times[:288]), ("now", times[288:])):
        values = sorted(map(value, points))
        # The last point speaks for no time yet: nothing came after it.
        weighed = [value(at) for at in points if at != times[-1]]
        assert entry[name]["mean"] == pytest.approx(sum(weighed) / len(weighed), abs=1e-9)
        assert (entry[name]["minimum"], entry[name]["maximum"]) == (values[0], values[-1])
        for percent in (50, 95, 99):
            assert entry[name][f"p{percent}"] == pytest.approx(values[int(percent / 100 * 287)], rel=0.0101)
    difference = entry["now"]["mean"] - entry["before"]["mean"]
    expected = "same" if abs(difference) < series.CPU.notable else "worse" if difference > 0 else "better"
    assert (entry["difference"], entry["verdict"]) == (pytest.approx(difference), expected)


@pytest.mark.parametrize("mode", LENGTHS)
def test_each_report_compares_its_own_length(runs: PerformanceRuns, mode: str) -> None:
    # Every length of time has a mean of its own, so that a wrong span would show.
    period = period_of(mode, NOW)
    figures = {CPU: lambda at: 0.6 if at >= period.since else 0.2 if at >= period.before else 0.9}
    runs.record(period.before - DAY, NOW, figures)
    for days in range(0, 5):
        runs.store.prune(NOW + days * timedelta(hours=1), timedelta(days=400))
    entry = entries(runs.result(NOW, mode))[CPU]
    assert entry["now"]["mean"] == pytest.approx(0.6)
    # What was observed last speaks for the first minutes of the period after it.
    assert entry["before"]["mean"] == pytest.approx(0.2, abs=0.01)
    assert entry["verdict"] == "worse"


def test_the_hours_of_a_clock_change_are_neither_lost_nor_doubled(runs: PerformanceRuns) -> None:
    now = datetime(2026, 10, 25, 7, 0, tzinfo=ZoneInfo("Europe/Berlin"))
    start = datetime.fromtimestamp(now.timestamp() - 2 * 86400, ZoneInfo("Europe/Berlin"))
    runs.record(start, now, {CPU: 0.5})
    entry = entries(runs.result(now))[CPU]
    assert (entry["before"]["observed_seconds"], entry["now"]["observed_seconds"]) == (86400, 86400 - 300)


# Worse, better, same


@pytest.mark.parametrize(
    ("kind", "was", "now", "verdict"),
    [
        (series.CPU, 0.50, 0.56, Verdict.WORSE),
        (series.CPU, 0.50, 0.54, Verdict.SAME),
        (series.CPU, 0.50, 0.44, Verdict.BETTER),
        (series.POSTGRES_CACHE, 0.99, 0.95, Verdict.WORSE),
        (series.POSTGRES_CACHE, 0.95, 0.99, Verdict.BETTER),
        (series.MODEL_SPEED, 40, 20, Verdict.WORSE),
        (series.SENT, 1, 1e9, Verdict.SAME),
        (series.AGENT_RESPONSE, 0.1, 0.2, Verdict.WORSE),
    ],
    ids=str,
)
def test_a_notable_change_in_the_bad_direction_is_worse(kind: Kind, was: float, now: float, verdict: Verdict) -> None:
    name = kind.series(*("x" for _ in kind.parts))
    (change,) = compare({name: summary(now)}, {name: summary(was)}, Known(1, 1, 86400, 86400))
    assert change.verdict is verdict


def test_response_times_are_compared_by_p95_and_restarts_by_their_count() -> None:
    restarts = series.CONTAINER_RESTARTS.series("c")
    now = {RESPONSE: summary(0.1, p95=0.9), restarts: summary(2, maximum=5.0)}
    before = {RESPONSE: summary(0.1, p95=0.3), restarts: summary(2, maximum=2.0)}
    changes = compare(now, before, Known(1, 1, 86400, 86400))
    assert [change.verdict for change in changes] == [Verdict.WORSE] * 2
    assert [change.difference for change in changes] == [3, pytest.approx(0.6)]


def test_what_got_worse_comes_in_order_of_how_bad_it_is(runs: PerformanceRuns) -> None:
    since = NOW - DAY
    runs.record_days(
        2,
        NOW,
        {
            CPU: lambda at: 0.36 if at >= since else 0.3,  # 1.2 times what is worth a word
            series.MEMORY.series(): lambda at: 0.7 if at >= since else 0.3,  # 8 times
            RESPONSE: lambda at: 0.4 if at >= since else 0.3,  # twice
            series.SWAP.series(): lambda at: 0.1 if at >= since else 0.3,
        },
    )
    result = runs.result(NOW)
    assert result.report
    comparison = result.report["comparison"]
    assert [entry["figure"] for entry in comparison["got_worse"]] == [
        "host_memory_used_ratio", "agent_response_seconds", "host_cpu_used_ratio"
    ]  # fmt: skip
    assert [entry["figure"] for entry in comparison["got_better"]] == ["host_swap_used_ratio"]
    worse = [finding for finding in result.findings if finding.kind == "worse"]
    assert [finding.subject for finding in worse] == [
        "host_memory_used_ratio", "agent_response_seconds/orchestrator", "host_cpu_used_ratio"
    ]  # fmt: skip
    assert [finding.severity for finding in worse] == ["medium", "low", "low"]
    assert worse[1].message == "Response time of orchestrator: p95 400 ms, was 300 ms: +100 ms (+33%)"
    assert all(finding.remedy for finding in worse)


def test_findings_on_what_got_worse_are_bounded(tmp_path: Path) -> None:
    runs = PerformanceRuns(tmp_path, max_worse_findings=3)
    names = [series.AGENT_RESPONSE.series(f"agent-{n}") for n in range(9)]
    runs.record_days(2, NOW, dict.fromkeys(names, lambda at: 2.0 if at >= NOW - DAY else 0.1))
    result = runs.result(NOW)
    assert len([finding for finding in result.findings if finding.kind == "worse"]) == 3
    assert result.report and len(result.report["comparison"]["got_worse"]) == 9


# Too little is known


def test_a_new_installation_says_since_when_it_records_and_compares_nothing(runs: PerformanceRuns) -> None:
    first = runs.result(NOW)
    assert first.report
    assert first.report["period"]["recorded_since"] is None
    assert first.report["comparison"] == {"got_worse": [], "got_better": [], "figures": []}
    assert "not comparable" in first.summary
    runs.record(NOW - timedelta(hours=2), NOW, {CPU: 0.5})
    second = runs.result(NOW)
    assert second.report
    assert second.report["period"]["recorded_since"] == "2026-03-02T05:00:00+00:00"
    assert second.report["period"]["coverage_ratio"] == pytest.approx(2 / 24, abs=0.005)
    assert not second.report["period"]["comparable"]
    assert entries(second)[CPU]["verdict"] == "not comparable"
    assert not [finding for finding in second.findings if finding.kind == "worse"]


@pytest.mark.parametrize(
    ("hours_before", "hours", "verdict"),
    [(24, 24, "worse"), (7, 7, "worse"), (5, 24, "not comparable"), (24, 5, "not comparable")],
)
def test_a_comparison_needs_enough_of_both_periods(
    runs: PerformanceRuns, hours_before: int, hours: int, verdict: str
) -> None:
    runs.record(NOW - 2 * DAY, NOW - 2 * DAY + timedelta(hours=hours_before), {CPU: 0.1})
    runs.record(NOW - timedelta(hours=hours), NOW, {CPU: 0.9})
    assert entries(runs.result(NOW))[CPU]["verdict"] == verdict


def test_what_came_and_what_went_is_told_apart_from_what_is_not_known(runs: PerformanceRuns) -> None:
    came, went, brief = (series.CONTAINER_CPU.series(name) for name in ("came", "went", "brief"))
    runs.record_days(2, NOW, {CPU: 0.5})
    runs.record(NOW - DAY, NOW, {came: 1})
    runs.record(NOW - 2 * DAY, NOW - DAY - timedelta(minutes=15), {went: 1})
    runs.record(NOW - timedelta(hours=1), NOW, {brief: 1})
    found = entries(runs.result(NOW))
    assert {name: found[name]["verdict"] for name in (came, went, brief)} == {
        came: "new", went: "gone", brief: "not comparable"
    }  # fmt: skip
    # Without a history that reaches back so far, nothing is new.
    later = {name: entry["verdict"] for name, entry in entries(runs.result(NOW, "weekly")).items()}
    assert set(later.values()) == {"not comparable"}


def test_a_figure_of_another_version_is_passed_over(runs: PerformanceRuns) -> None:
    runs.record_days(2, NOW, {"performance/no_such_figure": 1, series.CPU.series("label"): 1, CPU: 0.5})
    assert set(entries(runs.result(NOW))) == {CPU}


@pytest.mark.parametrize("name", ["a/b", "%2F", "ä", "<script>", "x" * 120, "\U0001f600", "..", "' OR 1=1"])
def test_names_of_others_come_back_as_they_were(runs: PerformanceRuns, name: str) -> None:
    runs.record_days(2, NOW, {series.CONTAINER_CPU.series(name): lambda at: 4.0 if at >= NOW - DAY else 1.0})
    result = runs.result(NOW, figures=(*WELL, Figure(series.CONTAINER_CPU, 4.0, (name,))))
    (entry,) = entries(result).values()
    assert (entry["labels"], entry["verdict"]) == ({"container": name}, "worse")
    assert series.CONTAINER_CPU.series(name) in {observation.series for observation in result.observations}


@pytest.mark.parametrize(
    ("was", "now"), [(1e-300, 1e300), (5e-324, 1.7e308), (0.0, 1e300), (1e300, 0.0), (-1e300, 1e300)]
)
def test_figures_beyond_all_sense_leave_a_report_of_numbers(runs: PerformanceRuns, was: float, now: float) -> None:
    own = series.AGENT_OWN_RESPONSE.series("liar")
    runs.record_days(2, NOW, {own: lambda at: now if at >= NOW - DAY else was, CPU: 0.5})
    result = runs.result(NOW, figures=(*WELL, Figure(series.AGENT_OWN_RESPONSE, now, ("liar",))))
    json.dumps(result.report, allow_nan=False)
    assert set(entries(result)) == {own, CPU}
    assert "liar" in result.renderings[".html"]


# Words


@pytest.mark.parametrize(
    ("kind", "was", "now", "words"),
    [
        (series.CPU, 0.50, 0.625, "+12.5 points"),
        (series.CONTAINER_MEMORY, 1 << 30, 3 << 29, "+512 MiB (+50%)"),
        (series.MODEL_SPEED, 40, 30, "\N{MINUS SIGN}10/s (\N{MINUS SIGN}25%)"),
        (series.CONTAINER_CPU, 0, 2, "+2 cores"),
    ],
)
def test_a_difference_is_told_in_the_figures_own_unit(kind: Kind, was: float, now: float, words: str) -> None:
    name = kind.series(*("x" for _ in kind.parts))
    (change,) = compare({name: summary(now)}, {name: summary(was)}, Known(1, 1, 86400, 86400))
    assert words in difference_of(change)
    assert words in sentence(change)
