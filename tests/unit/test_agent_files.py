"""The agent monitor's files: strict reading, locks, evidence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.agents.files import AgentFiles, CorruptState
from jobs.core.agents.record import AgentRecord, Attempt, Verdict, render_record
from jobs.core.agents.state import State, Stop

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FULL = AgentRecord(
    agent_name="agent-1",
    port=8001,
    consecutive_failures=2,
    last_successful_check=NOW,
    last_restart=NOW,
    restarts_in_hour=(NOW,),
    total_restarts=9,
    status=State.QUARANTINED,
    quarantined_since=NOW,
    quarantine_reason="3 restarts",
    verdict=Verdict(container_id="a" * 64, finished="2026-03-02T12:00:00.123456789Z", stop=Stop.CRASH),
    attempt=Attempt(container_id="a" * 64, began=NOW, ended=NOW),
)


@pytest.fixture
def files(tmp_path: Path) -> AgentFiles:
    return AgentFiles(tmp_path)


def test_a_record_comes_back_as_it_was_saved(files: AgentFiles) -> None:
    files.save(FULL)
    assert files.load("agent-1") == FULL
    assert files.names() == ["agent-1"]


def test_the_file_has_the_shape_that_the_guide_promises(files: AgentFiles) -> None:
    files.save(FULL)
    kept = json.loads((files.directory / "agent-1.json").read_text())
    assert list(kept)[:8] == [
        "agent_name", "port", "consecutive_failures", "last_successful_check", "last_restart",
        "restarts_in_hour", "total_restarts", "status",
    ]  # fmt: skip


def test_a_file_of_the_original_script_is_understood(files: AgentFiles) -> None:
    files.directory.mkdir(parents=True)
    old = {
        "agent_name": "a",
        "port": 8001,
        "consecutive_failures": 0,
        "last_successful_check": None,
        "last_restart": None,
        "restarts_in_hour": [],
        "total_restarts": 4,
        "status": "healthy",
        "unknown": 1,
    }
    (files.directory / "a.json").write_text(json.dumps(old))
    record = files.load("a")
    assert record is not None
    assert record.total_restarts == 4


def test_what_was_never_saved_is_nothing(files: AgentFiles) -> None:
    assert files.load("agent-1") is None
    assert files.names() == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b"{}",
        render_record(FULL)[:100],
        render_record(FULL).replace(b"agent-1", b"agent-2"),
        render_record(FULL).replace(b"8001", b'"8001"'),
        render_record(FULL).replace(b"8001", b"80010"),
        render_record(FULL).replace(b"8001", b"true"),
        render_record(FULL).replace(b'"consecutive_failures": 2', b'"consecutive_failures": -1'),
        render_record(FULL).replace(b'"consecutive_failures": 2', b'"consecutive_failures": NaN'),
        render_record(FULL).replace(b'"consecutive_failures": 2', b'"consecutive_failures": 1e999'),
        render_record(FULL).replace(b'quarantined"', b'fine"'),
        render_record(FULL).replace(b"2026-03-02T12:00:00Z", b"2026-03-02T12:00:00"),
        render_record(FULL) + b" " * 70000,
        b"[" * 60000,
        b'{"agent_name": "agent-1", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_what_is_not_a_state_is_refused_and_set_aside(files: AgentFiles, content: bytes) -> None:
    files.directory.mkdir(parents=True)
    path = files.directory / "agent-1.json"
    path.write_bytes(content)
    with pytest.raises(CorruptState) as refused:
        files.load("agent-1")
    assert str(refused.value).isprintable()
    aside = files.set_aside("agent-1", NOW)
    assert aside.name == "agent-1.json.corrupt-20260302_120000"
    assert aside.read_bytes() == content
    assert not path.exists()
    assert files.names() == []


def test_setting_aside_replaces_nothing(files: AgentFiles) -> None:
    files.directory.mkdir(parents=True)
    for content in (b"1", b"2", b"3"):
        (files.directory / "a.json").write_bytes(content)
        files.set_aside("a", NOW)
    assert sorted(p.read_bytes() for p in files.directory.iterdir()) == [b"1", b"2", b"3"]


def test_links_directories_and_pipes_are_not_followed_or_waited_for(files: AgentFiles, tmp_path: Path) -> None:
    files.directory.mkdir(parents=True)
    (tmp_path / "elsewhere").write_bytes(render_record(FULL))
    (files.directory / "agent-1.json").symlink_to(tmp_path / "elsewhere")
    (files.directory / "dir.json").mkdir()
    os.mkfifo(files.directory / "pipe.json")
    for name in ("agent-1", "dir", "pipe"):
        with pytest.raises(CorruptState):
            files.load(name)
        files.set_aside(name, NOW)
    assert (tmp_path / "elsewhere").read_bytes() == render_record(FULL)


def test_only_one_process_holds_an_agents_lock_and_its_death_frees_it(files: AgentFiles) -> None:
    program = (
        "import sys, pathlib; from jobs.agents.files import AgentFiles\n"
        "with AgentFiles(pathlib.Path(sys.argv[1])).lock('a') as mine:\n"
        "    print(mine, flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(files.directory.parent.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "True\n"
    with files.lock("a") as mine, files.lock("b") as another:
        assert (mine, another) == (False, True)
    other.kill()
    other.communicate()
    with files.lock("a") as mine:
        assert mine


def test_evidence_is_private_and_the_newest_are_kept(files: AgentFiles) -> None:
    for second in range(5):
        written = files.save_evidence("a", NOW + timedelta(seconds=second), {"n": second}, keep=3)
    files.save_evidence("a", NOW + timedelta(seconds=4), {"n": 5}, keep=3)
    files.save_evidence("a_b", NOW, {"n": 0}, keep=3)
    kept = sorted(p.name for p in written.parent.iterdir())
    assert kept == [
        "a_20260302_120003.json", "a_20260302_120004.json", "a_20260302_120004_2.json", "a_b_20260302_120000.json",
    ]  # fmt: skip
    assert {p.stat().st_mode & 0o777 for p in written.parent.iterdir()} == {0o600}


def test_evidence_of_the_past_does_not_remove_itself(files: AgentFiles) -> None:
    for second in (10, 20, 30):
        files.save_evidence("a", NOW + timedelta(seconds=second), {}, keep=2)
    assert files.save_evidence("a", NOW, {}, keep=2).exists()


def test_evidence_holds_hostile_text_as_escapes(files: AgentFiles) -> None:
    text = "\x1b[31m\x00\ud800\r\n💥"
    written = files.save_evidence("a", NOW, {"log": [text]}, keep=1)
    content = written.read_bytes()
    assert content.isascii()
    assert b"\x1b" not in content
    assert json.loads(content)["log"] == [text]
