"""The arithmetic of the benchmarks; what they measure is for `make bench`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.harness import (
    Figure,
    Gap,
    Goal,
    NotMeasured,
    Row,
    at_most,
    fraction,
    in_turns,
    percentile,
    ratio_at_most,
    spread,
    within,
)
from benchmarks.machine import cpu_seconds, need, resident_mb
from benchmarks.series_server import exposition_of

REPOSITORY = Path(__file__).resolve().parents[2]


def figure(ours: list[float], peer: list[float] | None = None, goal: Goal | None = None) -> Figure:
    return Figure("a figure", "ms", ours, peer or [], "a peer" if peer else "", goal)


def test_sides_take_turns() -> None:
    order: list[str] = []
    results = in_turns({"a": lambda: order.append("a") or 1, "b": lambda: order.append("b") or 2}, 3)
    assert order == ["a", "b"] * 3
    assert results == {"a": [1, 1, 1], "b": [2, 2, 2]}


def test_the_ratio_is_the_median_of_the_pairs_and_not_of_the_sides() -> None:
    # The second pair met a slow moment, which both sides felt: it changes nothing.
    assert figure([1, 40, 1], [10, 400, 10]).ratio == pytest.approx(0.1)
    assert figure([1, 2, 9], [2, 2, 3]).ratio == pytest.approx(1)
    assert figure([1]).ratio is None


def test_pairs_must_be_whole() -> None:
    with pytest.raises(ValueError, match="shorter"):
        assert figure([1, 2], [1]).ratio


@pytest.mark.parametrize(
    ("ours", "peer", "goal", "met"),
    [
        ([4.0, 5.0, 90.0], [], at_most(5, "ms"), True),
        ([5.1], [], at_most(5, "ms"), False),
        ([-5.0], [], within(5, "MB"), True),
        ([5.1], [], within(5, "MB"), False),
        ([-5.1], [], within(5, "MB"), False),
        ([1.0], [50.0], ratio_at_most(1 / 50), True),
        ([1.1], [50.0], ratio_at_most(1 / 50), False),
        ([1.0], [], ratio_at_most(1), False),
        ([1.0], [1.0], None, None),
    ],
)
def test_goals(ours: list[float], peer: list[float], goal: Goal | None, met: bool | None) -> None:
    assert figure(ours, peer, goal).met is met


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (99, 99), (99.5, 100), (100, 100), (0, 1), (1, 1)])
def test_percentiles_by_nearest_rank(percent: float, value: float) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == value


def test_the_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 1) == percentile([7.0], 99) == 7.0


@pytest.mark.parametrize(("ratio", "text"), [(0.02, "1/50"), (0.2, "1/5"), (0.21, "0.21"), (1.86, "1.9"), (14.2, "14")])
def test_ratios_as_people_read_them(ratio: float, text: str) -> None:
    assert fraction(ratio) == text


def test_spread_is_median_with_least_and_greatest() -> None:
    assert spread([3, 1, 2000]) == "3 (1-2000)"
    assert spread([0.0512]) == "0.0512"


def test_a_row_that_cannot_go_on_leaves_a_gap_with_one_line() -> None:
    def measure(runs: int) -> Iterator[Figure | Gap]:
        yield figure([1.0] * runs)
        raise NotMeasured("it is not installed: apt install it\nsecond line")

    first, gap = Row("row", "a row", measure, runs=2).results(None)
    assert isinstance(first, Figure) and len(first.ours) == 2
    assert gap == Gap("the rest", "it is not installed: apt install it")


def test_a_missing_peer_names_its_package() -> None:
    with pytest.raises(NotMeasured, match="no-such-peer is not installed: apt install some-package"):
        need("no-such-peer", package="some-package")


def test_the_cpu_clock_of_a_process_is_its_own() -> None:
    began = time.process_time()
    assert cpu_seconds(os.getpid()) == pytest.approx(began, abs=0.05)


def test_resident_memory_is_in_megabytes() -> None:
    assert 5 < resident_mb(os.getpid()) < 5_000


def test_the_series_server_has_the_very_series_of_the_peer() -> None:
    text = '# TYPE a_total counter\na_total{x="1"} 2\na_total{x="2"} 3\n# HELP b B.\n# TYPE b gauge\nb 1.5\n'
    body = exposition_of(text).scrape(openmetrics=False, gzip=False).decode()
    assert [line for line in body.splitlines() if not line.startswith("#")] == [
        'a_total{x="1"} 2',
        'a_total{x="2"} 3',
        "b 1.5",
    ]


def benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)


def test_an_unknown_row_is_named_with_the_nearest() -> None:
    done = benchmarks("scrap")
    assert (done.returncode, done.stderr) == (64, "benchmarks: no row is called 'scrap'; did you mean 'scrape'?\n")


def test_wrong_options_are_one_line() -> None:
    done = benchmarks("--runs", "0")
    assert done.returncode == 64
    assert done.stderr.count("\n") == 1 and "--runs" in done.stderr


def test_list_names_every_row() -> None:
    done = benchmarks("--list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "scrape", "rerender", "probes", "memory", "start", "recovery", "verification",
    ]  # fmt: skip
