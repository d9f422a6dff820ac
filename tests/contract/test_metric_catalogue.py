"""The catalogue keeps Prometheus's conventions and has what was promised."""

from __future__ import annotations

import re
import subprocess

import pytest

from exporter.exposition import Exposition
from exporter.metrics import catalogue
from jobs.core.model import Family, MetricType
from jobs.core.registry import all_jobs
from tests.services.binaries import need

FAMILIES = catalogue()

REQUIRED: dict[str, tuple[str, tuple[str, ...]]] = {
    "sutazai_health_score": ("health-check", ()),
    "sutazai_performance_score": ("performance-report", ()),
    "sutazai_security_score": ("security-scan", ()),
    "sutazai_score_deduction_points": ("health-check", ("score", "reason")),
    "sutazai_agent_up": ("agent-monitor", ("agent",)),
    "sutazai_agent_uptime": ("agent-monitor", ()),
    "sutazai_agent_uptime_ratio": ("agent-monitor", ("agent",)),
    "sutazai_agent_restarts_total": ("agent-monitor", ("agent", "result")),
    "sutazai_agent_quarantined": ("agent-monitor", ("agent",)),
    "sutazai_check_up": ("health-check", ("check",)),
    "sutazai_check_duration_seconds": ("health-check", ("check",)),
    "sutazai_backup_success_ratio": ("backup-verification", ()),
    "sutazai_task_last_success_timestamp_seconds": ("", ("task",)),
    "sutazai_task_last_run_timestamp_seconds": ("", ("task",)),
    "sutazai_task_next_run_timestamp_seconds": ("", ("task",)),
    "sutazai_task_running": ("", ("task",)),
    "sutazai_task_runs_total": ("", ("task", "outcome")),
    "sutazai_task_missed_runs_total": ("", ("task",)),
    "sutazai_task_duration_seconds": ("", ("task",)),
    "sutazai_build_info": ("", ("version", "python")),
}
"""Families that every version has, each from the moment that its job exists, with their labels."""

NOT_BASE_UNITS = re.compile(
    r"_(milli|micro|nano)?(seconds?_ago|milliseconds|ms|minutes?|hours?|days?|weeks?|percent|percentage|[kmg]i?b|"
    r"(kilo|mega|giga)bytes|bits)(_|$)"
)

every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: str(family.name))


@every_family
def test_a_name_has_the_prefix_and_base_units(family: Family) -> None:
    assert re.fullmatch(r"sutazai(_[a-z0-9]+)+", family.name)
    assert not NOT_BASE_UNITS.search(family.name)
    assert "timestamp" not in family.name or family.name.endswith("_timestamp_seconds")


def test_no_two_families_have_one_name_in_openmetrics() -> None:
    # There a counter's family is called without its _total: two of one name make a scrape that strict parsers refuse.
    names = [family.name.removesuffix("_total") for family in FAMILIES]
    assert [name for name in names if names.count(name) > 1] == []


@every_family
def test_counters_and_only_counters_end_in_total(family: Family) -> None:
    assert family.name.endswith("_total") == (family.type is MetricType.COUNTER)


@every_family
def test_no_name_is_one_that_a_histogram_makes(family: Family) -> None:
    assert not family.name.endswith(("_bucket", "_sum", "_count", "_created", "_info")) or family.name.endswith(
        "_build_info"
    )


@every_family
def test_a_help_text_is_a_sentence(family: Family) -> None:
    assert re.fullmatch(r"[A-Z0-9].*\.", family.help)
    assert len(family.help) <= 160


@every_family
def test_labels_are_none_that_prometheus_uses_itself(family: Family) -> None:
    assert len(set(family.labels)) == len(family.labels)
    assert not {"job", "instance", "le", "quantile"} & set(family.labels)
    assert [name for name in family.labels if not re.fullmatch(r"[a-z][a-z_]*", name)] == []


@pytest.mark.parametrize("name", REQUIRED)
def test_a_required_family_is_there_with_its_labels(name: str) -> None:
    task, labels = REQUIRED[name]
    found = [family.labels for family in FAMILIES if family.name == name]
    assert found == ([labels] if not task or task in all_jobs() else [])


def test_every_family_of_every_job_is_in_the_catalogue() -> None:
    assert {family for job in all_jobs().values() for family in job.metrics} <= set(FAMILIES)
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_promtool_finds_nothing_to_complain_about() -> None:
    exposition = Exposition(FAMILIES)
    with exposition.changes():
        for family in FAMILIES:
            labels = dict.fromkeys(family.labels, "x")
            if family.type is MetricType.HISTOGRAM:
                exposition.set(family.name, 1, {**labels, "le": "+Inf"}, suffix="_bucket")
                exposition.set(family.name, 1, labels, suffix="_sum")
                exposition.set(family.name, 1, labels, suffix="_count")
            else:
                exposition.set(family.name, 1, labels)
    promtool = need("promtool", package="prometheus")
    run = subprocess.run(
        [promtool, "check", "metrics"], input=exposition.text.plain, capture_output=True, timeout=60, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
