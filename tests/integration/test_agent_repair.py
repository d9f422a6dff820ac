"""The agent monitor's modes `repair` and `restart`, which an alert or a person asks for, on a real Docker engine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.agents.files import AgentFiles
from jobs.core.job import JobError
from jobs.core.model import Result, Trigger
from jobs.core.settings import Agent
from tests.services.agent_runs import AgentRuns, actions, kinds, sample
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.ports import free_port
from tests.services.trees import tree_digest
from tests.services.wait import wait_for

A = "agent-a"
RESTARTED = [("restart", f"agent/{A}", True)]


class Ward:
    """One agent in a container, which the monitor watches and does not restart of its own accord."""

    def __init__(self, engine: DockerEngine, base_dir: Path, **settings: Any) -> None:
        self.engine, self.base_dir = engine, base_dir
        self.runs = AgentRuns(
            base_dir, Agent(name=A, port=free_port()), url=engine.url, **{"auto_restart": False, **settings}
        )

    def up(self, **options: Any) -> None:
        self.engine.run(AGENT_IMAGE, A, port=self.runs.world.agents.listed[0].port, **options)

    def repair(self, trigger: Trigger = Trigger.ALERT, dry_run: bool = False) -> Result:
        return self.runs.run(target=A, mode="repair", trigger=trigger, dry_run=dry_run)

    def restart(self, trigger: Trigger = Trigger.API, dry_run: bool = False) -> Result:
        return self.runs.run(target=A, mode="restart", trigger=trigger, dry_run=dry_run)

    def fall_ill(self) -> None:
        """Let it answer 404, long after it has started."""
        self.engine.set_health(A, healthy=False)
        self.runs.clock.advance(60)

    def kill(self) -> None:
        self.engine.cli("kill", A)
        wait_for(lambda: self.status == "exited", 60, "it is down")

    @property
    def status(self) -> str:
        return str(self.engine.state(A)["Status"])

    @property
    def started_at(self) -> str:
        return str(self.engine.state(A)["StartedAt"])


@pytest.fixture
def ward(docker_clean: DockerEngine, tmp_path: Path) -> Iterator[Callable[..., Ward]]:
    made: list[Ward] = []

    def factory(**settings: Any) -> Ward:
        made.append(Ward(docker_clean, tmp_path, **settings))
        return made[-1]

    yield factory
    for one in made:
        one.runs.close()


def test_a_repair_restarts_a_killed_agent_with_automatic_restarts_off(ward: Callable[..., Ward]) -> None:
    here = ward()
    here.up()
    here.kill()
    assert actions(here.runs.run()) == [], "the monitor itself only reports"
    result = here.repair()
    assert (actions(result), result.status, result.verdict, here.status) == (RESTARTED, "HEALTHY", 0, "running")
    assert kinds(result) == ["restarted"]
    assert sample(result, "sutazai_agent_restarts_total", agent=A, result="recovered") == 1
    assert len(here.runs.evidence(A)) == 1
    assert len(here.runs.store.spent(f"restart/{A}", here.runs.clock.now().replace(year=2000))) == 1


def test_a_repair_waits_for_no_further_failures(ward: Callable[..., Ward]) -> None:
    here = ward(consecutive_failures=100, auto_restart=True)
    here.up(command=["/bin/sh", "-c", "touch /www/health; . /serve"])
    here.fall_ill()
    assert actions(here.runs.run()) == []
    result = here.repair()
    assert (actions(result), result.status) == (RESTARTED, "HEALTHY")
    (path,) = here.runs.evidence(A)
    assert json.loads(path.read_text())["reason"] == "it answers with status 404"


def test_a_repair_does_nothing_about_a_healthy_agent_and_says_so(ward: Callable[..., Ward]) -> None:
    here = ward()
    here.up()
    began = here.started_at
    result = here.repair()
    assert (actions(result), result.verdict, here.started_at) == ([], 0, began)
    assert result.summary == "1 agent(s): 1 healthy; left alone: it is healthy"
    assert here.runs.store.spent(f"restart/{A}", here.runs.clock.now().replace(year=2000)) == []


def test_a_repair_leaves_stopped_what_a_person_stopped(ward: Callable[..., Ward]) -> None:
    here = ward()
    here.up()
    here.engine.cli("stop", "--time", "1", A)
    result = here.repair()
    assert (actions(result), result.verdict, here.status) == ([], 2, "exited")
    assert result.summary.endswith("left alone: it was stopped on purpose")


def test_a_repair_leaves_a_paused_agent_paused(ward: Callable[..., Ward]) -> None:
    here = ward()
    here.up()
    here.engine.cli("pause", A)
    result = here.repair()
    here.engine.cli("unpause", A)
    assert (actions(result), result.verdict) == ([], 2)
    assert result.summary.endswith("left alone: it cannot be restarted: its container is paused")


def test_repairs_spend_the_hours_restarts_and_then_the_agent_is_quarantined(ward: Callable[..., Ward]) -> None:
    here = ward(max_restarts_per_hour=2)
    here.up()
    for _ in range(2):
        here.kill()
        assert actions(here.repair()) == RESTARTED, "without the growing wait between restarts"
    here.kill()
    assert actions(here.repair()) == [("quarantine", f"agent/{A}", True)]
    here.runs.clock.advance(7200)
    result = here.repair()
    assert (actions(result), here.status) == ([], "exited")
    assert result.summary.endswith("left alone: it is quarantined")
    assert len(here.runs.evidence(A)) == 2


def test_a_repair_that_does_not_help_says_so(ward: Callable[..., Ward]) -> None:
    here = ward(recovery_timeout_seconds=1)
    here.up(command=["/bin/sh", "-c", "test -e /tmp/once && exit 3; touch /tmp/once; . /serve"])
    here.kill()
    result = here.repair()
    assert (kinds(result), result.verdict) == (["restart_failed", "stopped"], 2)
    assert sample(result, "sutazai_agent_restarts_total", agent=A, result="failed") == 1


def test_a_planned_repair_changes_nothing(ward: Callable[..., Ward]) -> None:
    here = ward()
    here.up()
    here.runs.run()
    here.kill()
    before = tree_digest(here.base_dir)
    plan = here.repair(dry_run=True)
    assert actions(plan) == [("restart", f"agent/{A}", False)]
    assert (tree_digest(here.base_dir), here.status) == (before, "exited")


def test_a_repair_acts_on_the_container_that_it_looked_at(ward: Callable[..., Ward]) -> None:
    """Fault 28: another container stands under the name by the time of the restart."""
    here = ward()
    here.up()
    here.fall_ill()
    clients, began = here.runs.clients(), []
    restart = clients.docker.restart

    def replaced(*arguments: Any) -> None:
        here.engine.cli("rm", "--force", A)
        here.up()
        began.append(here.started_at)
        restart(*arguments)

    clients.docker.restart = replaced  # type: ignore[method-assign]
    here.runs.clients = lambda: clients  # type: ignore[method-assign]
    result = here.repair()
    assert kinds(result)[0] == "restart_failed"
    assert "removed or replaced" in result.findings[0].message
    assert (actions(result), began) == ([], [here.started_at])


def test_a_repair_waits_for_the_run_that_has_the_agent_in_hand(ward: Callable[..., Ward]) -> None:
    here = ward()
    here.up()
    here.kill()
    lock, held, free = AgentFiles(here.base_dir).lock(A), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            free.wait(60)

    threading.Thread(target=hold).start()
    held.wait(60)
    threading.Timer(0.5, free.set).start()
    assert actions(here.repair()) == RESTARTED


def test_a_repair_names_its_agent(ward: Callable[..., Ward]) -> None:
    with pytest.raises(JobError, match=r"^repair: name the agent that is to be repaired$"):
        ward().runs.run(mode="repair")


def test_a_repair_for_an_alert_leaves_a_report(ward: Callable[..., Ward]) -> None:
    here = ward()
    here.up()
    here.repair()
    report = here.repair().report
    assert report is not None
    assert report["summary"]["monitoring_mode"] == "repair"
    assert report["agents"][0]["decision_reason"] == "it is healthy"


# A person wants a restart


def test_a_person_restarts_a_healthy_agent_and_sees_it_come_back(ward: Callable[..., Ward]) -> None:
    here = ward()
    here.up()
    here.runs.run()
    before = here.started_at
    result = here.restart()
    assert (result.verdict, actions(result)) == (0, RESTARTED)
    assert here.started_at > before
    assert kinds(result) == ["restarted"]
    assert "asked for by a person" in result.findings[0].message
    assert [file.name for file in evidence(here)], "evidence is saved first"
    assert saved(here).total_restarts == 1
    assert len(saved(here).restarts_in_hour) == 1


def test_a_person_restarts_what_somebody_stopped(ward: Callable[..., Ward]) -> None:
    here = ward()
    here.up()
    here.engine.cli("stop", "--time=1", A)
    assert actions(here.restart()) == RESTARTED
    assert here.status == "running"


def test_the_allowance_counts_a_persons_restarts_and_refuses_none(ward: Callable[..., Ward]) -> None:
    here = ward(max_restarts_per_hour=1)
    here.up()
    for _ in range(3):
        assert actions(here.restart()) == RESTARTED
    assert saved(here).quarantined_since is None
    here.kill()
    assert actions(here.repair()) == [("quarantine", f"agent/{A}", True)], "the hour's restarts are used up"


def test_a_quarantined_agent_is_restarted_and_stays_quarantined(ward: Callable[..., Ward]) -> None:
    here = ward(max_restarts_per_hour=1)
    here.up()
    here.restart()
    here.kill()
    here.repair()
    assert saved(here).quarantined_since
    assert actions(here.restart()) == RESTARTED
    assert here.status == "running"
    assert saved(here).quarantined_since


def test_a_paused_agent_is_left_alone_and_the_summary_says_why(ward: Callable[..., Ward]) -> None:
    here = ward()
    here.up()
    here.engine.cli("pause", A)
    result = here.restart()
    assert actions(result) == []
    assert "left alone: it cannot be restarted: its container is paused" in result.summary
    assert here.status == "paused"
    here.engine.cli("unpause", A)


def test_a_planned_restart_changes_nothing(ward: Callable[..., Ward]) -> None:
    here = ward()
    here.up()
    here.runs.run()
    before, files = here.started_at, tree_digest(here.base_dir)
    assert actions(here.restart(dry_run=True)) == [("restart", f"agent/{A}", False)]
    assert (here.started_at, tree_digest(here.base_dir)) == (before, files)


def test_an_alert_that_asks_for_a_restart_gets_a_repair(ward: Callable[..., Ward]) -> None:
    here = ward()
    here.up()
    result = here.restart(Trigger.ALERT)
    assert actions(result) == []
    assert "left alone: it is healthy" in result.summary


def saved(here: Ward) -> Any:
    return AgentFiles(here.base_dir).load(A)


def evidence(here: Ward) -> list[Path]:
    return [file for file in (here.base_dir / "data").rglob("*.json") if "evidence" in str(file)]
