"""Handlers: programs that are run with each message, well-behaved or not."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from exporter.bridge.model import Message
from exporter.bridge.outgoing.channels.base import Delayed, Receipt, Refused
from exporter.bridge.outgoing.channels.build import channel
from tests.services.exporter_daemon import REPOSITORY
from tests.services.messages import AT, configured, message
from tests.services.wait import wait_for

Handlers = Callable[..., Receipt]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    directory = tmp_path / "handlers"
    directory.mkdir(mode=0o755)
    return directory / "tell.sh"


@pytest.fixture
def run(tmp_path: Path, script: Path) -> Handlers:
    """Runs a script, whose text is given, as the handler `tell`."""

    def handle(text: str | None, told: Message | None = None, **handler: Any) -> Receipt:
        if text is not None:
            script.write_text(text)
            script.chmod(0o755)
        document = {"notifications": {"handlers": [{"name": "tell", "path": str(script), **handler}]}}
        return channel("handler:tell", configured(tmp_path, document).settings).send(told or message(), AT)

    return handle


def test_a_handler_gets_the_three_arguments_of_the_guide_json_and_a_few_variables(
    run: Handlers, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    receipt = run(f'#!/bin/sh\nprintf "%s|" "$@" > {out}.args\nenv > {out}.env\ncat > {out}.json\n')
    assert receipt.detail.endswith("tell.sh ended with 0")
    arguments = Path(f"{out}.args").read_text()
    assert arguments == "agent|agent/orchestrator: restarted 3 times within an hour|critical|"
    document = json.loads(Path(f"{out}.json").read_text())
    assert (document["event"], document["id"]) == ("agent_problem_opened", "a" * 32)
    variables = dict(line.split("=", 1) for line in Path(f"{out}.env").read_text().splitlines())
    told = {name: value for name, value in variables.items() if name.startswith("SUTAZAI_")}
    assert told == {
        "SUTAZAI_EVENT_ID": "a" * 32,
        "SUTAZAI_EVENT_THREAD": "a" * 32,
        "SUTAZAI_EVENT_NEWS": "opened",
        "SUTAZAI_EVENT_TYPE": "agent",
        "SUTAZAI_EVENT_SEVERITY": "critical",
        "SUTAZAI_EVENT_STATUS": "CRITICAL",
        "SUTAZAI_EVENT_HOST": "host1",
        "SUTAZAI_EVENT_TASK": "agent-monitor",
        "SUTAZAI_EVENT_SUMMARY": "agent/orchestrator: restarted 3 times within an hour",
        "SUTAZAI_EVENT_TIMESTAMP": "2026-03-02T12:00:00+00:00",
    }


def test_a_handler_whose_interpreter_is_missing_is_told_as_that(run: Handlers, script: Path) -> None:
    with pytest.raises(Delayed, match=rf"^{script}: what its first line names \(#!\) is not there; install or mend it"):
        run("#!/nonexistent/interpreter\n")


def test_our_environment_is_not_its_own(run: Handlers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUTAZAI_REDIS__PASSWORD", "canary")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    run(f"#!/bin/sh\nenv > {tmp_path}/env\n")
    assert "canary" not in (tmp_path / "env").read_text()


def test_a_handler_may_ask_the_exporter_itself(run: Handlers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUTAZAI_RUN_ID", "1-1")
    ask = f"SUTAZAI_BASE_DIR={tmp_path} {sys.executable} -m exporter tasks --json"
    run(f"#!/bin/sh\nexport PYTHONPATH={REPOSITORY}\n{ask} > {tmp_path}/tasks || exit 1\n")
    assert "agent-monitor" in (tmp_path / "tasks").read_text()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("echo one >&2; echo the queue is full >&2; exit 75", "ended with 75: the queue is full"),
        ("exit 1", "ended with 1"),
        ("kill -TERM $$", "was ended by signal 15"),
    ],
)
def test_one_that_fails_is_run_again_later_and_its_last_words_are_told(run: Handlers, code: str, reason: str) -> None:
    with pytest.raises(Delayed) as caught:
        run(f"#!/bin/sh\n{code}\n")
    assert str(caught.value).endswith(reason)


def test_one_that_no_program_can_run_is_tried_again_and_says_why(run: Handlers) -> None:
    with pytest.raises(Delayed, match=r"tell\.sh"):
        run("#!/nonexistent/interpreter\n")


def test_one_that_reads_nothing_and_one_that_prints_without_end_do_no_harm(run: Handlers) -> None:
    assert run("#!/bin/sh\nexec 0<&-\nexit 0\n")
    assert run("#!/bin/sh\nhead -c 50000000 /dev/zero\nhead -c 50000000 /dev/zero >&2\n")
    with pytest.raises(Delayed, match="was not done after 1 s"):
        run("#!/bin/sh\nexec yes\n", timeout_seconds=1)


@pytest.mark.parametrize(
    "code",
    [
        "sleep 600",
        "sleep 600 & sleep 600 & wait",
        "(sleep 600 &) ; sleep 600",
        "trap '' TERM INT HUP; while :; do sleep 600; done",
    ],
)
def test_one_that_hangs_is_killed_with_all_its_children(run: Handlers, script: Path, code: str) -> None:
    began = time.monotonic()
    with pytest.raises(Delayed, match=r"tell\.sh was not done after 1 s"):
        run(f"#!/bin/sh\ncd {script.parent}\n{code}\n", timeout_seconds=1)
    assert time.monotonic() - began < 60
    wait_for(lambda: working_in(script.parent) == [], 20, "nothing of it is left")


def test_what_it_leaves_behind_in_its_group_ends_with_it(run: Handlers, script: Path) -> None:
    began = time.monotonic()
    run(f"#!/bin/sh\ncd {script.parent}\nsleep 600 &\nexit 0\n", timeout_seconds=300)
    assert time.monotonic() - began < 120  # what holds our pipes open does not hold us up
    wait_for(lambda: working_in(script.parent) == [], 20, "nothing of it is left")


def working_in(directory: Path) -> list[int]:
    """Processes whose working directory this is."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(directory) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


# What must not be run


def test_one_that_is_not_there_or_not_executable_is_refused(run: Handlers, script: Path) -> None:
    with pytest.raises(Refused, match="cannot be run: No such file or directory; put it there"):
        run(None)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o644)
    with pytest.raises(Refused, match="no program that can be run; chmod 0755 it"):
        run(None)
    script.unlink()
    script.mkdir()
    with pytest.raises(Refused, match="is no file; set its path to the program"):
        run(None)


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
@pytest.mark.parametrize("what", ["program", "directory"])
def test_one_that_others_may_change_is_not_run(
    run: Handlers, script: Path, tmp_path: Path, mode: int, what: str
) -> None:
    ran = tmp_path / "ran"
    run(f"#!/bin/sh\ntouch {ran}\n")
    ran.unlink()
    (script if what == "program" else script.parent).chmod(mode)
    with pytest.raises(Refused, match="can be written by others"):
        run(None)
    assert not ran.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_one_that_belongs_to_another_user_is_not_run(run: Handlers, script: Path) -> None:
    run("#!/bin/sh\n")
    os.chown(script, 65534, 65534)
    with pytest.raises(Refused, match="belongs to user 65534"):
        run(None)


def test_a_link_into_a_directory_of_others_is_not_followed(run: Handlers, script: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (shared / "tell.sh").write_text("#!/bin/sh\n")
    (shared / "tell.sh").chmod(0o755)
    script.symlink_to(shared / "tell.sh")
    with pytest.raises(Refused, match=r"shared: can be written by others"):
        run(None)


# Hostile texts


@pytest.mark.parametrize("text", ["-rf /", "--help", "-", "a\0b", "a\nb\r\nc", "$(touch hacked)`id`;|&", "\u202eexe"])
def test_whatever_a_message_says_it_is_one_line_and_no_option(run: Handlers, tmp_path: Path, text: str) -> None:
    out = tmp_path / "out"
    run(f'#!/bin/sh\nprintf "%s\\n" "$#" "$2" > {out}\n', message(summary=text))
    count, line = out.read_text().splitlines()
    assert count == "3"
    assert not line.startswith("-")
    assert line.isprintable()


def test_a_very_long_message_fits(run: Handlers, tmp_path: Path) -> None:
    run(f'#!/bin/sh\nprintf "%s" "$2" > {tmp_path}/out\n', message(summary="x" * (1 << 20)))
    assert len((tmp_path / "out").read_text()) == 1000
