"""The plain answer: whether anything is wrong, and what to do, each thing once."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from exporter.bridge.families import AUDIT_INTACT, CHANNEL_UP, DEAD
from exporter.bridge.model import RemediationState
from exporter.bridge.remediation import remediations
from exporter.locks import FileLock, run_lock
from exporter.metrics import RELOAD_OK, STORE_UP
from exporter.plan import cadences_of
from exporter.runs.tickets import Progress
from exporter.store import StoreError
from exporter.views.answer import GOOD
from exporter.views.shapes import Status
from exporter.views.status import status
from jobs.core.agents.state import State
from jobs.core.model import Outcome, Request, Sample, Severity
from jobs.core.registry import all_jobs
from tests.services.scenery import NOON, Scene, found
from tests.services.trial_jobs import TASK, TrialPackage

CRITICAL, HIGH, MEDIUM, LOW = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def subjects(told: Status) -> list[str]:
    return [one["subject"] for one in told["to_do"]]


# Good, and too little known


def test_all_is_well_when_all_was_looked_at_and_is_well(scene: Scene) -> None:
    told = scene.all_well().status()
    assert (told["verdict"], told["answer"], told["to_do"]) == ("good", GOOD, [])


def test_nothing_is_known_where_nothing_ran(scene: Scene) -> None:
    told = scene.status(serving=False)
    assert told["verdict"] == "unknown"
    assert told["answer"] == "Too little is known: nothing has run here yet."
    assert [one["command"] for one in told["to_do"]] == ["sutazai-exporter serve"]


@pytest.mark.parametrize("missing", list(all_jobs()))
def test_a_task_that_has_never_run_is_not_known_to_be_well(scene: Scene, missing: str) -> None:
    for task in all_jobs():
        if task != missing:
            scene.ran(task)
    told = scene.status()
    assert told["verdict"] == "unknown"
    assert told["answer"] == f"Too little is known: {missing} has not run yet."
    assert [one["command"] for one in told["to_do"]] == [f"sutazai-exporter run {missing}"]


def test_what_is_too_old_is_not_known(scene: Scene) -> None:
    scene.all_well().wait(minutes=21)
    told = scene.status()
    assert told["verdict"] == "unknown"
    stale = [task["task"] for task in told["tasks"] if task["stale"]]
    assert "health-check" in stale
    assert "security-scan" not in stale
    assert sorted(subjects(told)) == sorted(stale)


def test_a_disabled_task_is_neither_failing_nor_stale(tmp_path: Path) -> None:
    scene = Scene(tmp_path, jobs={"security_scan": {"enabled": False}, "health_check": {"enabled": False}})
    scene.all_well()
    scene.ran("security-scan", outcome=Outcome.ERROR, error="no")
    scene.wait(days=30)
    for task in all_jobs():
        if task not in ("security-scan", "health-check"):
            scene.ran(task)
    told = scene.status()
    assert (told["verdict"], told["to_do"]) == ("good", [])
    (task,) = [task for task in told["tasks"] if task["task"] == "security-scan"]
    assert (task["enabled"], task["stale"], task["failing"], task["next_run"]) == (False, False, False, None)


def test_a_store_that_cannot_be_read_is_no_good_news(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.all_well()
    sources = scene.sources()

    def broken(*_: object) -> None:
        raise StoreError("it is broken; mend it")

    monkeypatch.setattr(sources.store, "rows", broken)
    told = status(sources, serving=True)
    assert told["verdict"] == "unknown"
    assert told["to_do"][0]["what"] == "it is broken; mend it"
    assert told["tasks"] == []


def test_a_store_that_does_not_answer_is_not_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = scene.all_well().sources()
    monkeypatch.setattr(type(sources.store), "is_stalled", True)
    monkeypatch.setattr(sources.store, "rows", lambda *_: pytest.fail("it was asked"))
    assert status(sources, serving=True)["verdict"] == "unknown"


# Problems and agents


def test_a_critical_problem_is_critical(scene: Scene) -> None:
    scene.all_well()
    scene.ran("health-check", found("check/postgres", CRITICAL, remedy="start PostgreSQL"))
    told = scene.status()
    assert told["verdict"] == "critical"
    assert told["answer"] == "check/postgres is fail."
    (todo,) = told["to_do"]
    assert (todo["severity"], todo["kind"], todo["remedy"]) == ("critical", "problem", "start PostgreSQL")
    assert todo["since"] == (NOON + timedelta(seconds=1)).isoformat()


@pytest.mark.parametrize(("severity", "verdict"), [(HIGH, "attention"), (MEDIUM, "good"), (LOW, "good")])
def test_what_is_not_told_is_listed_and_wants_nobody(scene: Scene, severity: Severity, verdict: str) -> None:
    scene.all_well()
    scene.ran("health-check", found("check/redis", severity))
    told = scene.status()
    assert told["verdict"] == verdict
    assert [finding["subject"] for finding in told["findings"]] == ["check/redis"]
    assert told["finding_counts"][severity] == 1


def test_agents_that_are_down_are_critical_once_each(scene: Scene) -> None:
    scene.all_well()
    quarantined = [
        found(f"agent/{name}", CRITICAL, "quarantined", f"sutazai-exporter agents release {name}") for name in "ab"
    ]
    scene.agents(*quarantined, a=State.QUARANTINED, b=State.QUARANTINED, c=State.HEALTHY)
    scene.ran("health-check", found("check/agents"))
    scene.alert("AgentQuarantined", agent="a")
    told = scene.status()
    assert told["verdict"] == "critical"
    assert told["answer"] == "Two agents are quarantined."
    assert sorted(one["command"] for one in told["to_do"]) == [
        "sutazai-exporter agents release a",
        "sutazai-exporter agents release b",
    ]
    assert [(agent["agent"], agent["healthy"], agent["quarantined"]) for agent in told["agents"]] == [
        ("a", False, True), ("b", False, True), ("c", True, False),
    ]  # fmt: skip
    assert told["agent_uptime_percent"] == 99.5


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        (State.UNREACHABLE, "critical"), (State.UNHEALTHY, "critical"), (State.MISSING, "critical"),
        (State.QUARANTINED, "attention"), (State.STOPPED, "attention"), (State.PAUSED, "attention"),
        (State.HEALTHY, "good"),
    ],
)  # fmt: skip
def test_an_agent_by_its_state_alone(scene: Scene, state: State, verdict: str) -> None:
    scene.all_well()
    scene.agents(a=state)
    assert scene.status()["verdict"] == verdict


def test_whoever_only_counts_agents_that_are_down_is_not_heard_beside_them(scene: Scene) -> None:
    scene.all_well()
    scene.ran("health-check", found("check/agents", CRITICAL, kind="fail"))
    scene.ran("performance-report", found("performance", Severity.HIGH, kind="agents_down"))
    assert subjects(scene.status()) == ["check/agents", "performance"]
    scene.ran("agent-monitor", found("agent/web", Severity.HIGH, kind="unreachable"))
    told = scene.status()
    assert [(one["subject"], one["severity"]) for one in told["to_do"]] == [("agent/web", "critical")]
    assert told["answer"] == "Agent web is unreachable."


def test_a_low_score_is_told_where_nothing_else_says_why(scene: Scene) -> None:
    scene.all_well()
    low = [
        Sample(family="sutazai_health_score", value=40),
        Sample(family="sutazai_score_deduction_points", labels={"score": "health", "reason": "x_fail"}, value=20),
        Sample(family="sutazai_score_deduction_points", labels={"score": "health", "reason": "y_fail"}, value=40),
    ]
    scene.ran("health-check", result={"samples": low})
    told = scene.status()
    assert (told["verdict"], subjects(told)) == ("critical", ["score/health"])
    health = next(score for score in told["scores"] if score["name"] == "health")
    assert health["value"] == 40
    assert [taken["reason"] for taken in health["deductions"]] == ["y_fail", "x_fail"]
    scene.ran("health-check", found("check/y"), result={"samples": low})
    told = scene.status()
    assert (told["verdict"], subjects(told)) == ("critical", ["check/y"])


# Tasks


def test_a_task_that_does_not_work_is_one_thing_to_do(scene: Scene) -> None:
    scene.all_well()
    scene.ran("log-rotation", outcome=Outcome.ERROR, error="the disk is full")
    told = scene.status()
    assert (told["verdict"], told["answer"]) == ("attention", "Log-rotation does not work.")
    (todo,) = told["to_do"]
    assert (todo["kind"], todo["command"]) == ("task", "sutazai-exporter run log-rotation --mode standard")
    assert "the disk is full" in todo["what"]
    (task,) = [task for task in told["tasks"] if task["failing"]]
    assert task["task"] == "log-rotation"
    assert task["last_run"] is not None
    assert task["last_run"]["error"] == "the disk is full"


def test_a_name_that_somebody_mistyped_is_no_failing_task(scene: Scene) -> None:
    scene.all_well()
    scene.ran("agent-monitor", outcome=Outcome.ERROR, error="no such agent", target="typo", trigger="command")
    told = scene.status()
    assert (told["verdict"], [task for task in told["tasks"] if task["failing"]]) == ("good", [])


def test_a_mode_that_fails_stays_to_be_done_though_another_works(scene: Scene) -> None:
    scene.all_well()
    scene.ran("security-scan", mode="full", outcome=Outcome.TIMEOUT, error="too long")
    scene.ran("security-scan", mode="standard")
    told = scene.status()
    assert told["verdict"] == "attention"
    assert [one["command"] for one in told["to_do"]] == ["sutazai-exporter run security-scan --mode full"]


def test_a_run_under_way_is_seen_wherever_it_is(scene: Scene) -> None:
    scene.all_well()
    ours = Progress(NOON, 1, 4, "half of it")
    request = Request(task="log-rotation", mode="standard")
    scene.store.begin_run(request, NOON, os.getpid() + 1)
    cut_off = Request(task="security-scan", mode="standard")
    scene.store.begin_run(cut_off, NOON, os.getpid() + 1)
    lock = FileLock(run_lock(scene.base_dir, "log-rotation", ""), "another process")
    try:
        told = status(scene.sources(lambda task: ours if task == "health-check" else None), serving=True)
    finally:
        lock.release()
    running = {task["task"]: task["running"] for task in told["tasks"] if task["running"]}
    assert running == {
        "health-check": {
            "since": NOON.isoformat(), "done": 1, "total": 4, "ratio": 0.25, "message": "half of it", "ours": True,
        },
        "log-rotation": {
            "since": NOON.isoformat(), "done": 0, "total": 0, "ratio": None, "message": "", "ours": False,
        },
    }  # fmt: skip


def claim_all(scene: Scene) -> None:
    for task in all_jobs():
        for cadence in cadences_of(scene.configuration, task):
            scene.store.claim_slot(task, cadence.key, cadence.due_slot(scene.now), scene.now)


def test_a_daemon_that_is_gone_is_one_thing_to_do(scene: Scene) -> None:
    scene.all_well()
    claim_all(scene)
    assert scene.wait(minutes=1).status(serving=False)["verdict"] == "good", "the schedule is kept, by cron"
    told = scene.wait(minutes=40).status(serving=False)
    assert told["verdict"] == "critical"
    assert [(one["kind"], one["command"]) for one in told["to_do"]] == [("daemon", "sutazai-exporter serve")]
    assert told["answer"].startswith("Nothing keeps the schedule: ")


@pytest.mark.parametrize(("under_way", "kept"), [(("health-check",), False), (("agent-monitor",), True)])
def test_a_slot_that_waits_for_a_run_of_its_task_is_kept(scene: Scene, under_way: tuple[str, ...], kept: bool) -> None:
    assert nothing_keeps(scene, under_way) is not kept


@pytest.mark.parametrize("count", [1, 2])
def test_a_slot_that_waits_until_fewer_runs_are_under_way_is_kept(tmp_path: Path, count: int) -> None:
    scene = Scene(tmp_path, runs={"max_parallel": 2})
    busy = ("log-rotation", "security-scan")[:count]
    assert nothing_keeps(scene, busy) is (count == 1)


def nothing_keeps(scene: Scene, under_way: tuple[str, ...]) -> bool:
    """Whether agent-monitor's slot, which nobody has claimed for minutes, is told of while these tasks are run."""
    scene.all_well()
    claim_all(scene)
    scene.wait(minutes=9)
    for task in all_jobs():
        for cadence in cadences_of(scene.configuration, task):
            if task != "agent-monitor" and cadence.minutes is not None:
                scene.store.claim_slot(task, cadence.key, cadence.due_slot(scene.now), scene.now)
    locks = []
    for task in under_way:
        scene.store.begin_run(Request(task=task), scene.now, os.getpid())
        locks.append(FileLock(run_lock(scene.configuration.settings.base_dir, task, ""), "somebody"))
    told = scene.status()
    for lock in locks:
        lock.release()
    return "schedule" in subjects(told)


# What waits for a person, and what comes from outside


def a_question(scene: Scene, alert: str = "AgentDown", agent: str = "web") -> None:
    scene.alert(alert, agent=agent)
    with scene.store.transaction() as db:
        remediations.add(
            db,
            1,
            "restart-agent",
            "agent-monitor",
            agent,
            RemediationState.WAITING,
            scene.now,
            NOON + timedelta(hours=1),
        )


def test_a_question_that_waits_is_told_with_its_answer_and_its_alert_is_not_told_again(scene: Scene) -> None:
    scene.all_well()
    a_question(scene)
    told = scene.status()
    (todo,) = told["to_do"]
    assert (todo["kind"], todo["command"]) == ("approval", "sutazai-exporter remediations approve 1")
    assert "agent-monitor repair web" in todo["what"]
    assert told["answer"] == "One approval waits for you."
    assert [one["state"] for one in told["remediations"]] == ["waiting"]


def test_what_has_become_of_a_repair_is_told_for_an_hour(scene: Scene) -> None:
    scene.all_well()
    a_question(scene)
    (entry,) = remediations.standing(scene.store)
    with scene.store.transaction() as db:
        remediations.move(db, entry, RemediationState.VERIFIED, scene.now, attempts=1)
    (told,) = scene.wait(minutes=59).status()["remediations"]
    assert (told["state"], told["changed"]) == ("verified", NOON.isoformat())
    assert scene.wait(minutes=2).status()["remediations"] == []


def test_a_repair_that_nobody_made_is_told_no_longer(scene: Scene) -> None:
    scene.all_well()
    a_question(scene)
    (entry,) = remediations.standing(scene.store)
    with scene.store.transaction() as db:
        remediations.move(db, entry, RemediationState.REJECTED, scene.now)
    assert scene.status()["remediations"] == []


RUNNING, DUE, VERIFIED = RemediationState.RUNNING, RemediationState.DUE, RemediationState.VERIFIED


def move_repair(scene: Scene, state: RemediationState, attempts: int = 1) -> None:
    """The repair of `a_question` comes into another state, now."""
    (entry,) = remediations.standing(scene.store)
    due = scene.now + timedelta(minutes=5) if state is DUE else None
    with scene.store.transaction() as db:
        remediations.move(db, entry, state, scene.now, attempts=attempts, due=due)


@pytest.mark.parametrize(
    ("state", "words", "command"),
    [
        (RUNNING, "wait: restart-agent is being done (attempt 2); if it does not help: docker start web-1", ""),
        (DUE, "wait: restart-agent is due at 2 Mar 12:05 (attempt 2); if it does not help: docker start web-1",
         "docker start web-1"),
    ],
)  # fmt: skip
def test_what_is_being_repaired_is_as_bad_as_before_and_not_to_be_done_by_hand(
    scene: Scene, state: RemediationState, words: str, command: str
) -> None:
    scene.all_well()
    a_question(scene)
    down = found("agent/web", CRITICAL, "stopped", "docker start web-1")
    scene.agents(down, found("agent/db", CRITICAL, "stopped", "docker start db-1"), web=State.STOPPED, db=State.STOPPED)
    move_repair(scene, state, attempts=2)
    told = scene.status()
    assert (told["verdict"], told["answer"]) == ("critical", "Two agents are stopped. A repair is under way.")
    todo = {one["subject"]: one for one in told["to_do"]}
    assert (todo["agent/web"]["remedy"], todo["agent/web"]["command"]) == (words, command)
    assert (todo["agent/db"]["remedy"], todo["agent/db"]["command"]) == ("docker start db-1", "docker start db-1")


def test_an_alert_that_fires_on_after_its_repair_was_proved_is_waited_for_but_not_for_ever(scene: Scene) -> None:
    scene.all_well()
    a_question(scene)
    scene.wait(minutes=1)
    move_repair(scene, VERIFIED)
    told = scene.status()
    assert told["verdict"] == "attention"
    assert told["answer"] == "The alert AgentDown still fires after its proven repair."
    (todo,) = told["to_do"]
    assert todo["remedy"].startswith("wait until it ends: restart-agent was done, and proved at 2 Mar 12:01; if")
    assert scene.wait(minutes=16).status()["verdict"] == "critical"


def test_a_proof_is_no_good_news_of_an_agent_that_is_down_again_nor_of_another_alert(scene: Scene) -> None:
    scene.all_well()
    a_question(scene)
    move_repair(scene, VERIFIED)
    scene.alert("AgentDown", number=2, agent="db")
    assert scene.status()["answer"].startswith("The alert AgentDown fires and the alert AgentDown still fires")
    scene.agents(web=State.UNREACHABLE)
    assert [one["severity"] for one in scene.status()["to_do"]] == ["critical", "critical"]


def test_an_agent_that_a_person_has_paused_is_unpaused_and_not_repaired(scene: Scene) -> None:
    scene.all_well()
    scene.agents(found("agent/web", MEDIUM, "paused", "docker unpause web-1"), web=State.PAUSED)
    (todo,) = scene.status()["to_do"]
    assert (todo["severity"], todo["command"]) == ("medium", "docker unpause web-1")


def test_what_waits_is_told_beside_what_is_wrong(scene: Scene) -> None:
    scene.all_well()
    a_question(scene)
    scene.agents(a=State.QUARANTINED, b=State.QUARANTINED, web=State.UNREACHABLE)
    assert scene.status()["answer"] == "One approval waits for you and two agents are quarantined."


@pytest.mark.parametrize(
    ("severity", "verdict"),
    [("critical", "critical"), ("warning", "attention"), ("", "attention"), ("none", "good"), ("info", "good")],
)
def test_an_alert_that_fires(scene: Scene, severity: str, verdict: str) -> None:
    scene.all_well()
    scene.alert("DiskSlow", severity)
    told = scene.status()
    assert told["verdict"] == verdict
    assert [alert["name"] for alert in told["alerts"]] == ["DiskSlow"]


def test_an_alert_says_where_its_runbook_is_if_that_is_an_address(scene: Scene) -> None:
    scene.all_well()
    scene.alert("DiskSlow", number=1, runbook="https://wiki.example/DiskSlow")
    scene.alert("DiskSick", number=2, runbook="javascript:alert(1)")
    told = scene.status()
    assert sorted(alert["runbook"] for alert in told["alerts"]) == ["", "https://wiki.example/DiskSlow"]
    remedies = sorted(one["remedy"].partition(",")[0] for one in told["to_do"])
    assert remedies == ["see https://wiki.example/DiskSlow", "see its runbook"]


def test_an_alert_that_nobody_repeats_is_no_good_news(scene: Scene) -> None:
    scene.alert("DiskSlow", "critical")
    scene.wait(hours=25).all_well()
    told = scene.status()
    assert told["verdict"] == "attention"
    assert told["alerts"][0]["state"] == "stale"
    assert "nobody has repeated" in told["to_do"][0]["what"]


def test_alerts_that_tell_again_what_is_known_are_nothing_to_do_of_their_own(scene: Scene) -> None:
    scene.all_well()
    scene.ran("health-check", found("check/postgres", CRITICAL))
    problem = {"task": "health-check", "kind": "fail", "subject": "check/postgres", "source": "sutazai-exporter"}
    scene.alert("SutazaiHealthFail", number=1, **problem)
    scene.alert("CheckDown", number=2, check="postgres")
    scene.alert("DiskSlow", number=3, severity="warning")
    scene.alert("DiskSlow", number=4, severity="warning", disk="other")
    scene.ran("certificate-renewal", found("certificate/ssl/cert.pem", CRITICAL))
    scene.alert("CertificateInvalid", number=5, severity="critical", certificate="ssl/cert.pem")
    scene.ran("backup-verification", found("backup/config/c.tar.gz", CRITICAL))
    scene.alert("BackupDamaged", number=6, severity="critical", file="config/c.tar.gz")
    wanted = subjects(scene.status())
    critical, others = sorted(wanted[:3]), wanted[3:]
    assert critical == ["backup/config/c.tar.gz", "certificate/ssl/cert.pem", "check/postgres"]
    assert others == ["DiskSlow", "DiskSlow"]


# The daemon's own figures


@pytest.mark.parametrize("family", [RELOAD_OK, STORE_UP, AUDIT_INTACT])
def test_what_the_daemon_says_is_wrong_with_itself(scene: Scene, family: object) -> None:
    sources = scene.all_well().sources()
    sources.exposition.set(family.name, 0)  # type: ignore[attr-defined]
    told = status(sources, serving=True)
    assert told["verdict"] == "attention"
    assert [one["kind"] for one in told["to_do"]] == ["daemon"]


def test_messages_that_were_given_up(scene: Scene) -> None:
    sources = scene.all_well().sources()
    sources.exposition.set(DEAD.name, 2, {"channel": "mail"})
    sources.exposition.set(CHANNEL_UP.name, 0, {"channel": "mail"})
    told = status(sources, serving=True)
    assert told["answer"] == "2 messages could not be sent through mail."
    assert [one["command"] for one in told["to_do"]] == ["sutazai-exporter notify dead"]


def test_the_most_urgent_comes_first(scene: Scene) -> None:
    scene.all_well()
    scene.ran("certificate-renewal", found("certificate/a", MEDIUM))
    scene.ran("log-rotation", found("log/a", HIGH))
    scene.ran("health-check", found("check/a", CRITICAL))
    assert [one["severity"] for one in scene.status()["to_do"]] == ["critical", "high", "medium"]


def test_it_is_a_document(scene: Scene) -> None:
    scene.all_well()
    a_question(scene)
    text = json.dumps(scene.status(), allow_nan=False)
    assert json.loads(text) == scene.status()


def test_it_is_told_of_any_jobs_that_there_are(tmp_path: Path) -> None:
    with TrialPackage(tmp_path / "package").in_process():
        scene = Scene(tmp_path)
        scene.ran(TASK)
        told = scene.status()
    assert (told["verdict"], told["scores"], told["agents"]) == ("good", [], [])
    assert [task["task"] for task in told["tasks"]] == [TASK]
