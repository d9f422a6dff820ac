"""Which connections outlive a change of the web configuration."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from exporter.web.web_config import watch
from exporter.web.web_config.watch import ANSWER_SECONDS, WatchedWebConfig
from tests.services.web_pki import users, write_web_config


class Connection:
    """Stands for one of the server's: what it is asked, and what was done to it."""

    def __init__(self, phase: str, since: float, secured_by: Any = None) -> None:
        self.answering_since = since if phase == "answer" else None
        self.secured_by = secured_by
        self.transport = self
        self.done: list[str] = []

    def shutdown(self) -> None:
        self.done.append("shutdown")

    def abort(self) -> None:
        self.done.append("abort")


def test_answers_without_end_are_ended_after_a_change_of_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(watch.time, "monotonic", lambda: now)
    file = write_web_config(tmp_path / "web.yml", users("alice", "bob"))
    watched = WatchedWebConfig(file, wall=time.time)
    stream, quick, idle = Connection("answer", 900), Connection("answer", 1000.5), Connection("idle", 900)
    foreign = Connection("idle", 900, secured_by=object())
    everyone = {stream, quick, idle, foreign}

    watched._end_outdated(everyone)
    assert (stream.done, foreign.done) == ([], ["shutdown"])
    write_web_config(file, users("alice"))
    assert [watched.look(), watched.look()] == [False, True]
    watched._end_outdated(everyone)
    assert stream.done == []  # what is under way may end by itself
    now += ANSWER_SECONDS + 1
    watched._end_outdated(everyone)
    assert (stream.done, quick.done, idle.done) == (["abort"], [], [])


def test_a_change_of_headers_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(watch.time, "monotonic", lambda: now)
    known = users("alice")
    file = write_web_config(tmp_path / "web.yml", known)
    watched = WatchedWebConfig(file)
    stream = Connection("answer", 900)
    write_web_config(file, {**known, "http_server_config": {"headers": {"X-Frame-Options": "deny"}}})
    assert [watched.look(), watched.look()] == [False, True]
    now += ANSWER_SECONDS + 1
    watched._end_outdated({stream})
    assert stream.done == []
