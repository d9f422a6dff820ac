"""What the daemon says of itself in the file of its lock."""

from __future__ import annotations

from pathlib import Path

from exporter import self_report
from exporter.locks import FileLock, holder_of
from exporter.metrics import STORE_UP, Metrics


def test_everything_that_can_be_wrong_gets_through_the_lock(tmp_path: Path) -> None:
    ill, seen = Metrics(100), Metrics(100)
    for family in self_report.FIGURES.values():
        ill.set(family, 0)
    lock = FileLock(tmp_path / "lock", "")
    lock.say(self_report.line(2**22, self_report.wrong(ill.exposition)))
    self_report.show(holder_of(tmp_path / "lock"), seen.exposition)
    lock.release()
    assert self_report.wrong(seen.exposition) == list(self_report.FIGURES)


def test_any_other_line_says_that_nothing_is_wrong() -> None:
    for said in ("", "pid 1", "pid 1; wrong: ", "pid 1; wrong: money, \x00", self_report.line(1)):
        metrics = Metrics(100)
        metrics.set(STORE_UP, 1)
        self_report.show(said, metrics.exposition)
        assert self_report.wrong(metrics.exposition) == []
