"""Making the bodies anew after one family has changed, beside prometheus_client's `generate_latest`."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from benchmarks.harness import Figure, Gap, Row, in_turns, ratio_at_most
from exporter.exposition import Exposition
from jobs.core.model import Family

SIZES = (300, 3_000, 30_000)
FAMILIES = 10
_LABELS = ("agent", "check")


def measure(runs: int) -> Iterator[Figure | Gap]:
    """Ours makes text and OpenMetrics, each plain and gzip; the peer makes text only, with gzip where it says so."""
    for series in SIZES:
        rounds = max(3, 30_000 // series // 4)
        sides = {"ours": _ours(series), "peer": _peer(series), "peer gzip": _peer(series, gzip.compress)}
        times = in_turns({name: _timed(change, rounds) for name, change in sides.items()}, runs)
        goal = ratio_at_most(1 / 10) if series == max(SIZES) else None
        what = f"{series:,} series, a tenth of them changed"
        yield Figure(what, "ms", times["ours"], times["peer"], "generate_latest", goal)
        yield Figure(what, "ms", times["ours"], times["peer gzip"], "generate_latest + its gzip")


def _timed(change: Callable[[float], object], rounds: int) -> Callable[[], float]:
    """Milliseconds of one change, the mean of `rounds`; each sets values that were not there before."""
    last = 0.0

    def measured() -> float:
        nonlocal last
        began = time.perf_counter()
        for _ in range(rounds):
            last += 0.5
            change(last)
        return (time.perf_counter() - began) / rounds * 1e3

    return measured


def _labels(series: int) -> list[dict[str, str]]:
    return [{"agent": f"sutazai-agent-{i}", "check": f"http://127.0.0.1:{i}"} for i in range(series // FAMILIES)]


def _ours(series: int) -> Callable[[float], object]:
    families = [Family(name=f"sutazai_figure_{i}_seconds", help="A figure.", labels=_LABELS) for i in range(FAMILIES)]
    exposition, labels = Exposition(families), _labels(series)
    with exposition.changes():
        for family in families:
            exposition.replace(family.name, [(pairs, 0.25) for pairs in labels])

    def change(value: float) -> int:
        return exposition.replace(families[0].name, [(pairs, value + i) for i, pairs in enumerate(labels)])

    return change


def _peer(series: int, compress: Callable[[bytes], bytes] = bytes) -> Callable[[float], object]:
    registry, labels = CollectorRegistry(), _labels(series)
    gauges = [Gauge(f"sutazai_figure_{i}_seconds", "A figure.", _LABELS, registry=registry) for i in range(FAMILIES)]
    children = [[gauge.labels(**pairs) for pairs in labels] for gauge in gauges]
    for gauge in children:
        for child in gauge:
            child.set(0.25)

    def change(value: float) -> bytes:
        for i, child in enumerate(children[0]):
            child.set(value + i)
        return compress(generate_latest(registry))

    return change


ROW = Row("rerender", "the bodies made anew after one of ten families has changed", measure)
