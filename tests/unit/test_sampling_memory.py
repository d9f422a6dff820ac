"""What sampling remembers: the last counters, and what it does with a file that is too old, foreign or damaged."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.core.agents import report
from jobs.performance import series
from jobs.performance.sampling import families
from jobs.performance.sampling.families import figure_of, sample_of
from jobs.performance.sampling.memory import Memory, remembered
from jobs.performance.sampling.part import Part, Probe, Reading
from jobs.performance.sampling.sampler import merged

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
BOOT = "b00t"
LAST = Reading(1000.0, {"cpu_seconds": {"user": 5.0}})


def saved(base_dir: Path) -> Memory:
    memory = remembered(base_dir, BOOT, 1000.0)
    memory.save({"host": LAST}, {"m": Probe(NOW.timestamp(), 0.2, 50.0)}, {"redis": NOW.timestamp()}, NOW)
    return memory


def test_what_was_saved_is_remembered(tmp_path: Path) -> None:
    saved(tmp_path)
    memory = remembered(tmp_path, BOOT, 1300.0)
    assert memory.reading("host") == LAST
    assert memory.probes == {"m": Probe(NOW.timestamp(), 0.2, 50.0)}
    assert memory.was_seen("redis", NOW + timedelta(hours=47))
    assert not memory.was_seen("redis", NOW + timedelta(hours=49))
    assert not memory.was_seen("ollama", NOW)
    assert memory.finding() is None


@pytest.mark.parametrize(("boot", "now_seconds"), [("other", 1300.0), (BOOT, 4700.0), (BOOT, 1000.5), (BOOT, 900.0)])
def test_counters_of_another_start_or_too_old_or_of_this_moment_are_not_used(
    tmp_path: Path, boot: str, now_seconds: float
) -> None:
    saved(tmp_path)
    assert remembered(tmp_path, boot, now_seconds).reading("host") is None


@pytest.mark.parametrize(("now_seconds", "rest"), [(1000.0, 1.0), (1000.25, 0.75), (1001.0, 0.0), (900.0, 0.0)])
def test_the_next_sample_has_to_wait_until_a_window_has_passed(tmp_path: Path, now_seconds: float, rest: float) -> None:
    assert remembered(tmp_path, BOOT, now_seconds).rest_of_window_seconds() == 0
    saved(tmp_path)
    assert remembered(tmp_path, BOOT, now_seconds).rest_of_window_seconds() == rest
    assert remembered(tmp_path, "other", now_seconds).rest_of_window_seconds() == 0


def test_a_source_that_is_missed_once_keeps_its_last_reading(tmp_path: Path) -> None:
    saved(tmp_path)
    remembered(tmp_path, BOOT, 1300.0).save({"redis": Reading(1300.0, {})}, {}, {}, NOW)
    memory = remembered(tmp_path, BOOT, 1600.0)
    assert memory.reading("host") == LAST
    assert memory.reading("redis") == Reading(1300.0, {})


DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "cut": b'{"version": 1, "boot_id": "b00',
    "a list": b"[]",
    "another version": b'{"version": 2}',
    "text for numbers": json.dumps({"readings": {"host": {"at_seconds": "soon", "counters": {}}}}).encode(),
    "NaN": b'{"readings": {"host": {"at_seconds": NaN, "counters": {}}}}',
    "deep": b"[" * 100_000,
    "not UTF-8": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_said_kept_beside_and_written_anew(tmp_path: Path, content: bytes) -> None:
    path = saved(tmp_path).path
    path.write_bytes(content)
    memory = remembered(tmp_path, BOOT, 1300.0)
    assert memory.reading("host") is None
    told = memory.finding()
    assert told is not None and told.kind == "state_not_read" and "counters.json" in told.message
    memory.save({"host": LAST}, {}, {}, NOW)
    assert [one.read_bytes() for one in path.parent.glob("*.corrupt-*")] == [content]
    assert remembered(tmp_path, BOOT, 1300.0).reading("host") == LAST


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    path = saved(tmp_path).path
    target = path.rename(tmp_path / "elsewhere")
    path.symlink_to(target)
    assert "symbolic link" in remembered(tmp_path, BOOT, 1300.0).not_read


def test_old_probes_and_many_models_are_forgotten(tmp_path: Path) -> None:
    probes = {f"m{number}": Probe(NOW.timestamp() - number) for number in range(3000)}
    remembered(tmp_path, BOOT, 1.0).save({}, {**probes, "old": Probe(NOW.timestamp() - 1e6)}, {}, NOW)
    kept = remembered(tmp_path, BOOT, 2.0).probes
    assert len(kept) == 1000 and "m0" in kept and "old" not in kept


# --- what comes of parts ---


def test_parts_are_put_together() -> None:
    one = Part(
        (figure_of(series.CPU, 0.5),), sections={"system_metrics": {"a": 1, "disks": {"/": {"used_ratio": 0.1}}}}
    )
    other = Part((figure_of(series.SWAP, 0.1),), sections={"system_metrics": {"disks": {"/x": {"used_ratio": 0.2}}}})
    whole = merged([one, other])
    assert whole.sections["system_metrics"] == {"a": 1, "disks": {"/": {"used_ratio": 0.1}, "/x": {"used_ratio": 0.2}}}
    assert whole.sections["ollama_metrics"] == {}
    assert [s.family for s in whole.samples] == ["sutazai_host_cpu_used_ratio", "sutazai_host_swap_used_ratio"]


def test_two_names_that_look_alike_are_one_series() -> None:
    figures = tuple(figure_of(series.MODEL_BYTES, value, name) for value, name in ((1, "a\x00"), (2, "a\x01")))
    assert [(f.labels, f.value) for f in merged([Part(figures)]).figures] == [(("a\ufffd",), 1)]


@pytest.mark.parametrize("name", ["a\nb", "\ud800", "x" * 10_000, '<b>"\\', "\u202e", "ünï"])
def test_labels_are_printable_bounded_and_fit_for_metrics_and_the_history(name: str) -> None:
    figure = figure_of(series.CONTAINER_CPU, 1.0, name)
    [label] = figure.labels
    assert label.isprintable() and len(label) <= 128
    made = sample_of(figure)
    assert made is not None and made.labels == {"container": label}
    assert series.CONTAINER_CPU.labels(series.CONTAINER_CPU.series(label)) == (label,)


def test_what_others_export_is_not_exported_twice() -> None:
    for kind in (series.LOAD, series.MEMORY, series.DISK, series.POSTGRES_SIZE, series.REDIS_MEMORY):
        assert sample_of(figure_of(kind, 1.0, *("x" for _ in kind.parts))) is None
    names = [family.name for family in families.FAMILIES]
    assert len(names) == len(set(names))


def test_the_agent_monitor_records_under_the_names_that_the_report_looks_for() -> None:
    for name in ("a", "sutazai-agent.1_x"):
        assert report.RESPONSE_SERIES + name == series.AGENT_RESPONSE.series(name)
        assert report.FAILED_SERIES + name == series.AGENT_ERRORS.series(name)


def test_a_reading_is_json(tmp_path: Path) -> None:
    document: dict[str, Any] = json.loads(saved(tmp_path).path.read_text())
    assert document["readings"]["host"] == {"at_seconds": 1000.0, "counters": {"cpu_seconds": {"user": 5.0}}}
