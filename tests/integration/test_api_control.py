"""Starting once, and stopping one run of many: what people have the daemon do over HTTP."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.services.exporter_daemon import ExporterDaemon, command_line, environment_of
from tests.services.trial_jobs import TASK, TrialPackage, operator, work
from tests.services.wait import wait_for

START, STOP = f"/api/v1/tasks/{TASK}/start", f"/api/v1/tasks/{TASK}/stop"


class Works:
    """A daemon whose runs leave a mark, start a child that no group holds, and last until the file `go` is there."""

    def __init__(self, directory: Path) -> None:
        self.go, self.marks = directory / "go", directory / "marks"
        self.marks.mkdir()
        code = f"""
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
Path({str(self.marks)!r}, f"{{os.getpid()}}.{{child.pid}}.{{request.target}}").touch()
while not Path({str(self.go)!r}).exists(): time.sleep(0.02)
child.kill()
"""
        self.package = TrialPackage(directory / "package")
        self.config = {**work(code), "runs": {"max_parallel": 2, "stop_grace_seconds": 2}}
        self.daemon = ExporterDaemon(self.config, environment=self.package.environment)
        self.headers = operator(self.daemon)

    def ask(self, path: str = START, key: str = "", **body: str) -> requests.Response:
        keyed = {"Idempotency-Key": key} if key else {}
        return self.daemon.post(path, json=body, headers={**self.headers, **keyed})

    def wait_begun(self, count: int) -> list[list[str]]:
        wait_for(lambda: len(list(self.marks.iterdir())) == count, 60, f"{count} runs have begun")
        return [mark.name.split(".") for mark in self.marks.iterdir()]

    def ended(self) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = self.daemon.get("/api/v1/runs").json()["runs"]
        return runs

    def wait_ended(self, count: int) -> list[dict[str, Any]]:
        wait_for(lambda: len(self.ended()) == count, 60, f"{count} runs have ended", detail=self.daemon.log)
        return self.ended()


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Works]:
    made = Works(tmp_path)
    yield made
    assert "Traceback" not in made.daemon.log()
    made.daemon.close()


# Once


def test_the_same_request_with_the_same_key_gets_the_first_answer_and_runs_once(works: Works) -> None:
    first = works.ask(key="k1", target="a")
    works.wait_begun(1)
    again = [works.ask(key=key, target="a") for key in ("k1", '"k1"', "k1")]
    assert {(answer.status_code, answer.text) for answer in [first, *again]} == {(202, first.text)}
    works.go.touch()
    (run,) = works.wait_ended(1)
    assert (run["outcome"], run["target"]) == ("ok", "a")
    assert works.ask(key="k1", target="a").text == first.text
    assert len(works.ended()) == 1


def test_a_key_with_another_request_is_422_and_one_of_another_token_is_another_key(works: Works) -> None:
    works.go.touch()
    assert works.ask(key="k", target="a").status_code == 202
    for body in ({"target": "b"}, {"target": "a", "mode": "light"}, {}):
        refused = works.ask(key="k", **body)
        assert refused.status_code == 422
        assert "a new request takes a new key" in refused.json()["detail"]
    assert works.ask(key="k", target="a", mode="full").status_code == 202, "the mode that stands for none"
    works.headers = operator(works.daemon)
    assert works.ask(key="k", target="b").status_code == 202
    assert sorted(run["target"] for run in works.wait_ended(2)) == ["a", "b"]


@pytest.mark.parametrize("key", ["a b", "é", "x" * 256, "a\tb", "{}"])
def test_a_key_that_is_none_is_400(works: Works, key: str) -> None:
    assert works.ask(key=key.encode().decode("latin-1")).status_code == 400


def test_while_the_first_request_is_being_answered_the_second_is_409(works: Works) -> None:
    works.go.touch()
    answers: list[requests.Response] = []
    askers = [threading.Thread(target=lambda: answers.append(works.ask(key="k"))) for _ in range(2)]
    with contextlib.closing(sqlite3.connect(works.daemon.base_dir / "data" / "sutazai.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")  # whoever comes first waits for us
        for asker in askers:
            asker.start()
        (second,) = wait_for(lambda: list(answers), 9, "one is answered")
        db.execute("COMMIT")
    for asker in askers:
        asker.join(30)
    assert (second.status_code, second.headers["retry-after"]) == (409, "1")
    assert sorted(answer.status_code for answer in answers) == [202, 409]


def test_a_start_that_had_begun_when_the_daemon_was_killed_is_not_begun_again(works: Works) -> None:
    first = works.ask(key="k")
    works.wait_begun(1)
    works.daemon.kill()
    works.daemon.start()
    assert works.ask(key="k").text == first.text
    works.go.touch()
    (run,) = works.wait_ended(1)
    assert run["error"].startswith("cut off: ")
    assert len(list(works.marks.iterdir())) == 1


def test_a_start_that_only_waited_when_the_daemon_was_killed_is_begun_by_who_asks_again(works: Works) -> None:
    works.ask(target="a")
    works.ask(target="b")
    works.wait_begun(2)
    works.ask(key="k", target="c")  # two are running, as many as may
    works.daemon.kill()
    works.go.touch()
    works.daemon.start()
    for _ in range(2):
        assert works.ask(key="k", target="c").status_code == 202
    runs = works.wait_ended(3)
    assert sorted((run["target"], run["outcome"]) for run in runs) == [("a", "error"), ("b", "error"), ("c", "ok")]


# Stopping


def test_a_stop_ends_the_runs_of_one_task_with_all_their_children_and_says_who(works: Works) -> None:
    works.ask(target="a")
    works.ask(target="b")
    begun = works.wait_begun(2)
    answer = works.ask(STOP, target="a")
    assert answer.status_code == 202
    assert [(one["task"], one["target"]) for one in answer.json()["stopping"]] == [(TASK, "a")]
    (run,) = works.wait_ended(1)
    assert (run["outcome"], run["target"]) == ("stopped", "a")
    assert run["error"].startswith("stopped by token:test-")
    for own, child, target in begun:
        assert psutil.pid_exists(int(own)) is (target == "b")
        assert is_alive(int(child)) is (target == "b")
    works.ask(STOP)
    assert [one["outcome"] for one in works.wait_ended(2)] == ["stopped", "stopped"]
    assert "level=error" not in works.daemon.log()


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_what_waits_is_cancelled_and_entered_as_stopped(works: Works) -> None:
    works.ask(target="a")
    works.wait_begun(1)
    works.ask(target="a", mode="light")  # waits for the lock of the first
    works.ask(target="b")  # waits for its turn
    answer = works.ask(STOP)
    assert len(answer.json()["stopping"]) == 3
    runs = works.wait_ended(3)
    assert {run["outcome"] for run in runs} == {"stopped"}
    (light,) = [run for run in runs if run["mode"] == "light"]
    assert light["error"].endswith("before it began")
    works.go.touch()
    assert works.ask(target="a").status_code == 202
    assert works.wait_ended(4)[0]["outcome"] == "ok"


def test_a_run_that_a_person_stopped_is_no_problem(works: Works) -> None:
    works.ask()
    works.wait_begun(1)
    works.ask(STOP)
    works.wait_ended(1)
    assert works.daemon.get("/api/v1/findings").json() == {"findings": []}
    store = sqlite3.connect(works.daemon.base_dir / "data" / "sutazai.db")
    assert store.execute("SELECT count(*) FROM problems").fetchone() == (0,)
    store.close()


def test_where_nothing_runs_a_stop_is_409(works: Works) -> None:
    answer = works.ask(STOP)
    assert (answer.status_code, answer.json()["detail"]) == (409, f"nothing of {TASK} is running or waiting")
    assert works.ask("/api/v1/tasks/zzz/stop").status_code == 404


def test_a_run_of_another_process_is_not_stopped_and_its_holder_is_named(works: Works, tmp_path: Path) -> None:
    (tmp_path / "beside.yml").write_text(json.dumps(works.config))
    beside = subprocess.Popen(
        command_line("run", TASK, "--config.file", str(tmp_path / "beside.yml")),
        env=environment_of(works.daemon.base_dir, works.package.environment),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    try:
        works.wait_begun(1)
        answer = works.ask(STOP)
        assert answer.status_code == 409
        assert f"is run by another process (pid {beside.pid} since " in answer.json()["detail"]
        assert beside.poll() is None
        works.go.touch()
        assert beside.wait(30) == 0
    finally:
        beside.kill()
        beside.wait()


def test_the_guides_paths_do_the_same(works: Works) -> None:
    works.ask(f"/api/automation/{TASK}/start")
    works.wait_begun(1)
    assert works.ask(f"/api/automation/{TASK}/stop").status_code == 202
    assert works.wait_ended(1)[0]["outcome"] == "stopped"
    ours, guides = (works.daemon.get(path).json() for path in ("/api/v1/status", "/api/automation/status"))
    assert ours["tasks"] == guides["tasks"]
    assert ours["tasks"][0]["last_run"]["outcome"] == "stopped"
