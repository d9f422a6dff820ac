"""Judgement of the log rotation: names, limits, containers, memory and settings, without a file system's help."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jobs.clients.open_files import DeletedFile, OpenFiles
from jobs.core.clock_jump import ClockMark
from jobs.core.model import Severity
from jobs.log_rotation import JOB
from jobs.logs import judge
from jobs.logs.archives import safe_stem, stem_of
from jobs.logs.containers import parse_log_options
from jobs.logs.figures import growth, measured_from, skipped_samples
from jobs.logs.memory import Memory, Pending, State
from jobs.logs.scan import moved_from, protected
from jobs.logs.settings import LogDirectory, Settings
from jobs.logs.words import REASONS
from tests.services.exporter_daemon import REPOSITORY

OWN = Path("/opt/sutazaiapp/logs")


# --- names ---


@pytest.mark.parametrize(
    ("directory", "name", "stem"),
    [
        ("/opt/sutazaiapp/logs", "app.log", "app"),
        ("/opt/sutazaiapp/logs", "app.out", "app.out"),
        ("/opt/sutazaiapp/logs/inner", "app.log", "inner-app"),
        ("/var/log/my app", "app.log", "var-log-my_app-app"),
        ("/opt/sutazaiapp/logs", ".log", "log"),
    ],
)
def test_the_name_of_an_archive_tells_where_its_log_was(directory: str, name: str, stem: str) -> None:
    assert stem_of(Path(directory), name, OWN) == stem


@pytest.mark.parametrize("name", ["docker-../../etc/cron.d/x", "a\nb", "\x1b[31m", "..", "ä" * 50, "x" * 5000])
def test_no_name_leads_an_archive_elsewhere(name: str) -> None:
    stem = safe_stem(name)
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}", stem)


def test_long_names_that_differ_stay_different() -> None:
    assert safe_stem("a" + "x" * 300) != safe_stem("b" + "x" * 300)


@pytest.mark.parametrize(
    ("name", "original"),
    [("app.log.rotated_20260302_120000", "app.log"), ("app.log.rotated_20260302_120000_2", "app.log"), ("app.log", "")],
)
def test_a_log_that_was_moved_aside_is_known_by_its_name(name: str, original: str) -> None:
    assert moved_from(name) == original


@pytest.mark.parametrize("name", ["app.log", "report.log", "health_check.log", "app_20260101_000000.log", "access.out"])
def test_logs_of_services_are_not_protected(name: str) -> None:
    assert not protected(name)


# --- containers ---


def inspection(config: Any, path: Any = "/d/containers/x/x-json.log", driver: Any = "json-file") -> dict[str, Any]:
    return {"LogPath": path, "HostConfig": {"LogConfig": {"Type": driver, "Config": config}}}


@pytest.mark.parametrize(
    ("config", "limited"),
    [
        ({}, False),
        (None, False),
        ({"max-size": "10m"}, True),
        ({"max-size": "1g", "max-file": "3"}, True),
        ({"max-size": "-1"}, False),
        ({"max-size": "0"}, False),
        ({"max-file": "3"}, False),
        ({"max-size": 5}, False),
    ],
)
def test_a_container_has_a_limit_if_its_size_has_one(config: Any, limited: bool) -> None:
    assert parse_log_options(inspection(config)).limited is limited


@pytest.mark.parametrize(
    "raw", [{}, {"HostConfig": None}, {"HostConfig": {"LogConfig": 3}}, inspection([1]), inspection({}, path=5)]
)
def test_what_an_engine_should_not_say_is_no_log(raw: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"its log|log options"):
        parse_log_options(raw)


# --- growth, clocks ---


def at(seconds: float, boot: str = "a", wall: float | None = None) -> ClockMark:
    reads = datetime.fromtimestamp(seconds if wall is None else wall, UTC)
    return ClockMark(wall=reads, since_boot_seconds=seconds, boot_id=boot)


def test_growth_is_bytes_a_second_and_never_negative() -> None:
    state = State(sizes={"a": 100, "b": 100, "gone": 1}, sizes_at=at(0))
    assert growth(state, {"a": 700, "b": 50, "new": 5}, at(100)) == {"a": 6.0, "b": 0.0}


def test_what_came_in_too_short_a_time_is_measured_by_the_next_run() -> None:
    state = State(sizes={"a": 100}, sizes_at=at(0))
    sizes, since = measured_from(state, {"a": 700, "new": 5}, {"a": 200, "new": 5}, at(10))
    assert (sizes, since) == ({"a": -400}, at(0))
    assert growth(State(sizes=sizes, sizes_at=since), {"a": 200}, at(100)) == {"a": 6.0}
    assert measured_from(state, {"a": 700}, {"a": 200}, at(100)) == ({"a": 200}, at(100))


def test_too_short_a_time_says_nothing_new_of_growth() -> None:
    state = State(sizes={"a": 100}, sizes_at=at(0), growth={"a": 3.0, "gone": 1.0})
    assert growth(state, {"a": 700}, at(10)) == {"a": 3.0}
    assert growth(State(), {"a": 700}, at(10)) == {}


def test_runs_close_together_lose_no_growth() -> None:
    state = State(sizes={"a": 100, "unseen": 7}, sizes_at=at(0))
    for second, before, after in ((30, 400, 40), (55, 340, 340), (90, 640, 640)):
        sizes, since = measured_from(state, {"a": before}, {"a": after}, at(second))
        state = State(sizes=sizes, sizes_at=since, growth=growth(state, {"a": before}, at(second)))
    # 300 until it was rotated, then 300 and 300 again.
    assert (state.growth, state.sizes, state.sizes_at) == ({"a": 10.0}, {"a": 640}, at(90))


def test_what_was_measured_under_another_clock_is_not_kept() -> None:
    ahead = State(sizes={"a": 100}, sizes_at=at(500, boot="a", wall=90_000))
    assert measured_from(ahead, {"a": 5}, {"a": 5}, at(10, boot="b")) == ({"a": 5}, at(10, boot="b"))
    assert measured_from(State(), {}, {"a": 5}, at(10)) == ({"a": 5}, at(10))


def test_a_clock_that_was_set_is_told_from_time_that_passed() -> None:
    assert at(100, wall=90_000).seconds_since(at(0, wall=0)) == 100
    assert at(100, wall=90_000, boot="b").seconds_since(at(0, wall=0)) == 90_000


# --- memory ---


def test_what_is_put_down_is_read_back(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    assert (memory.pending(), memory.state()) == (None, State())
    pending = Pending("cut", "/var/log/\udce9", ("a\udcff.log",), 7, 4096, "a.log.gz", 12345, "  \n")
    memory.remember(pending)
    state = State({"missing": 1}, "2026-01-01", {"/a": 3}, at(6), {"/a": 0.5})
    memory.save(state)
    assert (memory.pending(), memory.state()) == (pending, state)
    memory.settle()
    assert memory.pending() is None
    memory.settle()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"kind": "cut", "names": 3}', '{"sizes": {"a": "x"}}', "[" * 100_000]
)
def test_a_memory_that_cannot_be_understood_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    memory = Memory(tmp_path)
    for name in ("pending.json", "state.json"):
        path = tmp_path / "data" / "log-rotation" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert (memory.pending(), memory.state()) == (None, State())


# --- findings ---


def test_small_deleted_files_are_no_finding_and_unseen_processes_are_told() -> None:
    found = OpenFiles(deleted={(1, 2): DeletedFile("/tmp/x", 5, 9, "app")}, unseen=3)
    (finding,) = judge.of_open_files(found, 100)
    assert (finding.kind, finding.severity) == ("processes_unseen", Severity.INFO)
    assert [f.kind for f in judge.of_open_files(OpenFiles(deleted=found.deleted), 5)] == ["deleted_held_open"]


@pytest.mark.parametrize(("seconds", "kinds"), [(None, []), (86400.0, []), (86399.0, ["disk_full_soon"])])
def test_a_disk_that_lasts_is_no_finding(seconds: float | None, kinds: list[str]) -> None:
    assert [finding.kind for finding in judge.of_disk("/", seconds, 24)] == kinds


def test_every_reason_has_its_series() -> None:
    samples = {sample.labels["reason"]: sample.value for sample in skipped_samples({"missing": 2})}
    assert samples.keys() == set(REASONS)
    assert samples["missing"] == 2


def test_the_rules_name_reasons_that_there_are() -> None:
    rules = (REPOSITORY / "alert_rules" / "sutazai-logs.rules.yml").read_text()
    named = {word for group in re.findall(r'reason[=!]~"([^"]+)"', rules) for word in group.split("|")}
    assert named
    assert named <= set(REASONS)


def test_every_reason_is_explained_in_a_runbook() -> None:
    pages = "".join(
        (REPOSITORY / "docs" / "runbooks" / f"{name}.md").read_text()
        for name in ("LogFilesSkipped", "LogArchivingFails")
    )
    assert [reason for reason in REASONS if f"`{reason}`" not in pages] == []


# --- settings, schedule ---


@pytest.mark.parametrize("pattern", ["", "../*.log", "/x"])
def test_a_pattern_is_for_names(pattern: str) -> None:
    with pytest.raises(ValidationError, match="matched against file names"):
        LogDirectory(directory=Path("logs"), patterns=(pattern,))


def test_a_directory_stands_once() -> None:
    entry = LogDirectory(directory=Path("logs"))
    with pytest.raises(ValidationError, match="logs stands here twice"):
        Settings(directories=(entry, entry))


def test_it_looks_every_hour_and_rotates_at_two() -> None:
    assert [str(cadence) for cadence in JOB.cadences] == ["every 60 minutes: watch", "daily at 02:00: standard"]
    now = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
    assert [c.next_time(now).isoformat() for c in JOB.cadences] == [
        "2026-03-02T13:00:00+00:00",
        "2026-03-03T02:00:00+00:00",
    ]
    assert JOB.modes[0] == "standard"
