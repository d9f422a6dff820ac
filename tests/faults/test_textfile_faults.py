"""A malformed file beside ours in node_exporter's directory: ours is read all the same, and the fault is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.services.node_exporter import NodeExporter
from tests.services.prometheus import Prometheus, scraping
from tests.services.short_rules import shortened_rules

BROKEN = 'half_written{kind="a"} 1\nhalf_writ'


def test_a_malformed_textfile_beside_ours_is_told_and_costs_us_nothing(
    run_cli: Callable[..., Any],
    node_exporter: Callable[..., NodeExporter],
    prometheus_factory: Callable[..., Prometheus],
    tmp_path: Path,
) -> None:
    directory = tmp_path / "textfiles"
    directory.mkdir()
    broken = directory / "another.prom"
    broken.write_text(BROKEN)
    ran = run_cli("run", "health-check", config={"textfile": {"directory": str(directory)}})
    assert ran.returncode in (0, 1, 2, 3), ran

    exporter = node_exporter(directory)
    metrics = exporter.metrics()
    assert metrics.value("node_textfile_scrape_error") == 1
    assert metrics.value("sutazai_task_runs_total", task="health-check", outcome="ok") == 1
    assert broken.read_text() == BROKEN
    prometheus = prometheus_factory(scraping({"node": exporter.port}), rules=shortened_rules(tmp_path))
    assert prometheus.wait_alert("TextfileUnreadable")["labels"]["severity"] == "warning"

    broken.unlink()
    prometheus.wait_no_alert("TextfileUnreadable")
    assert exporter.metrics().value("sutazai_health_score") >= 0
