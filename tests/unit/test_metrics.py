"""What records of runs become on /metrics, and when it is taken back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from exporter.metrics import Metrics, catalogue, counters_of, missed_counter
from exporter.record import Record
from exporter.replay import replayed_metrics
from exporter.store import Store
from jobs.core.cadence import Cadence
from jobs.core.model import Outcome, Request, Result, Sample
from tests.services.metrics import Metrics as Scraped
from tests.services.trial_jobs import TASK, TrialPackage, configuration_of, work

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def trial(tmp_path: Path) -> Iterator[TrialPackage]:
    package = TrialPackage(tmp_path / "package")
    with package.in_process():
        yield package


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(max_series_per_family=100)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "base" / "data" / "sutazai.db")
    yield opened
    opened.close()


def scrape(metrics: Metrics) -> Scraped:
    return Scraped(metrics.exposition.scrape(openmetrics=False, gzip=False).decode())


def gauge(thing: str, number: float = 1) -> Sample:
    return Sample(family="sutazai_trial_value", value=number, labels={"thing": thing})


def counter(thing: str, number: float) -> Sample:
    return Sample(family="sutazai_trial_things_total", value=number, labels={"thing": thing})


def record(
    *samples: Sample, at: datetime = NOON, outcome: Outcome = Outcome.OK, target: str = "", **result: Any
) -> Record:
    return Record(
        run_id=1,
        request=Request(task=TASK, target=target),
        outcome=outcome,
        started=at,
        finished=at + timedelta(seconds=2),
        duration_seconds=2,
        result=Result(status="X", samples=samples, **result) if outcome is Outcome.OK else None,
    )


def things(metrics: Metrics) -> dict[str, float]:
    return {sample.labels["thing"]: sample.value for sample in scrape(metrics).samples("sutazai_trial_value")}


# From the beginning


def test_counters_are_there_before_anything_has_happened(metrics: Metrics) -> None:
    metrics.counters({})
    scraped = scrape(metrics)
    runs = scraped.samples("sutazai_task_runs_total", task=TASK)
    assert {sample.labels["outcome"]: sample.value for sample in runs} == {outcome.value: 0 for outcome in Outcome}
    assert scraped.value("sutazai_task_missed_runs_total", task=TASK) == 0
    assert scraped.value("sutazai_task_duration_seconds_count", task=TASK) == 0
    assert scraped.value("sutazai_task_running", task=TASK) == 0
    assert scraped.value("sutazai_build_info") == 1
    assert "sutazai_task_last_success_timestamp_seconds" not in scraped
    assert "sutazai_trial_value" not in scraped


def test_the_catalogue_has_each_family_once_with_help_and_a_proper_name() -> None:
    families = catalogue()
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.name.startswith("sutazai_")
        assert family.help.endswith(".")
        assert (family.type == "counter") == family.name.endswith("_total")
        assert "job" not in family.labels


def test_two_jobs_that_declare_a_family_differently_are_a_mistake(trial: TrialPackage) -> None:
    file = trial.add("other-work")
    file.write_text(file.read_text().replace("A value.", "Another value."))
    trial._forget()
    with pytest.raises(ValueError, match=r"jobs/trial_work\.py declares sutazai_trial_value differently"):
        catalogue()


# Records


def test_a_record_shows_when_how_long_and_how(metrics: Metrics, store: Store) -> None:
    for outcome in (Outcome.OK, Outcome.ERROR, Outcome.OK):
        entered = record(outcome=outcome).model_copy(update={"run_id": store.begin_run(Request(task=TASK), NOON, 1)})
        store.finish_run(entered, counters_of(entered), NOON)
        metrics.counters(store.counters())
        metrics.record(entered, 60)
    scraped = scrape(metrics)
    assert scraped.value("sutazai_task_last_run_timestamp_seconds", task=TASK) == NOON.timestamp()
    assert scraped.value("sutazai_task_last_success_timestamp_seconds", task=TASK) == NOON.timestamp() + 2
    assert scraped.value("sutazai_task_runs_total", task=TASK, outcome="ok") == 2
    assert scraped.value("sutazai_task_runs_total", task=TASK, outcome="error") == 1
    assert scraped.value("sutazai_task_duration_seconds_sum", task=TASK) == 6
    buckets = scraped.samples("sutazai_task_duration_seconds_bucket", task=TASK)
    assert [(s.labels["le"], s.value) for s in buckets][3:6] == [("1.0", 0), ("2.5", 3), ("5.0", 3)]
    counts = [sample.value for sample in buckets]
    assert counts == sorted(counts)
    assert counts[-1] == scraped.value("sutazai_task_duration_seconds_count", task=TASK) == 3


def test_a_skipped_run_changes_nothing_but_its_counter(metrics: Metrics) -> None:
    metrics.record(record(gauge("a")), 60)
    before = metrics.exposition.text
    metrics.record(record(outcome=Outcome.SKIPPED, at=NOON + HOUR), 60)
    assert metrics.exposition.text == before
    assert list(counters_of(record(outcome=Outcome.SKIPPED))) == [
        ("sutazai_task_runs_total", (("outcome", "skipped"), ("task", TASK)))
    ]


def test_what_a_run_did_not_see_again_is_gone(metrics: Metrics) -> None:
    metrics.record(record(gauge("a"), gauge("b")), 60)
    metrics.record(record(gauge("b", 2)), 60)
    assert things(metrics) == {"b": 2}


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.TIMEOUT])
def test_a_run_that_did_not_work_leaves_no_gauge_behind(metrics: Metrics, outcome: Outcome) -> None:
    metrics.record(record(gauge("a"), Sample(family="sutazai_trial_score", value=90)), 60)
    metrics.record(record(outcome=outcome, at=NOON + HOUR), 60)
    assert things(metrics) == {}
    scraped = scrape(metrics)
    assert "sutazai_trial_score" not in scraped
    assert scraped.value("sutazai_task_last_success_timestamp_seconds", task=TASK) == NOON.timestamp() + 2


def test_a_run_that_was_stopped_says_nothing_and_what_stands_there_grows_old(metrics: Metrics) -> None:
    metrics.record(record(gauge("a")), stale_after_seconds=600)
    metrics.record(record(outcome=Outcome.STOPPED, at=NOON + timedelta(minutes=5)), 600)
    assert things(metrics) == {"a": 1}
    assert metrics.expire(NOON + timedelta(seconds=602)) == []
    assert metrics.expire(NOON + timedelta(seconds=603)) == [TASK]
    assert things(metrics) == {}


def test_a_run_of_one_target_replaces_that_targets_series_only(metrics: Metrics) -> None:
    metrics.record(record(gauge("a"), gauge("b"), Sample(family="sutazai_trial_score", value=90)), 60)
    metrics.record(record(gauge("a", 5), target="a", scope={"thing": "a"}), 60)
    assert things(metrics) == {"a": 5, "b": 1}
    metrics.record(record(target="a", scope={"thing": "a"}), 60)
    assert things(metrics) == {"b": 1}
    assert scrape(metrics).value("sutazai_trial_score") == 90
    metrics.record(record(outcome=Outcome.ERROR, target="b"), 60)
    assert things(metrics) == {"b": 1}


def test_gauges_expire_and_a_run_of_one_target_does_not_keep_the_others(metrics: Metrics) -> None:
    metrics.record(record(gauge("a"), gauge("b")), stale_after_seconds=600)
    metrics.record(record(gauge("a"), at=NOON + timedelta(minutes=9), target="a", scope={"thing": "a"}), 600)
    assert metrics.expire(NOON + timedelta(seconds=602)) == []
    assert metrics.expire(NOON + timedelta(seconds=603)) == [TASK]
    assert things(metrics) == {}
    assert metrics.expire(NOON + timedelta(days=9)) == []
    scraped = scrape(metrics)
    assert scraped.value("sutazai_task_last_run_timestamp_seconds", task=TASK) > 0


def test_without_a_schedule_results_do_not_expire(metrics: Metrics) -> None:
    metrics.record(record(gauge("a")), float("inf"))
    assert metrics.expire(NOON + timedelta(days=999)) == []


def test_counters_of_jobs_are_totals_over_all_runs(metrics: Metrics, store: Store) -> None:
    for number in (2, 0, 3):
        entered = record(counter("a", number)).model_copy(
            update={"run_id": store.begin_run(Request(task=TASK), NOON, 1)}
        )
        store.finish_run(entered, counters_of(entered), NOON)
        metrics.counters(store.counters())
        metrics.record(entered, 60)
    assert scrape(metrics).value("sutazai_trial_things_total", thing="a") == 5


def test_ten_thousand_names_are_capped_and_counted(metrics: Metrics) -> None:
    metrics.record(record(*(gauge(f"container-{n}") for n in range(10_000))), 60)
    assert len(things(metrics)) == 100
    assert scrape(metrics).value("sutazai_dropped_series", family="sutazai_trial_value") == 9_900
    metrics.record(record(gauge("a")), 60)
    assert scrape(metrics).value("sutazai_dropped_series", family="sutazai_trial_value") == 0


# Plans


def test_a_plan_says_when_how_often_and_how_long(metrics: Metrics) -> None:
    metrics.plan(TASK, [Cadence.parse("daily at 18:00"), Cadence.parse("saturday at 23:00")], 600, NOON)
    scraped = scrape(metrics)
    assert scraped.value("sutazai_task_next_run_timestamp_seconds", task=TASK) == (NOON + 6 * HOUR).timestamp()
    assert scraped.value("sutazai_task_interval_seconds", task=TASK) == 86400
    assert scraped.value("sutazai_task_max_run_seconds", task=TASK) == 600
    metrics.plan(TASK, [], 600, NOON)
    assert "sutazai_task_next_run_timestamp_seconds" not in scrape(metrics)


def test_a_run_under_way_shows_since_when_and_goes(metrics: Metrics) -> None:
    metrics.running(TASK, NOON)
    scraped = scrape(metrics)
    assert scraped.value("sutazai_task_running", task=TASK) == 1
    assert scraped.value("sutazai_task_started_timestamp_seconds", task=TASK) == NOON.timestamp()
    metrics.running(TASK, None)
    scraped = scrape(metrics)
    assert scraped.value("sutazai_task_running", task=TASK) == 0
    assert "sutazai_task_started_timestamp_seconds" not in scraped


def test_missed_slots_count(metrics: Metrics, store: Store) -> None:
    store.note_missed(TASK, "c", ("a", "b"), 3, NOON, missed_counter(TASK, 3))
    metrics.counters(store.counters())
    assert scrape(metrics).value("sutazai_task_missed_runs_total", task=TASK) == 3


# Told again


def test_the_ledger_told_again_shows_the_same(tmp_path: Path, store: Store) -> None:
    configuration = configuration_of(tmp_path / "base", work(task={"schedule": ["every 5 minutes"]}))
    for entered in (
        record(gauge("a"), gauge("b"), counter("a", 2)),
        record(gauge("a", 7), counter("a", 0), target="a", scope={"thing": "a"}, at=NOON + timedelta(minutes=1)),
        record(outcome=Outcome.SKIPPED, at=NOON + timedelta(minutes=2)),
    ):
        run_id = store.begin_run(entered.request, entered.started, os.getpid())
        store.finish_run(entered.model_copy(update={"run_id": run_id}), counters_of(entered), NOON)
    metrics = replayed_metrics(configuration, store, NOON + timedelta(minutes=3))
    assert things(metrics) == {"a": 7, "b": 1}
    scraped = scrape(metrics)
    assert scraped.value("sutazai_task_runs_total", task=TASK, outcome="ok") == 2
    assert scraped.value("sutazai_trial_things_total", thing="a") == 2
    # What was measured too long ago is not told as if it were true; when it was measured is.
    late = replayed_metrics(configuration, store, NOON + timedelta(days=1))
    assert things(late) == {}
    assert scrape(late).value("sutazai_task_last_success_timestamp_seconds", task=TASK) > 0
