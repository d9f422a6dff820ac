"""Other programs: what they print is capped, their time is limited, and nothing of ours reaches them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from jobs.clients.commands import MAX_OUTPUT_BYTES, Child, CommandFailed, find, last_line, run
from jobs.clients.errors import Absent, ClientError
from tests.services.wait import wait_for


def sh(script: str, *arguments: str) -> list[str]:
    return ["sh", "-c", script, "sh", *arguments]


def test_what_a_program_prints_is_returned() -> None:
    done = run(sh("printf out; printf err >&2"), timeout_seconds=10)
    assert (done.code, done.stdout, done.stderr) == (0, b"out", "err")


def test_arguments_are_never_read_by_a_shell(tmp_path: Path) -> None:
    done = run(["printf", "%s", f"$(touch {tmp_path}/made); `id`"], timeout_seconds=10)
    assert done.stdout.decode() == f"$(touch {tmp_path}/made); `id`"
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_fails_is_told_with_its_last_words() -> None:
    with pytest.raises(CommandFailed, match=r"^sh ended with 3: the reason$") as failure:
        run(sh("echo more >&2; echo the reason >&2; exit 3"), timeout_seconds=10)
    assert failure.value.code == 3
    assert run(sh("exit 3"), timeout_seconds=10, check=False).code == 3


def test_a_program_ended_by_a_signal_is_told_as_such() -> None:
    with pytest.raises(CommandFailed, match="was ended by signal 9"):
        run(sh("kill -9 $$"), timeout_seconds=10)


def test_a_program_that_is_not_there_is_absent() -> None:
    with pytest.raises(Absent, match="no-such-program is not installed"):
        run(["no-such-program"], timeout_seconds=10)
    with pytest.raises(Absent):
        find("no-such-program")
    assert os.access(find("sh"), os.X_OK)


def test_a_file_that_cannot_be_executed_is_told(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("text")
    with pytest.raises(ClientError, match="plain cannot be started: Permission denied"):
        run([str(tmp_path / "plain")], timeout_seconds=10)


def test_a_program_past_its_time_is_ended_with_its_children(tmp_path: Path) -> None:
    script = 'sleep 1000 & echo $! > "$1/child"; wait'
    with pytest.raises(CommandFailed, match=r"sh was not done after 2\.5 s") as failure:
        run(sh(script, str(tmp_path)), timeout_seconds=2.5)
    assert failure.value.code is None
    child = int((tmp_path / "child").read_text())
    wait_for(lambda: not psutil.pid_exists(child) or _is_zombie(child), 60, "the child is gone")


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_leaving_early_ends_the_program() -> None:
    with pytest.raises(KeyError), Child(["sleep", "1000"], timeout_seconds=60) as child:
        raise KeyError
    assert not psutil.pid_exists(child.pid)


def test_a_program_that_prints_without_end_is_drained_and_capped() -> None:
    done = run(sh("head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2"), timeout_seconds=30)
    assert len(done.stdout) == MAX_OUTPUT_BYTES
    assert len(done.stderr) <= MAX_OUTPUT_BYTES


def test_only_what_is_needed_of_our_environment_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUTAZAI_REDIS__PASSWORD", "canary")
    monkeypatch.setenv("PGPASSWORD", "canary")
    monkeypatch.setenv("SUTAZAI_RUN_ID", "mark")
    printed = run(["env"], timeout_seconds=10, environment={"ADDED": "1"}).stdout.decode()
    assert "canary" not in printed
    assert "SUTAZAI_RUN_ID=mark" in printed
    assert "ADDED=1" in printed


def test_what_is_fed_arrives_whole() -> None:
    script = "import hashlib, sys; sys.stderr.write(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    import hashlib

    chunks = [os.urandom(300_000) for _ in range(10)]
    with Child([sys.executable, "-c", script], timeout_seconds=30, fed=True) as child:
        child.feed(chunks)
        child.wait()
    assert child.stderr() == hashlib.sha256(b"".join(chunks)).hexdigest()


def test_a_program_that_reads_only_some_of_what_it_is_fed_is_told_by_its_code() -> None:
    with Child(sh("head -c 10 >/dev/null; exit 7"), timeout_seconds=30, fed=True) as child:
        child.feed(b"x" * 1_000_000 for _ in range(20))
        with pytest.raises(CommandFailed, match="ended with 7"):
            child.wait()


def test_a_fed_program_that_prints_much_does_not_hang() -> None:
    with Child(["cat"], timeout_seconds=30, fed=True) as child:
        child.feed(b"x" * 1_000_000 for _ in range(20))
        assert child.wait() == 0


def test_the_last_line_that_says_something_is_short() -> None:
    assert last_line("one\n two  three \n\n") == "two three"
    assert len(last_line("x" * 1000)) == 300
