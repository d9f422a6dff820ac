"""The frame of the database maintenance: what its parts amount to, and what is remembered of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.backups.files import BackupFiles
from jobs.core.checks import sample
from jobs.core.model import Family, Finding, MetricType, Request, Severity
from jobs.databases.lasting import Lasting
from jobs.databases.maintenance import maintain
from jobs.databases.part import Part, Share, overall
from jobs.databases.postgres_memory import Rebuilt
from jobs.databases.settings import Settings
from jobs.databases.state import MAX_BYTES, Corrupt, Memory
from tests.services.backup_runs import config_runs

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
GAUGE = Family(name="sutazai_x_bytes", help="X.", labels=("part",))
COUNTER = Family(name="sutazai_x_total", help="X.", labels=("part",), type=MetricType.COUNTER)


def found(severity: Severity) -> Finding:
    return Finding(kind="k", subject="s", severity=severity, message="m")


@pytest.mark.parametrize(
    ("parts", "severities", "expected"),
    [
        ([Part("a")], [], ("HEALTHY", 0)),
        ([Part("a", absent=True)], [Severity.INFO], ("NOT_CONFIGURED", 0)),
        ([Part("a", absent=True)], [Severity.MEDIUM], ("WARNING", 1)),
        ([Part("a"), Part("b", absent=True)], [Severity.LOW], ("HEALTHY", 0)),
        ([Part("a"), Part("b", failed=True)], [], ("DEGRADED", 2)),
        ([Part("a")], [Severity.HIGH, Severity.MEDIUM], ("DEGRADED", 2)),
        ([Part("a", failed=True)], [Severity.CRITICAL], ("CRITICAL", 3)),
    ],
)
def test_the_worst_decides(parts: list[Part], severities: list[Severity], expected: tuple[str, int]) -> None:
    assert overall(parts, [found(severity) for severity in severities]) == expected


class Heard:
    """A Reporter that keeps what it hears."""

    def __init__(self) -> None:
        self.steps: list[float] = []

    def progress(self, done: int, total: int, message: str) -> None:
        self.steps.append(done / total)

    def log(self, level: str, message: str) -> None:
        """Nothing."""


def test_the_progress_of_parts_never_goes_back() -> None:
    heard = Heard()
    for place in range(3):
        for done, total in ((0, 4), (2, 4), (9, 4), (0, 0)) if place == 0 else ((0, 1), (1, 1)):
            Share(heard, place, 3).progress(done, total, "")
    heard.steps.remove(0)
    assert heard.steps[:2] == [pytest.approx(1 / 6, abs=1e-3), pytest.approx(1 / 3, abs=1e-3)]
    assert heard.steps[-1] == 1
    nested = Share(Share(heard, 1, 2), 1, 2)
    nested.progress(1, 2, "")
    assert heard.steps[-1] == pytest.approx(0.875)


def test_backups_that_not_even_can_be_listed_fail_above_their_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(5, "Input/output error", str(tmp_path / "backups"))

    # Stands for a disk that gives nothing back.
    monkeypatch.setattr(BackupFiles, "list", refuse)
    result = maintain(Settings(), config_runs(tmp_path).clients(), Request(task="t", mode="backup"), ())
    failed = [finding for finding in result.findings if "backups failed" in finding.message]
    # What is said of a source has the subject backup/SOURCE, and is not over because nobody could look.
    assert [(found.kind, found.subject, found.severity) for found in failed] == [("failed", "backup", Severity.HIGH)]
    assert "Input/output error" in failed[0].message
    assert result.report is not None and result.report["backup"]["success"] is False


def test_figures_are_kept_by_part_until_there_are_new_ones(tmp_path: Path) -> None:
    old = {"a": (sample(GAUGE, 1, part="a"),), "gone": (sample(GAUGE, 2, part="gone"),)}
    Lasting(tmp_path, [GAUGE]).save(old, NOW)
    lasting = Lasting(tmp_path, [GAUGE])
    assert lasting.merged([Part("a"), Part("b", lasting=(sample(GAUGE, 3, part="b"),))]) == {
        "a": old["a"],
        "b": (sample(GAUGE, 3, part="b"),),
    }
    assert lasting.finding is None


def test_figures_that_no_family_has_any_more_and_counters_are_forgotten(tmp_path: Path) -> None:
    other = Family(name="sutazai_x_bytes", help="X.", labels=("server",))
    samples = (sample(GAUGE, 1, part="a"), sample(COUNTER, 1, part="a"))
    Lasting(tmp_path, [GAUGE]).save({"a": samples}, NOW)
    assert Lasting(tmp_path, [GAUGE, COUNTER]).merged([Part("a")]) == {"a": samples[:1]}
    assert Lasting(tmp_path, [other]).merged([Part("a")]) == {"a": ()}


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"parts": 1}', '{"parts": {"a": 1}}', '{"parts": {"a": [{"family": 1}]}}', "[" * 100_000, "nan"],
)
def test_what_cannot_be_understood_is_told_and_kept_beside(tmp_path: Path, content: str) -> None:
    memory = Memory(tmp_path, "lasting")
    memory.path.parent.mkdir(parents=True)
    memory.path.write_text(content)
    lasting = Lasting(tmp_path, [GAUGE])
    assert lasting.finding
    assert lasting.merged([Part("a")]) == {"a": ()}
    lasting.save({}, NOW)
    assert [path.read_text() for path in memory.path.parent.glob("*.corrupt-*")] == [content]
    assert json.loads(memory.path.read_text())["parts"] == {}


def test_a_link_or_a_device_is_no_memory(tmp_path: Path) -> None:
    memory = Memory(tmp_path, "lasting")
    memory.path.parent.mkdir(parents=True)
    memory.path.symlink_to("/dev/zero")
    assert Lasting(tmp_path, [GAUGE]).finding
    memory.path.unlink()
    memory.path.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(Corrupt, match="longer than"):
        memory.load()


@pytest.mark.parametrize(
    "rows", ['[["a"]]', '[["a","b","c","d","yesterday"]]', '[["a","b","c","d","2026-03-02"]]', "7"]
)
def test_times_of_rebuilding_that_cannot_be_understood_are_told(tmp_path: Path, rows: str) -> None:
    memory = Memory(tmp_path, "reindexed")
    memory.path.parent.mkdir(parents=True)
    memory.path.write_text(f'{{"indexes": {rows}}}')
    rebuilt = Rebuilt(tmp_path)
    assert rebuilt.problem
    assert rebuilt.of("main", "app") == {}
    rebuilt.remember("main", "app", ("public", "i"), NOW, keep_days=30)
    assert Rebuilt(tmp_path).of("main", "app") == {("public", "i"): NOW}
    assert Rebuilt(tmp_path).of("other", "app") == {}
