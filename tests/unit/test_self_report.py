"""What the daemon says of itself in the file of its lock."""

from __future__ import annotations

from pathlib import Path

import pytest

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


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.7", "[::1]", "[fe80::1%eth0]"])
def test_where_the_daemon_is_gets_through_the_lock(host: str) -> None:
    url = f"https://{host}:10042"
    assert self_report.where(self_report.line(4711, ["reload", "audit"], url)) == self_report.Where(4711, url)
    assert self_report.where(self_report.line(4711, ["reload"])) == self_report.Where(4711, "")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://127.0.0.1:0",
            "http://127.0.0.1:65536",
            "http://127.0.0.1",
            "http://x:y",
            "http://[::1",
            "http://[:::]:1",
        ),
        *("http://999.0.0.1:1", "http://a@127.0.0.1:1", "http://elsewhere.example:80", "http://127.0.0.1:1/x?"),
        *("http://[fe80::1%a/b]:1", "ftp://127.0.0.1:1"),
    ],
)
def test_what_somebody_else_wrote_leads_a_command_nowhere(url: str) -> None:
    assert self_report.where(self_report.line(4711, [], url)) is None
