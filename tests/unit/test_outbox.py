"""The outbox: what is due when, in which order, and what becomes of a message that nobody takes."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.bridge.families import NOTIFICATIONS
from exporter.bridge.model import Message, News
from exporter.bridge.outgoing import breaker
from exporter.bridge.outgoing.outbox import Entry, Outbox, post
from jobs.core.model import Severity
from tests.services.news import MAIL, NOON, WEBHOOK, History, finding, settings_of
from tests.services.process import quick_directory

BOTH = {**WEBHOOK, **MAIL}
HIGH, CRITICAL = Severity.HIGH, Severity.CRITICAL


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def a_message(number: str = "1", thread: str = "") -> Message:
    return Message(
        id=number, thread=thread or number, news=News.OPENED, event="health", severity=HIGH, at=NOON, host="h",
        task="t", summary="s",
    )  # fmt: skip


def posted(history: History, *messages: Message) -> None:
    with history.store.transaction() as db:
        for message in messages:
            post(db, message, history.settings, history.at)


def fail(history: History, permanent: bool = False, error: str = "no") -> Entry:
    (entry,) = history.outbox.due(history.at, 1)
    history.outbox.failed(entry, history.at, error, permanent, history.settings)
    return entry


def at_the_next_attempt(history: History) -> History:
    seconds = history.outbox.next_due()
    assert seconds is not None
    return history.wait(seconds=max(0.0, seconds - history.at.timestamp()) + 1e-5)  # a datetime has microseconds


def counted(history: History, channel: str = "webhook") -> dict[str, float]:
    counters = history.store.counters()
    key = NOTIFICATIONS.name
    return {dict(labels)["result"]: n for (name, labels), n in counters.items()
            if name == key and dict(labels)["channel"] == channel}  # fmt: skip


def channel(history: History, name: str = "webhook") -> tuple[int, float, str]:
    return tuple(history.store.rows("SELECT failures, closed_until, error FROM channels WHERE name = ?", name)[0])


def test_a_message_is_written_once_for_each_channel_however_often_it_is_posted(tmp_path: Path) -> None:
    history = History(tmp_path, settings_of(BOTH))
    posted(history, a_message(), a_message())
    assert sorted(entry.channel for entry in history.outbox.due(NOON, 9)) == ["mail", "webhook"]


def test_what_was_sent_is_not_due_any_more_and_is_counted_once(history: History) -> None:
    posted(history, a_message())
    (entry,) = history.outbox.due(NOON, 9)
    assert entry.message == a_message()
    history.outbox.sent(entry, NOON)
    history.outbox.sent(entry, NOON)
    assert history.outbox.due(NOON, 9) == []
    assert history.outbox.next_due() is None
    assert counted(history) == {"sent": 1}
    assert [one.id for one in history.outbox.entries("sent", 9)] == [entry.id]


# Attempts that fail


def test_the_waits_between_attempts_grow_up_to_an_hour_and_are_spread(tmp_path: Path) -> None:
    history = History(tmp_path, settings_of({**WEBHOOK, "give_up_hours": 8760}))
    history.outbox = Outbox(history.store, random.Random(1))
    posted(history, a_message())
    waits = []
    for _ in range(40):
        (entry,) = history.outbox.due(history.at, 1)
        history.outbox.failed(entry, history.at, "no", False, history.settings)
        due = history.store.rows("SELECT due FROM outbox")[0][0]
        waits.append(due - history.at.timestamp())
        with history.store.transaction() as db:
            db.execute("UPDATE channels SET closed_until = 0")
        at_the_next_attempt(history)
    limits = [min(3600.0, 10.0 * 2**number) for number in range(40)]
    assert all(1 <= wait <= limit for wait, limit in zip(waits, limits, strict=True))
    late = waits[9:]
    assert max(late) > 2700
    assert min(late) < 900


def test_what_could_not_be_sent_for_long_is_given_up(history: History) -> None:
    posted(history, a_message())
    while history.outbox.next_due() is not None:
        at_the_next_attempt(history)
        fail(history, error="no answer")
    assert timedelta(hours=72) <= history.at - NOON < timedelta(hours=74)
    (dead,) = history.outbox.entries("dead", 9)
    assert dead.error == "no answer"
    assert counted(history) == {"dead": 1, "failed": dead.attempts - 1}


def test_what_is_refused_for_good_is_given_up_at_once_and_closes_nothing(history: History) -> None:
    posted(history, *(a_message(str(number)) for number in range(5)))
    for _ in range(5):
        fail(history, permanent=True, error="550 no such user")
    assert history.states() == ["dead"] * 5
    assert channel(history) == (5, 0, "550 no such user")


def test_the_first_failure_gives_nothing_up(tmp_path: Path) -> None:
    history = History(tmp_path, settings_of({**WEBHOOK, "give_up_hours": 1}))
    posted(history, a_message())
    history.wait(hours=5)
    fail(history)
    assert history.states() == ["pending"]
    fail(at_the_next_attempt(history))
    assert history.states() == ["dead"]


# The breaker


def test_a_channel_that_fails_is_left_alone_and_then_tried_with_one_message(history: History) -> None:
    posted(history, *(a_message(str(number)) for number in range(6)))
    for _ in range(3):
        fail(history)
    assert history.outbox.due(history.at, 9) == []
    failures, closed_until, _ = channel(history)
    assert (failures, closed_until) == (3, NOON.timestamp() + breaker.FIRST_SECONDS)
    history.wait(seconds=10)
    assert len(history.outbox.due(history.at, 9)) == 1
    fail(history)
    assert channel(history)[:2] == (4, NOON.timestamp() + 10 + 20)
    history.wait(seconds=20)
    (entry,) = history.outbox.due(history.at, 9)
    history.outbox.sent(entry, history.at)
    assert channel(history) == (0, 0, "")
    assert len(history.outbox.due(history.wait(hours=1).at, 9)) == 5


def test_one_channel_that_fails_holds_up_no_other(tmp_path: Path) -> None:
    history = History(tmp_path, settings_of(BOTH))
    posted(history, *(a_message(str(number)) for number in range(4)))
    for entry in history.outbox.due(NOON, 99):
        if entry.channel == "mail":
            history.outbox.failed(entry, NOON, "no", False, history.settings)
    assert {entry.channel for entry in history.outbox.due(history.at, 2)} == {"webhook"}
    history.wait(minutes=30)
    assert [entry.channel for entry in history.outbox.due(history.at, 9)].count("mail") == 1


def test_what_a_breaker_has_learnt_is_known_to_the_next_process(history: History) -> None:
    posted(history, *(a_message(str(number)) for number in range(6)))
    for _ in range(3):
        fail(history)
    assert Outbox(history.store).due(history.at, 9) == []
    assert Outbox(history.store).next_due() == NOON.timestamp() + 10


# Order


def test_later_news_of_a_thread_waits_for_the_earlier(history: History) -> None:
    posted(history, a_message("1"), a_message("2", thread="1"), a_message("3"))
    assert [entry.message.id for entry in history.outbox.due(history.at, 9)] == ["1", "3"]
    fail(history)
    assert [entry.message.id for entry in history.outbox.due(history.at, 9)] == ["3"]
    fail(history, permanent=True)
    at_the_next_attempt(history)
    fail(history, permanent=True)
    assert [entry.message.id for entry in history.outbox.due(history.at, 9)] == ["2"]


def test_news_of_a_problem_waits_for_the_earlier_whatever_their_threads(history: History) -> None:
    subjects = [f"check/{number}" for number in range(6)]
    for count in range(1, 7):
        history.run(*map(finding, subjects[:count]))
    fail(history)
    history.run()  # one message about all six
    (cleared,) = history.store.rows("SELECT id FROM outbox ORDER BY id DESC LIMIT 1")[0]
    for entry in history.outbox.due(history.at, 99):
        history.outbox.sent(entry, history.at)
    assert history.outbox.due(history.at, 99) == []
    assert [entry.message.news for entry in at_the_next_attempt(history).outbox.due(history.at, 9)] == [News.OPENED]
    history.deliver()
    assert [entry.id for entry in history.outbox.entries("sent", 1)] == [cleared]


# People


def test_what_was_given_up_can_be_tried_again_from_the_beginning(history: History) -> None:
    posted(history, a_message("1"), a_message("2"))
    fail(history, permanent=True)
    fail(history, permanent=True)
    history.wait(days=30)
    assert history.outbox.retry_dead("mail", history.at) == 0
    assert history.outbox.retry_dead(None, history.at) == 2
    fail(history)
    assert history.states() == ["pending", "pending"]
    assert [entry.message.id for entry in at_the_next_attempt(history).outbox.due(history.at, 9)]


def test_what_was_given_up_can_be_put_aside(history: History) -> None:
    posted(history, a_message())
    fail(history, permanent=True)
    assert history.outbox.discard_dead("webhook", history.at) == 1
    assert history.outbox.entries("dead", 9) == []
    assert history.states() == ["discarded"]
    assert history.outbox.retry_dead(None, history.at) == 0


def test_what_waits_for_a_channel_that_is_no_more_is_withdrawn(tmp_path: Path) -> None:
    history = History(tmp_path, settings_of(BOTH))
    posted(history, a_message())
    fail(history)
    assert history.outbox.forget_channels(["webhook"], history.at) == 1
    assert [entry.channel for entry in history.outbox.due(history.wait(days=1).at, 9)] == ["webhook"]
    assert history.store.rows("SELECT name FROM channels") == []
    assert history.outbox.forget_channels([], history.at) == 1


def test_what_another_version_wrote_is_given_up(history: History) -> None:
    posted(history, a_message("1"), a_message("2"))
    with history.store.transaction() as db:
        db.execute("""UPDATE outbox SET message = '{"of": "another"}' WHERE message_id = '1'""")
    assert [entry.message.id for entry in history.outbox.due(history.at, 9)] == ["2"]
    assert history.states() == ["dead", "pending"]
    assert counted(history) == {"dead": 1}
    assert history.outbox.entries("dead", 9) == []


# What is forgotten


def test_what_is_long_over_is_forgotten_and_what_stands_is_not(history: History) -> None:
    history.run(finding("check/a"), finding("check/b"))
    history.wait(minutes=5).run(finding("check/a"))
    history.deliver()
    history.wait(days=91)
    history.outbox.prune(history.at, timedelta(days=90))
    assert history.open() == [("fail", "check/a")]
    assert len(history.store.rows("SELECT * FROM problems")) == 1
    assert history.states() == ["sent"]
    assert len(history.store.rows("SELECT * FROM told")) == 1
    history.run()
    assert history.news() == [(News.CLEARED, "check/a")]


def test_what_waits_is_not_forgotten(history: History) -> None:
    history.run(finding())
    history.run()
    history.outbox.prune(history.wait(days=365).at, timedelta(days=90))
    assert history.states() == ["pending", "pending"]


# Whatever happens: `next_due` is exactly when there is something to send

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["post", "send", "fail", "refuse", "find", "end"]),
        st.sampled_from([0, 1, 9, 60, 600, 40000]),
        st.integers(0, 2),
    ),
    max_size=30,
)


@given(STEPS)
@settings(max_examples=150)
def test_something_is_due_from_the_next_due_time_on_and_nothing_before(steps: list[tuple[str, int, int]]) -> None:
    with quick_directory() as directory:
        history = History(Path(directory), settings_of({**BOTH, "quiet_hours": ["18:00-07:00"], "give_up_hours": 24}))
        history.outbox = Outbox(history.store, random.Random(0))
        for number, (what, seconds, which) in enumerate(steps):
            history.wait(seconds=seconds)
            if what == "post":
                posted(history, a_message(f"{number}", thread=str(which)))
            elif what == "find":
                history.run(finding(f"check/{which}", HIGH if seconds else CRITICAL))
            elif what == "end":
                history.run()
            for entry in history.outbox.due(history.at, 2):
                if what == "send":
                    history.outbox.sent(entry, history.at)
                elif what in ("fail", "refuse"):
                    history.outbox.failed(entry, history.at, "x", what == "refuse", history.settings)
            upcoming = history.outbox.next_due()
            assert (upcoming is None) == ("pending" not in history.states())
            if upcoming is not None:
                when = history.at + timedelta(seconds=upcoming - history.at.timestamp() + 1e-3)
                assert history.outbox.due(when, 9)
                before = when - timedelta(seconds=2e-3)
                assert before >= history.at or history.outbox.due(history.at, 9)
                assert before < history.at or not history.outbox.due(before, 9)
        history.store.close()
