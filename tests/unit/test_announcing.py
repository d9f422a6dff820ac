"""When something is news: one message when a problem opens, one when it is gone, and few in between."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.bridge.model import News, Problem
from exporter.store import StoreError
from jobs.core.model import Outcome, Severity
from tests.services.news import MAIL, NOON, WEBHOOK, History, finding, settings_of
from tests.services.process import quick_directory

HIGH, CRITICAL, MEDIUM = Severity.HIGH, Severity.CRITICAL, Severity.MEDIUM
OPENED, WORSE, CLEARED, REMINDER, COMPLETED = (
    News.OPENED, News.WORSE, News.CLEARED, News.REMINDER, News.COMPLETED,
)  # fmt: skip
A, B = "check/a", "check/b"


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


# One when it opens, one when it is gone


def test_a_standing_problem_is_told_once_however_often_it_is_seen(history: History) -> None:
    for _ in range(10):
        history.run(finding(message="as bad as ever"))
        history.wait(minutes=5)
    assert history.news() == [(OPENED, A)]
    history.run()
    assert history.news() == [(CLEARED, A)]
    history.run()
    assert history.news() == []


def test_a_message_says_what_the_run_said(history: History) -> None:
    history.run(finding(message="it  is\nbad", severity=CRITICAL))
    (message,) = history.deliver()
    assert (message.summary, message.severity, message.event) == ("it is bad", CRITICAL, "health")
    assert (message.status, message.duration_seconds, message.at) == ("GOOD", 1.5, NOON)
    assert message.id == message.thread
    (problem,) = message.problems
    assert (problem.task, problem.kind, problem.subject, problem.mode) == ("health-check", "fail", A, "light")


def test_a_message_names_what_it_is_about_where_the_run_did_not(history: History) -> None:
    history.run(finding("check/endpoint:api", message="http://h/health: connection refused"))
    history.run(finding("check/endpoint:api", message="http://h/health: connection refused"), finding("check/docker"))
    history.run()
    summaries = [message.summary for message in history.deliver()]
    assert summaries[0] == "check/endpoint:api: http://h/health: connection refused"
    assert "no longer found: check/endpoint:api: http://h/health: connection refused" in summaries


def test_later_news_of_a_problem_belongs_to_the_thread_that_opened_it(history: History) -> None:
    history.run(finding())
    history.wait(minutes=5).run(finding(severity=CRITICAL))
    history.wait(minutes=5).run()
    opened, worse, cleared = history.deliver()
    assert [opened.news, worse.news, cleared.news] == [OPENED, WORSE, CLEARED]
    assert {opened.thread, worse.thread, cleared.thread} == {opened.id}
    assert len({opened.id, worse.id, cleared.id}) == 3


def test_only_what_is_severe_enough_is_told(history: History) -> None:
    history.run(finding(severity=MEDIUM))
    assert history.news() == []
    history.settings = settings_of({**WEBHOOK, "min_severity": "medium"})
    history.run(finding(severity=MEDIUM))
    assert history.news() == [(OPENED, A)]


def test_a_task_says_of_its_own_what_is_worth_telling(history: History) -> None:
    history.run(finding(severity=MEDIUM), task="certificate-renewal", mode="watch")
    assert history.news() == [(OPENED, A)]


def test_a_problem_that_becomes_less_severe_is_not_over_and_does_not_get_worse_twice(history: History) -> None:
    for severity in (HIGH, MEDIUM, HIGH, CRITICAL, HIGH, CRITICAL):
        history.wait(minutes=5).run(finding(severity=severity))
    assert history.news() == [(OPENED, A), (WORSE, A)]
    history.run()
    assert history.news() == [(CLEARED, A)]


def test_what_a_subject_still_has_is_told_with_what_it_has_no_more(history: History) -> None:
    history.run(finding("agent/x", kind="unhealthy"), task="agent-monitor", mode="check")
    history.deliver()
    history.wait(minutes=5).run(finding("agent/x", CRITICAL, "quarantined"), task="agent-monitor", mode="check")
    opened, cleared = history.deliver()
    assert (opened.news, cleared.news) == (OPENED, CLEARED)
    assert cleared.summary == "no longer found: agent/x is bad; but agent/x has: quarantined"


# Runs that did not work


def test_a_task_that_does_not_work_is_a_problem_until_it_does(history: History) -> None:
    for outcome in (Outcome.ERROR, Outcome.TIMEOUT):
        history.run(outcome=outcome, error="no disk")
        history.wait(minutes=5)
    (message,) = history.deliver()
    assert (message.event, message.severity, message.status) == ("task", HIGH, "error")
    assert message.summary == "health-check (light) did not work: no disk"
    assert history.open() == [("run_failed", "task/health-check")]
    history.run()
    (message,) = history.deliver()
    assert (message.news, message.summary) == (CLEARED, "health-check works again")


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.TIMEOUT, Outcome.STOPPED, Outcome.SKIPPED])
def test_a_run_that_saw_nothing_ends_nothing(history: History, outcome: Outcome) -> None:
    history.run(finding())
    history.deliver()
    history.run(outcome=outcome, error="x")
    assert ("fail", A) in history.open()
    assert CLEARED not in [news for news, _ in history.news()]


# Reminders


def test_what_stands_for_long_is_told_again_in_time(history: History) -> None:
    history.run(finding())
    assert history.news() == [(OPENED, A)]
    history.wait(hours=23.9)
    assert (history.reminded(), history.news()) == (0, [])
    history.wait(hours=0.2)
    assert (history.reminded(), history.news()) == (1, [(REMINDER, A)])
    assert (history.reminded(), history.news()) == (0, [])
    history.wait(hours=24)
    assert history.reminded() == 1


def test_reminders_can_be_switched_off(tmp_path: Path) -> None:
    history = History(tmp_path, settings_of({**WEBHOOK, "reminder_hours": 0}))
    history.run(finding())
    assert history.wait(days=365).reminded() == 0


def test_reminders_do_not_pile_up_for_a_channel_that_is_down(history: History) -> None:
    history.run(finding())
    for _ in range(3):
        history.wait(hours=25).reminded()
    assert history.news() == [(OPENED, A)]
    history.wait(hours=25).reminded()
    assert history.news() == [(REMINDER, A)]


def test_nobody_is_reminded_of_what_nobody_looks_at_any_more(history: History) -> None:
    history.run(finding())
    history.settings = settings_of(jobs={"health_check": {"enabled": False}})
    assert history.wait(days=2).reminded() == 0


def test_a_channel_that_is_new_hears_of_a_standing_problem_with_the_reminder(history: History) -> None:
    history.run(finding())
    history.deliver()
    history.settings = settings_of({**WEBHOOK, **MAIL})
    history.wait(hours=25).reminded()
    assert {entry.channel for entry in history.outbox.due(history.at, 9)} == {"mail", "webhook"}
    history.deliver()
    history.run()
    assert {entry.channel for entry in history.outbox.due(history.at, 9)} == {"mail", "webhook"}


# Many at once


def test_many_pieces_of_news_of_one_run_are_one_message(history: History) -> None:
    subjects = [f"check/{number}" for number in range(6)]
    history.run(*map(finding, subjects))
    (message,) = history.deliver()
    assert [problem.subject for problem in message.problems] == subjects
    assert message.summary.startswith("health-check: 6 new problems: check/0 is bad; ")
    history.wait(minutes=5).run(*map(finding, subjects[1:]))
    (cleared,) = history.deliver()
    assert (cleared.news, cleared.thread, len(cleared.problems)) == (CLEARED, message.id, 1)
    history.wait(hours=25).reminded()
    assert {(reminder.news, reminder.thread) for reminder in history.deliver()} == {(REMINDER, message.id)}


def test_a_few_are_told_one_by_one(history: History) -> None:
    history.run(*(finding(f"check/{number}") for number in range(5)))
    assert len(history.deliver()) == 5


def test_problems_of_many_threads_end_in_one_message(history: History) -> None:
    subjects = [f"check/{number}" for number in range(6)]
    for count in range(1, 7):
        history.wait(minutes=5).run(*map(finding, subjects[:count]))
    assert len(history.deliver()) == 6
    history.run()
    (cleared,) = history.deliver()
    assert (cleared.news, len(cleared.problems)) == (CLEARED, 6)


# Coming and going


def test_what_comes_and_goes_is_told_three_times_and_then_when_it_stayed_away(history: History) -> None:
    for _ in range(30):
        history.run(finding())
        history.wait(minutes=5).run()
        history.wait(minutes=5)
    assert history.news() == [(OPENED, A), (CLEARED, A), (OPENED, A)]
    assert history.wait(minutes=50).news() == []
    assert history.wait(minutes=5).news() == [(CLEARED, A)]
    assert len(history.store.rows("SELECT id FROM problems")) == 1


def test_what_comes_back_soon_keeps_its_thread_and_what_comes_back_late_is_new(history: History) -> None:
    history.run(finding())
    history.wait(minutes=5).run()
    history.wait(minutes=59).run(finding())
    first, _, again = history.deliver()
    assert again.thread == first.id != again.id
    history.wait(hours=2).run()
    history.wait(hours=2).run(finding())
    _, late = history.deliver()
    assert late.thread == late.id


# Quiet hours

QUIET = {**WEBHOOK, "quiet_hours": ["22:00-07:00"]}
BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = datetime(2026, 3, 2, 23, tzinfo=BERLIN)


@pytest.fixture
def night(tmp_path: Path) -> History:
    return History(tmp_path, settings_of(QUIET), NIGHT)


def test_what_is_not_critical_waits_until_the_morning(night: History) -> None:
    night.run(finding(), finding(B, CRITICAL))
    assert night.news() == [(OPENED, B)]
    assert night.wait(hours=7, minutes=59).news() == []
    assert night.wait(minutes=1).news() == [(OPENED, A)]


def test_what_came_and_went_in_the_night_is_not_told(night: History) -> None:
    night.run(finding())
    night.wait(hours=3).run()
    assert night.states() == ["withdrawn"]
    assert night.wait(hours=9).news() == []


def test_what_becomes_critical_in_the_night_is_told_at_once_and_once(night: History) -> None:
    night.run(finding())
    night.wait(hours=1).run(finding(severity=CRITICAL))
    assert night.news() == [(OPENED, A)]
    assert night.wait(hours=12).news() == []
    night.run()
    assert night.news() == [(CLEARED, A)]


def test_one_of_many_that_were_held_back_is_taken_out_when_it_is_over(night: History) -> None:
    night.run(*(finding(f"check/{number}") for number in range(7)))
    night.wait(hours=1).run(*(finding(f"check/{number}") for number in range(1, 7)))
    night.wait(hours=1).run(finding("check/1", CRITICAL), *(finding(f"check/{number}") for number in range(2, 7)))
    assert night.news() == [(OPENED, "check/1")]
    (message,) = night.wait(hours=7).deliver()
    assert [problem.subject for problem in message.problems] == [f"check/{number}" for number in range(2, 7)]
    assert "5 new problems" in message.summary


def test_the_end_of_what_was_told_before_the_night_is_told_after_it(tmp_path: Path) -> None:
    history = History(tmp_path, settings_of(QUIET), NIGHT - timedelta(hours=2))
    history.run(finding())
    assert history.news() == [(OPENED, A)]
    history.wait(hours=4).run()
    assert history.news() == []
    assert history.wait(hours=7).news() == [(CLEARED, A)]


def test_what_was_told_before_the_night_and_is_back_before_its_end_was_told_is_no_news(tmp_path: Path) -> None:
    history = History(tmp_path, settings_of(QUIET), NIGHT - timedelta(hours=2))
    history.run(finding())
    history.deliver()
    history.wait(hours=4).run()
    history.wait(minutes=30).run(finding())
    assert history.wait(hours=12).news() == []
    assert history.open() == [("fail", A)]


def test_a_message_that_may_be_on_its_way_is_not_withdrawn(night: History) -> None:
    night.run(finding())
    night.wait(hours=7, minutes=59).run()
    assert night.wait(minutes=5).news() == [(OPENED, A), (CLEARED, A)]


def test_the_end_of_a_problem_is_never_told_after_it_came_back(night: History) -> None:
    """The end is due in a minute, so it is not taken back; what is critical must not overtake it all the same."""
    night.at = NIGHT - timedelta(hours=2)
    night.run(finding())
    night.deliver()
    night.wait(hours=9, minutes=30).run()
    night.wait(minutes=29).run(finding(severity=CRITICAL))
    assert night.news() == []
    assert night.wait(minutes=1).news() == [(CLEARED, A), (OPENED, A)]


def test_reminders_keep_the_quiet_hours(night: History) -> None:
    night.at = NIGHT - timedelta(hours=14)
    night.run(finding(), finding(B, CRITICAL))
    night.deliver()
    night.wait(hours=38).reminded()
    assert night.news() == [(REMINDER, B)]
    night.wait(hours=8)
    night.reminded()
    assert night.news() == [(REMINDER, A)]


def test_alertmanager_has_hours_of_its_own_and_needs_no_reminder(tmp_path: Path) -> None:
    history = History(
        tmp_path, settings_of({"quiet_hours": ["22:00-07:00"]}, alertmanager={"url": "http://127.0.0.1:9"}), NIGHT
    )
    history.run(finding())
    assert history.news() == [(OPENED, A)]
    history.wait(hours=35).reminded()
    history.run()
    assert history.news() == [(CLEARED, A)]


def test_quiet_hours_that_follow_one_another_are_as_one(tmp_path: Path) -> None:
    quiet = {**WEBHOOK, "quiet_hours": ["22:00-02:00", "02:00-06:00", "tuesday 05:00-07:30"]}
    history = History(tmp_path, settings_of(quiet), NIGHT)
    history.run(finding())
    assert history.outbox.next_due() == datetime(2026, 3, 3, 7, 30, tzinfo=BERLIN).timestamp()


# Runs that are over


@pytest.mark.parametrize(
    ("wish", "run", "told"),
    [
        ("none", {"mode": "full"}, False),
        ("calendar", {"mode": "full"}, True),
        ("calendar", {"mode": "light"}, False),
        ("calendar", {"mode": "light", "trigger": "api"}, True),
        ("calendar", {"mode": "light", "trigger": "event"}, False),
        ("calendar", {"mode": "full", "outcome": Outcome.ERROR}, True),
        ("calendar", {"mode": "full", "outcome": Outcome.SKIPPED}, False),
        ("calendar", {"mode": "full", "outcome": Outcome.STOPPED}, False),
        ("all", {"mode": "light"}, True),
    ],
)
def test_who_wants_to_hears_that_a_run_is_over(tmp_path: Path, wish: str, run: dict[str, object], told: bool) -> None:
    handler = {"name": "pager", "path": "/bin/true", "completed": wish}
    history = History(tmp_path, settings_of({**MAIL, "handlers": [handler]}))
    history.run(**run)  # type: ignore[arg-type]
    over = [e for e in history.outbox.due(NOON, 9) if e.message.news is COMPLETED]
    assert [entry.channel for entry in over] == (["handler:pager"] if told else [])
    if told:
        assert over[0].message.problems == ()
        assert over[0].message.severity is Severity.INFO


# What is no run


def a_problem(severity: Severity = HIGH) -> Problem:
    return Problem(
        task="remediation", kind="failed", subject="agent/x", severity=severity, message="m", event="agent", opened=NOON
    )


def test_others_can_raise_and_clear_a_problem_as_often_as_they_like(history: History) -> None:
    for _ in range(3):
        history.raised(a_problem(Severity.LOW))
    assert history.news() == [(OPENED, "agent/x")]
    history.raised(a_problem(CRITICAL))
    assert history.news() == [(WORSE, "agent/x")]
    for _ in range(3):
        history.cleared("remediation", "failed", "agent/x", "somebody did it by hand")
    (message,) = history.deliver()
    assert (message.news, message.summary) == (CLEARED, "somebody did it by hand")


def test_a_raised_problem_is_reminded_of_as_any_other(history: History) -> None:
    history.raised(a_problem(Severity.LOW))
    assert history.wait(hours=25).reminded() == 1


# Together or not at all


def test_a_fault_in_the_news_is_no_reason_to_lose_the_record(history: History) -> None:
    with sqlite3.connect(history.store.file) as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON told BEGIN SELECT RAISE(ABORT, 'x'); END")
    history.run(finding())
    assert history.open() == []
    assert history.states() == []
    assert len(history.store.ledger()) == 1


def test_a_store_that_cannot_take_the_news_takes_no_record(history: History) -> None:
    with history.store.transaction() as db:
        db.execute("DROP TABLE told")
    with pytest.raises(StoreError):
        history.run(finding())
    assert history.store.ledger() == []


def test_a_problem_that_another_version_wrote_is_still_known(history: History) -> None:
    history.run(finding())
    history.deliver()
    with history.store.transaction() as db:
        db.execute("""UPDATE problems SET problem = '{"of": "another version"}'""")
    history.run(finding())
    history.run()
    assert history.news() == [(CLEARED, A)]


def test_a_held_message_that_another_version_wrote_is_withdrawn_whole(night: History) -> None:
    night.run(finding())
    with night.store.transaction() as db:
        db.execute("""UPDATE outbox SET message = '{"of": "another version"}'""")
    night.wait(hours=1).run(finding(severity=CRITICAL))
    assert night.states() == ["withdrawn", "pending"]
    assert night.news() == [(OPENED, A)]


@given(st.text(max_size=50), st.text(max_size=50), st.text(max_size=300))
@settings(max_examples=150)
def test_whatever_a_job_finds_its_record_is_entered(kind: str, subject: str, message: str) -> None:
    with quick_directory() as directory:
        history = History(Path(directory))
        history.run(finding(subject, CRITICAL, kind, message), finding(subject, CRITICAL, kind, message + "x"))
        assert len(history.deliver()) == 1
        history.run()
        assert len(history.deliver()) == 1
        history.store.close()


# Any history, against a simple model of what should be told


@dataclass
class Expected:
    """One problem as the rules have it; the channel takes everything at once."""

    told: list[News] = field(default_factory=list)
    is_open: bool = False
    severity: Severity = Severity.INFO
    worst: Severity = Severity.INFO
    since: datetime = NOON
    cleared: datetime | None = None
    last_told: datetime = NOON
    came_back: bool = False
    held_until: datetime | None = None

    def pass_time(self, now: datetime) -> None:
        if self.held_until and now >= self.held_until:
            self.held_until = None
            self.told.append(CLEARED)

    def seen(self, severity: Severity, now: datetime) -> None:
        rank = list(Severity).index
        if not self.is_open:
            if rank(severity) < rank(HIGH):
                return
            self.came_back = self.cleared is not None and now - self.cleared <= timedelta(hours=1)
            self.is_open, self.since = True, now
            if self.came_back and self.held_until:
                self.held_until = None
            else:
                self.told.append(OPENED)
                self.worst, self.last_told = severity, now
        if rank(severity) > rank(self.worst):
            self.told.append(WORSE)
            self.worst, self.last_told = severity, now
        self.severity = severity

    def gone(self, now: datetime) -> None:
        if self.is_open:
            self.is_open, self.cleared = False, now
            if self.came_back and now - self.since < timedelta(hours=1):
                self.held_until = now + timedelta(hours=1)
            else:
                self.told.append(CLEARED)

    def remind(self, now: datetime) -> None:
        if self.is_open and self.severity in (HIGH, CRITICAL) and now - self.last_told >= timedelta(hours=24):
            self.told.append(REMINDER)
            self.last_told = now


RUNS = st.lists(
    st.tuples(
        st.sampled_from([7, 14, 49, 77, 700, 1400]),  # minutes; never within two of the hour that an end is held
        st.one_of(
            st.just(None),  # a run that did not work
            st.dictionaries(st.sampled_from([A, B]), st.sampled_from([MEDIUM, HIGH, CRITICAL]), max_size=2),
        ),
    ),
    max_size=25,
)


class Compared:
    """A history, and beside it what should be told of each subject."""

    def __init__(self, directory: Path) -> None:
        self.history = History(directory)
        self.expected = {subject: Expected() for subject in (A, B)}
        self.told: dict[str, list[News]] = {subject: [] for subject in (A, B)}

    def deliver(self) -> None:
        for message in self.history.deliver():
            for problem in message.problems:
                if problem.subject in self.told:
                    self.told[problem.subject].append(message.news)

    def pass_time(self, minutes: int) -> None:
        self.history.wait(minutes=minutes)
        self.deliver()
        self.history.reminded()
        for one in self.expected.values():
            one.pass_time(self.history.at)
            one.remind(self.history.at)

    def run(self, seen: dict[str, Severity]) -> None:
        self.history.run(*(finding(subject, severity) for subject, severity in seen.items()))
        for subject, one in self.expected.items():
            if subject in seen:
                one.seen(seen[subject], self.history.at)
            else:
                one.gone(self.history.at)


@given(RUNS)
@settings(max_examples=150)
def test_any_history_of_runs_is_told_as_the_rules_have_it(runs: list[tuple[int, dict[str, Severity] | None]]) -> None:
    with quick_directory() as directory:
        compared = Compared(Path(directory))
        for minutes, seen in runs:
            compared.pass_time(minutes)
            if seen is None:
                compared.history.run(outcome=Outcome.ERROR, mode="full", error="x")
            else:
                compared.run(seen)
            compared.deliver()
        compared.history.store.close()
    assert compared.told == {subject: one.told for subject, one in compared.expected.items()}
