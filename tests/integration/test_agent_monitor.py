"""The agent monitor on a real Docker engine."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.agent_monitor import JOB, Settings
from jobs.agents.files import AgentFiles
from jobs.core.job import JobError
from jobs.core.model import Request, Severity, Trigger
from jobs.core.settings import Agent
from tests.services.agent_runs import AgentRuns, actions, kinds, sample
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE, NOSHELL_IMAGE
from tests.services.ports import free_port
from tests.services.trees import tree_digest
from tests.services.wait import wait_for

A = "agent-a"
HEALTHY_CHECK = {"test": ["CMD-SHELL", "exit 1"], "interval": 200_000_000, "retries": 3, "timeout": 10**9}


class Stage:
    """One agent in a container, and the monitor that watches it."""

    def __init__(self, engine: DockerEngine, base_dir: Path, **settings: Any) -> None:
        self.engine, self.port = engine, free_port()
        self.runs = AgentRuns(base_dir, Agent(name=A, port=self.port), url=engine.url, **settings)

    def up(self, image: str = AGENT_IMAGE, **options: Any) -> None:
        self.engine.run(image, A, port=self.port, **options)

    @property
    def status(self) -> str:
        return str(self.engine.state(A)["Status"])

    def kill(self) -> None:
        """End the container's main process, as the kernel or a bug would: no request to the engine."""
        pid = int(self.engine.state(A)["Pid"])
        assert pid > 1
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.status == "exited", 60, "the engine notices")


@pytest.fixture
def stage(docker_clean: DockerEngine, tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def factory(**settings: Any) -> Stage:
        made.append(Stage(docker_clean, tmp_path, **settings))
        return made[-1]

    yield factory
    for one in made:
        one.runs.close()


def test_a_healthy_agent_is_left_alone(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.up()
    result = here.runs.run()
    assert (result.status, result.verdict, result.findings, result.actions) == ("HEALTHY", 0, (), ())
    assert sample(result, "sutazai_agent_up", agent=A) == 1
    assert sample(result, "sutazai_agent_uptime") == 100
    assert here.runs.state(A)["status"] == "healthy"
    assert here.runs.state(A)["last_successful_check"]
    assert [o.value for o in result.observations if o.series == f"agent_up/{A}"] == [1.0]


def test_a_killed_agent_is_restarted_at_once_and_verified(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.up()
    here.kill()
    killed = time.monotonic()
    result = here.runs.run(target=A, trigger=Trigger.EVENT)
    assert time.monotonic() - killed < 20
    assert here.status == "running"
    assert (result.status, result.verdict, kinds(result)) == ("HEALTHY", 0, ["restarted"])
    assert actions(result) == [("restart", f"agent/{A}", True)]
    assert result.scope == {"agent": A}
    assert sample(result, "sutazai_agent_restarts_total", agent=A, result="recovered") == 1
    assert sample(result, "sutazai_agent_restarts_total", agent=A, result="failed") == 0
    assert here.runs.state(A)["total_restarts"] == 1
    assert len(here.runs.store.spent(f"restart/{A}", here.runs.clock.now().replace(year=2000))) == 1


@pytest.mark.parametrize("signal_name", ["KILL", "TERM"])
def test_docker_kill_is_a_crash_too(stage: Callable[..., Stage], signal_name: str) -> None:
    here = stage()
    here.up()
    here.engine.cli("kill", "--signal", signal_name, A)
    wait_for(lambda: here.status == "exited", 60, "it is down")
    assert actions(here.runs.run()) == [("restart", f"agent/{A}", True)]


def test_evidence_is_saved_before_the_restart(stage: Callable[..., Stage]) -> None:
    here = stage()
    command = ["/bin/sh", "-c", "seq 1 300; printf '\\033[31m\\377end\\n'; . /serve"]
    here.up(environment={"PASSWORD": "canary-42"}, command=command)
    here.kill()
    here.runs.run()
    (path,) = here.runs.evidence(A)
    assert path.stat().st_mode & 0o777 == 0o600
    content = path.read_text()
    assert "canary-42" not in content
    evidence = json.loads(content)
    assert (evidence["exit_code"], evidence["oom_killed"]) == (137, False)
    assert len(evidence["log"]) == 200
    assert "\x1b[31m\ufffdend" in evidence["log"]
    assert evidence["inspect"]["State"]["Status"] == "exited"
    assert any(entry.startswith("PASSWORD=") for entry in evidence["inspect"]["Config"]["Env"])


def test_an_agent_that_a_person_stopped_stays_stopped(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.up()
    here.engine.cli("stop", "--time", "1", A)
    for _ in range(5):
        result = here.runs.run()
    assert here.status == "exited"
    assert (result.verdict, kinds(result), actions(result)) == (2, ["stopped"], [])
    assert "on purpose" in result.findings[0].message
    assert result.findings[0].remedy == f"docker start {A}"
    assert here.runs.state(A)["consecutive_failures"] == 0
    # The verdict is remembered: an engine that has been restarted has forgotten its events.
    assert here.runs.state(A)["verdict"]["stop"] == "operator"


def test_a_person_who_stops_and_starts_it_is_not_remembered_for_ever(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.up()
    here.engine.cli("stop", "--time", "1", A)
    here.runs.run()
    here.engine.cli("start", A)
    wait_for(lambda: here.runs.run().status == "HEALTHY", 60, "it is up")
    here.kill()
    assert actions(here.runs.run()) == [("restart", f"agent/{A}", True)]


def test_a_stop_that_is_still_being_told_is_waited_for(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.up(command=["/bin/sh", "-c", "trap '' TERM; . /serve"])
    stopping = threading.Thread(target=here.engine.cli, args=("stop", "--time", "1", A))
    stopping.start()
    wait_for(lambda: here.status == "exited", 60, "it is down")
    result = here.runs.run(target=A, trigger=Trigger.EVENT)
    stopping.join()
    assert (actions(result), here.status) == ([], "exited")


@pytest.mark.parametrize(
    ("policy", "code", "stop"),
    [("no", 0, "unknown"), ("no", 143, "unknown"), ("no", 3, "crash"), ("unless-stopped", 0, "operator")],
)
def test_where_the_engine_has_forgotten_only_what_is_certain_is_restarted(
    stage: Callable[..., Stage], policy: str, code: int, stop: str
) -> None:
    here = stage()
    command = ["/bin/sh", "-c", f"trap 'exit {code}' TERM; httpd -f -p 127.0.0.1:$PORT -h /www & wait $!"]
    here.up(command=command, restart_policy={"Name": policy})
    here.engine.cli("stop", "--time", "60", A)
    other = here.engine.client.containers.create(AGENT_IMAGE, ["sleep"], name="other-0")
    for number in range(260):  # the engine remembers 256 events
        other.rename(f"other-{number + 1}")
    result = here.runs.run()
    assert here.engine.state(A)["ExitCode"] == code or stop == "crash"
    assert bool(actions(result)) is (stop == "crash")
    if stop != "crash":
        assert here.runs.state(A)["verdict"]["stop"] == stop
        assert ("release" in result.findings[0].remedy) is (stop == "unknown")
        assert here.runs.run(target=A, mode="release").status == "HEALTHY"


def test_a_paused_agent_is_reported_and_left_paused(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.up()
    here.engine.cli("pause", A)
    for _ in range(4):
        result = here.runs.run()
    assert here.status == "paused"
    assert (kinds(result), actions(result), result.findings[0].remedy) == (["paused"], [], f"docker unpause {A}")
    assert sample(result, "sutazai_agent_state", agent=A, state="paused") == 1


def test_the_third_failure_in_a_row_restarts_an_unhealthy_agent(stage: Callable[..., Stage]) -> None:
    here = stage()
    # A restart makes it healthy again.
    here.up(command=["/bin/sh", "-c", "touch /www/health; . /serve"])
    here.engine.set_health(A, healthy=False)
    here.runs.clock.advance(60)  # not young any more
    first, second = here.runs.run(), here.runs.run()
    assert (actions(first), actions(second), kinds(second)) == ([], [], ["unhealthy"])
    assert "failure 2 of 3" in second.findings[0].message
    assert here.runs.state(A)["consecutive_failures"] == 2
    third = here.runs.run()
    assert actions(third) == [("restart", f"agent/{A}", True)]
    assert (third.status, here.runs.state(A)["consecutive_failures"]) == ("HEALTHY", 0)


def test_one_success_forgets_the_failures(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.up()
    here.runs.clock.advance(60)
    for healthy in (False, False, True, False, False):
        here.engine.set_health(A, healthy=healthy)
        result = here.runs.run()
    assert actions(result) == []
    assert here.runs.state(A)["consecutive_failures"] == 2


def test_an_agent_that_has_just_started_gets_time(stage: Callable[..., Stage]) -> None:
    here = stage(recovery_timeout_seconds=600)
    here.up()
    here.engine.set_health(A, healthy=False)
    for _ in range(4):
        result = here.runs.run()
    assert actions(result) == []
    assert result.run_again_seconds == 5
    assert here.runs.state(A)["consecutive_failures"] == 0


def test_dockers_verdict_of_unhealthy_restarts_at_once(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.up(healthcheck=HEALTHY_CHECK)
    wait_for(lambda: here.engine.state(A)["Health"]["FailingStreak"] >= 3, 20, "Docker calls it unhealthy")
    result = here.runs.run(target=A, trigger=Trigger.EVENT)
    assert actions(result) == [("restart", f"agent/{A}", True)]
    assert "Docker's health check failed" in result.actions[0].detail


def test_three_restarts_an_hour_with_backoff_then_quarantine_until_it_is_released(stage: Callable[..., Stage]) -> None:
    here = stage(backoff_seconds=30)
    here.up()
    for expected_wait in (0, 30, 60):
        here.kill()
        if expected_wait:
            waiting = here.runs.run(target=A, trigger=Trigger.EVENT)
            assert (actions(waiting), kinds(waiting)) == ([], ["stopped"])
            assert waiting.run_again_seconds == pytest.approx(expected_wait, abs=5)
            here.runs.clock.advance(expected_wait)
        assert actions(here.runs.run(target=A)) == [("restart", f"agent/{A}", True)]
    here.kill()
    here.runs.clock.advance(600)
    result = here.runs.run()
    assert actions(result) == [("quarantine", f"agent/{A}", True)]
    assert [(f.kind, f.severity) for f in result.findings] == [("quarantined", Severity.CRITICAL)]
    assert sample(result, "sutazai_agent_quarantined", agent=A) == 1
    # Not even when the hour is over.
    here.runs.clock.advance(7200)
    result = here.runs.run()
    assert (actions(result), here.status) == ([], "exited")
    assert sample(result, "sutazai_agent_quarantined", agent=A) == 1
    # Nor when it is well again.
    here.engine.cli("start", A)
    wait_for(lambda: "answers again" in here.runs.run().findings[0].message, 60, "it is seen")
    here.kill()
    released = here.runs.run(target=A, mode="release", trigger=Trigger.COMMAND)
    assert actions(released) == [("release", f"agent/{A}", True), ("restart", f"agent/{A}", True)]
    assert (released.status, here.status) == ("HEALTHY", "running")
    assert sample(released, "sutazai_agent_quarantined", agent=A) == 0
    assert len(here.runs.state(A)["restarts_in_hour"]) == 1


def test_the_hour_slides(stage: Callable[..., Stage]) -> None:
    here = stage(max_restarts_per_hour=1)
    here.up()
    for _ in range(3):
        here.kill()
        assert actions(here.runs.run()) == [("restart", f"agent/{A}", True)]
        here.runs.clock.advance(3601)
    assert here.runs.state(A)["total_restarts"] == 3
    assert len(here.runs.state(A)["restarts_in_hour"]) == 1


def test_a_release_starts_what_a_person_stopped(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.up()
    here.engine.cli("stop", "--time", "1", A)
    released = here.runs.run(target=A, mode="release")
    assert (released.status, here.status) == ("HEALTHY", "running")


def test_a_release_of_a_healthy_agent_restarts_nothing(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.up()
    assert actions(here.runs.run(target=A, mode="release")) == [("release", f"agent/{A}", True)]


def test_a_release_names_its_agent(stage: Callable[..., Stage]) -> None:
    with pytest.raises(JobError, match="name the agent"):
        stage().runs.run(mode="release")


def test_an_unknown_agent_is_answered_with_the_nearest_name(stage: Callable[..., Stage]) -> None:
    with pytest.raises(JobError, match=r"there is no agent 'agent-q'; did you mean 'agent-a'\?"):
        stage().runs.run(target="agent-q")


def test_a_restart_that_does_not_help_is_counted_and_tried_again_later(stage: Callable[..., Stage]) -> None:
    here = stage(recovery_timeout_seconds=1)
    here.up()
    here.engine.set_health(A, healthy=False)
    here.runs.clock.advance(60)
    results = [here.runs.run() for _ in range(3)]
    assert kinds(results[2]) == ["restart_failed", "unhealthy"]
    assert "not healthy within 1 s" in results[2].findings[0].message
    assert sample(results[2], "sutazai_agent_restarts_total", agent=A, result="failed") == 1
    assert results[2].run_again_seconds == pytest.approx(30, abs=5)
    here.runs.clock.advance(31)
    again = here.runs.run()
    assert actions(again) == [("restart", f"agent/{A}", True)], "the next restart waits for no more failures"


def test_a_container_that_cannot_start_spends_its_allowance_and_is_quarantined(stage: Callable[..., Stage]) -> None:
    here = stage(recovery_timeout_seconds=600)
    here.up(command=["/bin/sh", "-c", "test -e /tmp/once && exit 3; touch /tmp/once; . /serve"])
    here.kill()
    for _ in range(3):
        began = time.monotonic()
        result = here.runs.run()
        assert "it stopped again at once" in result.findings[0].message
        assert time.monotonic() - began < 60, "it is not waited for in vain"
        here.runs.clock.advance(600)
    assert actions(here.runs.run()) == [("quarantine", f"agent/{A}", True)]


def test_a_restart_that_the_engine_refuses_counts(stage: Callable[..., Stage], tmp_path: Path) -> None:
    here, source = stage(), tmp_path / "mounted"
    source.mkdir()
    here.up(mounts=[{"Type": "bind", "Source": str(source), "Target": "/mnt", "ReadOnly": True}])
    here.kill()
    source.rmdir()  # the engine refuses to start it
    result = here.runs.run()
    assert kinds(result) == ["restart_failed", "stopped"]
    assert sample(result, "sutazai_agent_restarts_total", agent=A, result="failed") == 1
    assert actions(result) == []
    source.mkdir()
    here.runs.clock.advance(60)
    assert here.runs.run().status == "HEALTHY"


def test_a_restart_of_ours_that_left_it_down_is_made_good(stage: Callable[..., Stage], tmp_path: Path) -> None:
    here, source = stage(consecutive_failures=1), tmp_path / "mounted"
    source.mkdir()
    command = ["/bin/sh", "-c", "touch /www/health; . /serve"]
    here.up(mounts=[{"Type": "bind", "Source": str(source), "Target": "/mnt", "ReadOnly": True}], command=command)
    here.engine.set_health(A, healthy=False)
    source.rmdir()
    # The engine stops it, says so in a `stop` event, and cannot start it again.
    assert kinds(here.runs.run(recovery_timeout_seconds=0.01)) == ["restart_failed", "unhealthy"]
    assert here.status == "exited"
    source.mkdir()
    here.runs.clock.advance(40)
    assert actions(here.runs.run()) == [("restart", f"agent/{A}", True)]
    assert here.status == "running"


def test_an_agent_killed_for_memory_is_restarted(stage: Callable[..., Stage]) -> None:
    here = stage()
    eats = "test -e /tmp/once && . /serve; touch /tmp/once; sleep 0.2; tail /dev/zero"
    here.up(command=["/bin/sh", "-c", f"exec 2>&1; {eats}"], mem_limit="24m", wait=False)
    wait_for(lambda: here.status == "exited", 30, "the kernel ends it")
    result = here.runs.run()
    assert actions(result) == [("restart", f"agent/{A}", True)]
    assert result.status == "HEALTHY"


def test_dockers_own_restart_policy_is_not_interfered_with(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.up(command=["/bin/sh", "-c", "exit 3"], restart_policy={"Name": "always"}, wait=False)
    wait_for(lambda: here.status == "restarting", 20, "the engine is at it")
    for _ in range(5):
        if here.status == "restarting":
            result = here.runs.run()
            assert actions(result) == []
    assert here.runs.evidence(A) == []


def test_a_missing_agent_is_critical_and_cannot_be_restarted(stage: Callable[..., Stage]) -> None:
    result = stage().runs.run()
    assert [(f.kind, f.severity) for f in result.findings] == [("missing", Severity.CRITICAL)]
    assert (result.verdict, actions(result)) == (2, [])


def test_reporting_only_restarts_nothing(stage: Callable[..., Stage]) -> None:
    here = stage(auto_restart=False)
    here.up()
    here.kill()
    result = here.runs.run()
    assert (actions(result), here.status) == ([], "exited")
    assert "auto_restart" in result.findings[0].message


def test_a_plan_says_what_would_be_done_and_writes_nothing(stage: Callable[..., Stage], tmp_path: Path) -> None:
    here = stage()
    here.up()
    here.runs.run()
    here.kill()
    (here.runs.base_dir / "data" / "agent-monitor" / f"{A}.json").write_text("corrupt")
    before = tree_digest(tmp_path)
    plan = here.runs.run(dry_run=True)
    assert "would be set aside" in plan.findings[0].message
    assert actions(plan) == [("restart", f"agent/{A}", False)]
    assert here.runs.run(target=A, mode="release", dry_run=True).actions[0].done is False
    assert tree_digest(tmp_path) == before
    assert here.status == "exited"
    assert plan.report is None
    assert plan.run_again_seconds is None


def test_a_plan_says_what_would_be_quarantined(stage: Callable[..., Stage]) -> None:
    here = stage(max_restarts_per_hour=1)
    here.up()
    here.kill()
    here.runs.run()
    here.kill()
    assert actions(here.runs.run(dry_run=True)) == [("quarantine", f"agent/{A}", False)]
    assert here.runs.state(A)["quarantined_since"] is None


def test_a_corrupt_state_is_set_aside_and_its_restarts_come_back_from_the_budget(stage: Callable[..., Stage]) -> None:
    here = stage(max_restarts_per_hour=1)
    here.up()
    here.kill()
    here.runs.run()
    path = here.runs.base_dir / "data" / "agent-monitor" / f"{A}.json"
    path.write_bytes(path.read_bytes()[:50])
    result = here.runs.run()
    assert kinds(result) == ["corrupt_state"]
    assert len(list(path.parent.glob(f"{A}.json.corrupt-*"))) == 1
    assert len(here.runs.state(A)["restarts_in_hour"]) == 1
    here.kill()
    assert actions(here.runs.run()) == [("quarantine", f"agent/{A}", True)]


def test_evidence_that_cannot_be_saved_stops_no_restart(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.up()
    here.runs.run()
    (here.runs.base_dir / "data" / "agent-monitor" / "evidence").write_text("in the way")
    here.kill()
    result = here.runs.run()
    assert kinds(result) == ["evidence_not_saved", "restarted"]
    assert here.status == "running"


def test_two_runs_do_not_act_on_the_same_agent(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.up()
    here.runs.run()
    here.kill()
    with AgentFiles(here.runs.base_dir).lock(A):
        result = here.runs.run()
        assert (actions(result), kinds(result), here.status) == ([], ["busy", "stopped"], "exited")
    assert actions(here.runs.run()) == [("restart", f"agent/{A}", True)]


def test_where_no_lock_can_be_had_nothing_is_done(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.up()
    here.kill()
    (here.runs.base_dir / "data" / "agent-monitor").write_text("in the way")
    result = here.runs.run()
    assert (actions(result), kinds(result)[0], here.status) == ([], "not_locked", "exited")
    assert sample(result, "sutazai_agent_up", agent=A) == 0
    with pytest.raises(JobError, match="agent-a cannot be released"):
        here.runs.run(target=A, mode="release")


@pytest.mark.parametrize("first", ["down", "healthy"])
def test_a_reading_that_another_run_has_overtaken_is_taken_anew(stage: Callable[..., Stage], first: str) -> None:
    here = stage()
    here.up()
    if first == "down":
        here.kill()
    clients = here.runs.clients()
    read = clients.agents.read

    def overtaken(*arguments: Any) -> Any:
        seen = read(*arguments)
        clients.agents.read = read  # type: ignore[method-assign]
        if first == "healthy":
            here.engine.cli("stop", "--time", "1", A)
        here.runs.run(target=A, trigger=Trigger.EVENT)
        return seen

    clients.agents.read = overtaken  # type: ignore[method-assign]
    result = JOB.run(Settings(**here.runs.settings), clients, Request(task=JOB.name))
    assert actions(result) == []
    assert kinds(result) == ([] if first == "down" else ["stopped"])
    assert here.runs.state(A)["total_restarts"] == (1 if first == "down" else 0)


def test_a_release_waits_until_the_other_run_is_done(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.up()
    files = AgentFiles(here.runs.base_dir)
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with files.lock(A):
            held.set()
            free.wait(60)

    threading.Thread(target=hold).start()
    held.wait(60)
    began = time.monotonic()
    threading.Timer(0.5, free.set).start()
    assert here.runs.run(target=A, mode="release").status == "HEALTHY"
    assert time.monotonic() - began >= 0.4


def test_reports_are_for_news_and_for_those_who_ask(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.up()
    assert here.runs.run().report is not None, "the first look is news"
    assert here.runs.run().report is None
    assert here.runs.run(trigger=Trigger.COMMAND).report is not None
    here.kill()
    report = here.runs.run().report
    assert report is not None
    assert report["summary"]["restarts"] == {"recovered": 1, "failed": 0}


def test_a_discovered_agent_is_found_restarted_and_forgotten_with_its_container(
    docker_clean: DockerEngine, tmp_path: Path
) -> None:
    port, runs = free_port(), AgentRuns(tmp_path, url=docker_clean.url)
    labels = {"sutazai.agent": "true", "sutazai.agent.port": str(port), "sutazai.agent.path": "/health"}
    docker_clean.run(AGENT_IMAGE, "found", port=port, labels=labels)
    docker_clean.run(AGENT_IMAGE, "by-state", port=free_port(), labels={**labels, "sutazai.agent.port": "http"})
    result = runs.run()
    assert (result.status, kinds(result)) == ("HEALTHY", ["bad_label"])
    for name in ("found", "by-state"):
        docker_clean.cli("kill", name)
    result = runs.run()
    assert sorted(actions(result)) == [("restart", "agent/by-state", True), ("restart", "agent/found", True)]
    assert result.status == "HEALTHY"
    docker_clean.clean()
    assert runs.run().status == "NOT_CONFIGURED"
    runs.close()


def test_uptime_comes_from_what_was_recorded(stage: Callable[..., Stage]) -> None:
    class Recorded:
        """Stands for a store that has a week of observations in it."""

        def points(self, series: str, since: Any) -> list[tuple[float, float]]:
            return []

        def means(self, prefix: str, since: Any) -> dict[str, float]:
            day = (here.runs.clock.now() - since).total_seconds() < 90000
            return {f"{prefix}{A}": 0.5 if day else 0.75, f"{prefix}gone": 0.0}

    here = stage()
    here.up()
    clients = here.runs.clients()
    clients.open_history = Recorded
    result = JOB.run(Settings(), clients, Request(task=JOB.name))
    assert sample(result, "sutazai_agent_uptime_ratio", agent=A) == 0.5
    assert sample(result, "sutazai_agent_uptime_7d_ratio", agent=A) == 0.75
    assert sample(result, "sutazai_agent_uptime") == 50


def test_a_run_for_one_agent_counts_the_others_as_they_were(docker_clean: DockerEngine, tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("one", "two")}
    runs = AgentRuns(tmp_path, *(Agent(name=n, port=p) for n, p in ports.items()), url=docker_clean.url)
    docker_clean.run(AGENT_IMAGE, "one", port=ports["one"])
    assert (runs.run().verdict, runs.run(target="one").verdict) == (1, 0)
    result = runs.run(target="one")
    assert sample(result, "sutazai_agents", state="healthy") == 1
    assert sample(result, "sutazai_agents", state="missing") == 1
    assert sample(result, "sutazai_agent_uptime") == 50
    assert {s.labels.get("agent", "one") for s in result.samples} == {"one"}
    runs.close()


def test_a_health_check_without_a_shell(stage: Callable[..., Stage]) -> None:
    """Fault 27: the image has no shell for its health check."""
    here = stage()
    here.up(image=NOSHELL_IMAGE, healthcheck=HEALTHY_CHECK)
    wait_for(lambda: here.engine.state(A)["Health"]["Status"] == "unhealthy", 20, "Docker calls it unhealthy")
    here.runs.clock.advance(60)
    for _ in range(4):
        result = here.runs.run()
    assert (result.status, kinds(result), actions(result)) == ("HEALTHY", ["health_check_cannot_run"], [])
    assert psutil.pid_exists(int(here.engine.state(A)["Pid"]))
    assert here.runs.evidence(A) == []
