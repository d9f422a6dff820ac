"""The engine on a real store, with runs that end when and how the test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from exporter.bridge.model import RemediationState
from exporter.bridge.remediation import audit, receiving, remediations
from exporter.bridge.remediation.desk import Desk
from exporter.bridge.remediation.engine import Engine, Surroundings
from exporter.record import Record
from exporter.store import Store
from jobs.core.model import Outcome, Request, Result, Sample, Trigger
from tests.services.clocks import FakeClock
from tests.services.remedial import ALERT, RULE, alert, document, send
from tests.services.trial_jobs import TASK, TrialPackage, configuration_of

S = RemediationState


@pytest.fixture(autouse=True)
def trial(tmp_path: Path) -> Iterator[None]:
    with TrialPackage(tmp_path / "package").in_process():
        yield


class Scene:
    """An engine, its store, and the runs that it asked for."""

    def __init__(self, directory: Path, **given: Any) -> None:
        self.store, self.clock, self.directory = Store(directory / "store.db"), FakeClock(), directory
        self.asked: list[tuple[Request, Callable[[Record | None], None]]] = []
        self.stopping = False
        self.intact: list[bool] = []
        self.configure(**given)
        self.engine = self.begin()

    def configure(self, **given: Any) -> None:
        self.settings = configuration_of(self.directory / "base", document(**given)).settings

    def begin(self) -> Engine:
        """An engine as a new daemon has it."""
        self.asked.clear()
        around = Surroundings(
            settings=lambda: self.settings,
            known_agents=lambda: {agent.name for agent in self.settings.agents.listed or ()},
            submit=lambda request, on_end: self.asked.append((request, on_end)),
            stopping=lambda: self.stopping,
            audit_checked=self.intact.append,
        )
        self.engine = Engine(self.store, self.clock, around)
        return self.engine

    def send(self, *alerts: Any) -> None:
        send(self.store, *alerts, now=self.clock.now())
        self.engine.look()

    def resolve(self, agent: str = "web") -> None:
        send(self.store, alert(agent, status="resolved"), now=self.clock.now())

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.engine.look()

    def end(self, outcome: Outcome = Outcome.OK, well: bool = True) -> Request:
        """End the run that was asked for first; a look sees the thing well or not."""
        request, on_end = self.asked.pop(0)
        now = self.clock.now()
        sample = Sample(family="sutazai_trial_value", value=well, labels={"thing": "door"})
        result = Result(status="GOOD", samples=(sample,)) if outcome is Outcome.OK else None
        record = Record(
            run_id=1, request=request, outcome=outcome, started=now, finished=now, duration_seconds=0, result=result
        )
        on_end(record)
        self.engine.wait(0)
        self.engine.look()
        return request

    def attempt(self, well: bool) -> None:
        """One whole attempt."""
        assert self.end().mode == "full"
        assert self.end(well=well).mode == "light"

    def entries(self) -> list[remediations.Entry]:
        return remediations.listing(self.store, 1000)[::-1]

    def states(self) -> list[RemediationState]:
        return [entry.state for entry in self.entries()]

    def audited(self) -> list[tuple[str, str]]:
        return [(entry["what"], entry["outcome"]) for entry in audit.entries(self.store, 1000)[::-1]]

    def desk(self, who: str = "user:jo") -> Desk:
        return Desk(self.store, self.settings, self.clock.now(), who)

    def problems(self) -> list[tuple[str, str]]:
        sql = "SELECT kind, subject FROM problems WHERE task = 'remediation' AND cleared IS NULL ORDER BY id"
        return list(self.store.rows(sql))

    def counted(self) -> dict[str, float]:
        """The remediations that ended, by state."""
        found = self.store.counters().items()
        return {dict(labels)["state"]: n for (name, labels), n in found if name == "sutazai_remediations_total"}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    made: list[Scene] = []

    def make(**given: Any) -> Scene:
        made.append(Scene(tmp_path, **given))
        return made[-1]

    yield make
    for each in made:
        assert audit.verify(each.store).fault == ""
        each.store.close()


# Auto


def test_an_alert_is_remedied_at_once_and_a_new_look_says_so(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.send(alert())
    assert it.states() == [S.RUNNING]
    (request, _) = it.asked[0]
    assert (request.task, request.mode, request.target, request.trigger) == (TASK, "full", "web", Trigger.ALERT)
    assert request.reason == f"alert {ALERT}, remediation 1"
    it.end()
    assert it.states() == [S.VERIFYING]
    assert it.end().mode == "light"
    assert it.states() == [S.VERIFIED]
    assert it.asked == []
    assert it.audited() == [
        ("alert taken in", "due"),
        ("begun", "running"),
        ("done", "verifying"),
        ("verified", "verified"),
    ]
    assert it.counted() == {"verified": 1}
    assert it.problems() == []


def test_every_entry_says_which_alert_which_rule_who_and_what(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.send(alert())
    entry = audit.entries(it.store, 10)[-1]
    assert entry["alert"] == {
        "name": ALERT,
        "fingerprint": f"{ALERT}-web",
        "starts_at": alert().starts_at.isoformat(),
    }
    assert (entry["rule"], entry["remediation"], entry["who"]) == ("mend-thing", 1, "daemon")
    assert entry["at"] == it.clock.now().isoformat()
    assert entry["detail"] == f"{TASK} full web; proven by {TASK} light web (sutazai_trial_value)"


def test_steps_are_run_one_after_another(scene: Callable[..., Scene]) -> None:
    it = scene(rules=[{**RULE, "steps": [{"task": TASK, "mode": "full"}, {"task": TASK, "mode": "light"}]}])
    it.send(alert())
    assert len(it.asked) == 1
    assert it.end().mode == "full"
    assert it.states() == [S.RUNNING]
    assert it.end().mode == "light"
    assert it.states() == [S.VERIFYING]
    it.end()
    assert it.states() == [S.VERIFIED]


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.TIMEOUT, Outcome.STOPPED, Outcome.SKIPPED])
def test_a_step_that_did_not_work_ends_the_attempt_without_a_look(
    scene: Callable[..., Scene], outcome: Outcome
) -> None:
    it = scene()
    it.send(alert())
    it.end(outcome)
    assert it.states() == [S.DUE]
    assert it.asked == []
    assert f"did not work ({outcome})" in it.entries()[0].detail


def test_a_run_that_nobody_entered_ends_the_attempt(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.send(alert())
    it.asked.pop()[1](None)
    it.engine.wait(0)
    it.engine.look()
    assert it.states() == [S.DUE]


def test_failed_attempts_back_off_and_end_with_a_person_called(scene: Callable[..., Scene]) -> None:
    it = scene(max_attempts=3, backoff_seconds=100, cool_down_seconds=0)
    it.send(alert())
    for wait_seconds in (100, 200):
        it.attempt(well=False)
        assert it.states() == [S.DUE]
        it.pass_time(wait_seconds - 1)
        assert it.asked == []
        it.pass_time(1)
        assert it.states() == [S.RUNNING]
    it.attempt(well=False)
    assert it.states() == [S.FAILED]
    assert it.entries()[0].attempts == 3
    assert it.problems() == [("failed", f"{TASK}/web")]
    ((problem,),) = it.store.rows("SELECT problem FROM problems")
    told = json.loads(problem)
    assert (told["severity"], told["event"]) == ("critical", "task")
    assert 'sutazai_trial_value{thing="door"} is 0' in told["message"]
    it.pass_time(7200)
    assert it.asked == []
    assert it.counted() == {"failed": 1}


def test_a_fix_that_helps_at_the_second_attempt_is_verified(scene: Callable[..., Scene]) -> None:
    it = scene(backoff_seconds=10)
    it.send(alert())
    it.attempt(well=False)
    it.pass_time(10)
    it.attempt(well=True)
    assert it.states() == [S.VERIFIED]
    assert it.entries()[0].attempts == 2


def test_whoever_was_called_hears_when_the_alert_has_ended(scene: Callable[..., Scene]) -> None:
    it = scene(max_attempts=1)
    it.send(alert())
    it.attempt(well=False)
    assert it.problems() == [("failed", f"{TASK}/web")]
    it.engine.look()
    assert it.problems() == [("failed", f"{TASK}/web")]
    it.resolve()
    it.engine.look()
    assert it.problems() == []


# The alert's end


def test_an_alert_that_ended_before_anything_was_done_closes_its_remediation(scene: Callable[..., Scene]) -> None:
    it = scene(maintenance_windows=["11:00-12:30"])
    it.send(alert())
    assert it.states() == [S.DUE]
    it.resolve()
    it.engine.look()
    assert it.states() == [S.RESOLVED]
    assert it.asked == []
    assert it.audited()[-1] == ("alert ended", "resolved")


def test_an_alert_that_ends_meanwhile_makes_nothing_verified(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.send(alert())
    it.end()
    it.resolve()
    it.end(well=False)
    assert it.states() == [S.RESOLVED]
    assert it.audited()[-1] == ("not verified", "resolved")
    assert it.problems() == []


def test_an_alert_that_ends_meanwhile_does_not_keep_a_fix_from_being_verified(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.send(alert())
    it.resolve()
    it.attempt(well=True)
    assert it.states() == [S.VERIFIED]


def test_between_attempts_the_end_of_the_alert_ends_the_remediation(scene: Callable[..., Scene]) -> None:
    it = scene(backoff_seconds=100)
    it.send(alert())
    it.attempt(well=False)
    it.resolve()
    it.engine.look()
    assert it.states() == [S.RESOLVED]
    it.pass_time(1000)
    assert it.asked == []


def test_an_alert_that_came_with_its_end_brings_about_nothing(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.send(alert(), alert(status="resolved"))
    it.pass_time(1)
    assert it.states() == []
    assert remediations.undecided(it.store) == []


# What is not done


def test_an_unknown_target_is_refused_and_entered(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.send(alert("postgres; rm -rf /"))
    it.pass_time(60)
    assert it.states() == [S.REFUSED]
    assert it.asked == []
    assert it.audited() == [("alert taken in", "refused")]
    assert it.counted() == {"refused": 1}


def test_an_alert_that_no_rule_is_about_brings_about_nothing(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.send(alert(name="Watchdog", task=TASK, mode="full", container="web"))
    it.pass_time(60)
    assert (it.states(), it.asked, it.audited()) == ([], [], [])
    assert remediations.undecided(it.store) == []


def test_off_does_nothing_and_is_entered(scene: Callable[..., Scene]) -> None:
    it = scene(mode="off")
    it.send(alert())
    it.pass_time(60)
    assert (it.states(), it.asked) == ([], [])
    assert it.audited() == [("alert taken in", "off")]


def test_shadow_says_what_would_be_done(scene: Callable[..., Scene]) -> None:
    it = scene(mode="shadow")
    it.send(alert())
    it.pass_time(60)
    assert (it.states(), it.asked, it.problems()) == ([S.SHADOW], [], [])
    (entry,) = audit.entries(it.store, 10)
    assert entry["detail"].startswith(f"would be done: {TASK} full web;")


def test_what_waits_is_not_done_once_its_mode_is_off(scene: Callable[..., Scene]) -> None:
    it = scene(maintenance_windows=["11:00-12:30"])
    it.send(alert())
    it.configure(mode="off")
    it.pass_time(1800)
    assert (it.states(), it.asked) == ([S.REFUSED], [])


# Approval


def test_a_question_waits_and_people_hear_of_it(scene: Callable[..., Scene]) -> None:
    it = scene(mode="approve")
    it.send(alert())
    it.pass_time(60)
    assert (it.states(), it.asked) == ([S.WAITING], [])
    assert it.problems() == [("approval_wanted", f"{TASK}/web")]
    ((problem,),) = it.store.rows("SELECT problem FROM problems")
    assert json.loads(problem)["remedy"].startswith("sutazai-exporter remediations approve 1")


def test_what_was_approved_is_done_once(scene: Callable[..., Scene]) -> None:
    it = scene(mode="approve")
    it.send(alert())
    approved = receiving.answer(it.desk(), 1, approved=True)
    assert (approved.state, approved.who) == (S.DUE, "user:jo")
    assert it.problems() == []
    with pytest.raises(receiving.NotWaiting, match="remediation 1 does not wait for an answer: it is due"):
        receiving.answer(it.desk(), 1, approved=True)
    it.engine.look()
    it.attempt(well=True)
    assert it.states() == [S.VERIFIED]
    assert it.entries()[0].who == "user:jo"
    assert [(entry["who"], entry["what"]) for entry in audit.entries(it.store, 10)][::-1][:3] == [
        ("daemon", "alert taken in"),
        ("user:jo", "approved"),
        ("daemon", "begun"),
    ]


def test_what_was_rejected_is_not_done(scene: Callable[..., Scene]) -> None:
    it = scene(mode="approve")
    it.send(alert())
    receiving.answer(it.desk("token:ops"), 1, approved=False)
    it.pass_time(60)
    assert (it.states(), it.asked, it.problems()) == ([S.REJECTED], [], [])
    assert it.audited()[-1] == ("rejected", "rejected")


def test_a_question_that_nobody_answers_is_dropped(scene: Callable[..., Scene]) -> None:
    it = scene(mode="approve", approval_hours=2)
    it.send(alert())
    it.pass_time(7199)
    assert it.states() == [S.WAITING]
    it.pass_time(1)
    assert (it.states(), it.asked, it.problems()) == ([S.EXPIRED], [], [])


def test_an_answer_after_the_alert_has_ended_does_nothing(scene: Callable[..., Scene]) -> None:
    it = scene(mode="approve")
    it.send(alert())
    it.resolve()
    assert receiving.answer(it.desk(), 1, approved=True).state is S.RESOLVED
    it.engine.look()
    assert (it.asked, it.problems()) == ([], [])


def test_an_answer_to_what_is_not_there_is_told(scene: Callable[..., Scene]) -> None:
    with pytest.raises(receiving.Unknown, match="there is no remediation 7"):
        receiving.answer(scene().desk(), 7, approved=True)


# One at a time


def test_a_second_alert_of_the_same_target_waits_for_the_first_and_is_then_decided(
    scene: Callable[..., Scene],
) -> None:
    it = scene(cool_down_seconds=100)
    it.send(alert(), alert(fingerprint="second"), alert("api"))
    assert [(entry.target, entry.state) for entry in it.entries()] == [("web", S.RUNNING), ("api", S.RUNNING)]
    assert remediations.undecided(it.store) == [2]
    it.end()
    it.end()
    it.end()
    it.end()
    assert it.states() == [S.VERIFIED, S.VERIFIED, S.DUE]
    it.engine.look()
    assert "the cool-down of 100 s" in it.entries()[2].detail
    it.pass_time(100)
    it.attempt(well=True)
    assert it.states() == [S.VERIFIED] * 3


def test_a_second_alert_that_ends_while_it_waits_brings_about_nothing(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.send(alert(), alert(fingerprint="second"))
    send(it.store, alert(fingerprint="second", status="resolved"), now=it.clock.now())
    it.attempt(well=True)
    it.pass_time(1)
    assert it.states() == [S.VERIFIED]
    assert remediations.undecided(it.store) == []


# Limits


def test_a_target_has_a_budget_of_its_own(scene: Callable[..., Scene]) -> None:
    it = scene(max_per_target_per_hour=2, max_attempts=5, backoff_seconds=0, cool_down_seconds=0)
    it.send(alert())
    for _ in range(2):
        it.attempt(well=False)
        it.engine.look()
    assert it.asked == []
    assert "the budget of this target: 2 in an hour" in it.entries()[0].detail
    it.send(alert("api"))
    assert [request.target for request, _ in it.asked] == ["api"]
    it.asked.clear()
    it.pass_time(3599)
    assert it.asked == []
    it.pass_time(1)
    assert [request.target for request, _ in it.asked] == ["web"]


def test_all_targets_share_a_budget(scene: Callable[..., Scene]) -> None:
    agents = [f"agent-{number}" for number in range(5)]
    it = scene(max_per_hour=3, agents=agents)
    it.send(*(alert(agent) for agent in agents))
    assert len(it.asked) == 3
    assert it.states() == [S.RUNNING] * 3 + [S.DUE] * 2
    it.pass_time(3600)
    assert len(it.asked) == 5


def test_in_a_maintenance_window_nothing_is_begun(scene: Callable[..., Scene]) -> None:
    it = scene(maintenance_windows=["11:00-12:30"])
    it.send(alert())
    it.pass_time(1799)
    assert (it.states(), it.asked) == ([S.DUE], [])
    it.pass_time(1)
    assert it.states() == [S.RUNNING]


# Restarts


@pytest.mark.parametrize("steps_done", [0, 1])
def test_what_a_restart_cut_off_is_looked_at_and_not_run_again(scene: Callable[..., Scene], steps_done: int) -> None:
    it = scene()
    it.send(alert())
    for _ in range(steps_done):
        it.end()
    it.begin().look()
    assert [request.mode for request, _ in it.asked] == ["light"]
    assert it.audited()[-1] == ("interrupted", "verifying")
    it.end(well=True)
    assert it.states() == [S.VERIFIED]
    assert it.entries()[0].attempts == 1


def test_what_was_cut_off_and_did_not_help_is_tried_again_after_its_backoff(scene: Callable[..., Scene]) -> None:
    it = scene(backoff_seconds=50)
    it.send(alert())
    it.begin().look()
    it.end(well=False)
    assert it.states() == [S.DUE]
    it.pass_time(49)
    assert it.asked == []
    it.pass_time(1)
    assert [request.mode for request, _ in it.asked] == ["full"]
    assert it.entries()[0].attempts == 2


def test_what_was_cut_off_and_whose_rule_is_gone_is_given_to_a_person(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.send(alert())
    it.configure(rules=[])
    it.begin().look()
    it.engine.wait(0)
    it.engine.look()
    assert (it.states(), it.asked) == ([S.FAILED], [])
    assert it.problems() == [("failed", f"{TASK}/web")]


def test_while_everything_stops_nothing_is_decided(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.send(alert())
    it.stopping = True
    it.end(Outcome.STOPPED)
    assert it.states() == [S.RUNNING]


def test_a_store_that_fails_for_a_while_loses_no_result(
    scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    from exporter.store import StoreError

    it = scene()
    it.send(alert())
    with monkeypatch.context() as broken:

        def refuse(store: Store) -> None:
            raise StoreError("disk is full")

        broken.setattr(audit, "recorded", refuse)
        broken.setattr("exporter.bridge.remediation.attempts.recorded", refuse)
        with pytest.raises(StoreError):
            it.end()
    it.engine.look()
    assert it.states() == [S.VERIFYING]
    assert [request.mode for request, _ in it.asked] == ["light"]


# The rest


def test_the_audit_log_is_checked_at_the_start_and_daily(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.send(alert())
    assert it.intact == [True]
    it.pass_time(86399)
    assert it.intact == [True]
    with it.store.transaction() as db:
        db.execute("UPDATE audit SET entry = '{}' WHERE sequence = 1")
    it.pass_time(1)
    assert it.intact == [True, False]
    with it.store.transaction() as db:
        db.execute("DELETE FROM audit")
        db.execute("DELETE FROM sqlite_sequence WHERE name = 'audit'")


def test_what_is_over_is_dropped_after_its_time_and_what_is_open_stays(scene: Callable[..., Scene]) -> None:
    it = scene(mode="approve")
    it.send(alert("stranger"), alert("web"))
    remediations.prune(it.store, it.clock.now() + timedelta(days=1))
    assert it.states() == [S.WAITING]
    assert len(audit.entries(it.store, 10)) == 2
