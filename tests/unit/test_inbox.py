"""The inbox: each episode once, whatever comes how often and in whatever order."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.bridge.families import ALERTS_RECEIVED
from exporter.bridge.incoming.inbox import END_FIRING, KEPT_FIRING, LATE_SECONDS, STALE_HOURS, Inbox, State, Taken
from exporter.bridge.model import Alert, AlertStatus
from exporter.bridge.remediation.remediations import undecided
from exporter.store import Store, StoreError

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SOON = timedelta(seconds=5)
LATER = timedelta(seconds=LATE_SECONDS + 1)
FIRING, RESOLVED = AlertStatus.FIRING, AlertStatus.RESOLVED
DAYS = timedelta(days=1)


def alert(
    status: AlertStatus = FIRING, *, fingerprint: str = "ab12", began: datetime = NOON, ended: datetime | None = None
) -> Alert:
    labels = {"alertname": "AgentDown", "agent": fingerprint}
    return Alert(fingerprint=fingerprint, status=status, starts_at=began, ends_at=ended, labels=labels)


def resolved(*, began: datetime = NOON, ended: datetime | None = None, fingerprint: str = "ab12") -> Alert:
    return alert(RESOLVED, began=began, ended=ended or began + timedelta(minutes=1), fingerprint=fingerprint)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "inbox.db")


@pytest.fixture
def inbox(store: Store) -> Inbox:
    return Inbox(store)


def firing(inbox: Inbox) -> list[datetime]:
    """The beginnings of the episodes that fire, oldest first."""
    entries = [entry for entry in inbox.recent(1000) if entry.alert.status is AlertStatus.FIRING]
    return sorted(entry.alert.starts_at for entry in entries if entry.ended is None)


def counted(store: Store) -> dict[tuple[str, str], float]:
    named = {key: value for key, value in store.counters().items() if key[0] == ALERTS_RECEIVED.name}
    return {(dict(labels)["status"], dict(labels)["result"]): value for (_, labels), value in named.items()}


def test_an_alert_that_is_sent_again_is_there_once(inbox: Inbox, store: Store) -> None:
    one, other = alert(), alert(fingerprint="cd34")
    assert inbox.take([one, other, one], NOON) == Taken(accepted=2, duplicates=1)
    assert inbox.take([one], NOON + SOON) == Taken(accepted=0, duplicates=1)
    assert [entry.alert for entry in inbox.recent(10)] == [other, one]
    assert counted(store) == {("firing", "accepted"): 2, ("firing", "duplicate"): 2}


def test_what_was_taken_is_there_after_the_file_was_closed(inbox: Inbox, store: Store) -> None:
    inbox.take([alert()], NOON)
    store.close()
    assert [entry.alert for entry in Inbox(Store(store.file)).recent(10)] == [alert()]


def test_a_resolution_ends_the_alert(inbox: Inbox, store: Store) -> None:
    inbox.take([alert()], NOON)
    assert firing(inbox) == [NOON]
    assert inbox.take([resolved()], NOON + LATER) == Taken(accepted=1, duplicates=0)
    assert firing(inbox) == []
    assert [entry.ended for entry in inbox.recent(10)] == [NOON + timedelta(minutes=1)] * 2
    assert counted(store) == {("firing", "accepted"): 1, ("resolved", "accepted"): 1}


def test_a_resolution_without_a_time_ends_it_now(inbox: Inbox) -> None:
    inbox.take([alert(), alert(RESOLVED)], NOON + LATER)
    assert {entry.ended for entry in inbox.recent(10)} == {NOON + LATER}


def test_an_end_before_the_beginning_is_an_end_all_the_same(inbox: Inbox) -> None:
    inbox.take([alert(), resolved(ended=NOON - DAYS)], NOON)
    assert firing(inbox) == []


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_order_in_which_alerts_come_does_not_matter(inbox: Inbox, order: tuple[int, ...]) -> None:
    second = NOON + timedelta(hours=1)
    sent = [alert(), resolved(), alert(began=second), alert(fingerprint="cd34")]
    for place in order:
        inbox.take([sent[place]], second + SOON)
    assert firing(inbox) == [NOON, second]  # that of the other alert, and the newer episode of this one
    assert [e.ended for e in inbox.recent(9) if e.alert == sent[0]] == [NOON + timedelta(minutes=1)]


def test_the_resolution_of_the_earlier_beginning_ends_a_later_one_as_well(inbox: Inbox) -> None:
    """Two Prometheus: the second one tells Alertmanager of an earlier beginning, and that is what resolves."""
    later = NOON + timedelta(seconds=15)
    inbox.take([alert(began=later)], later)
    inbox.take([alert(), resolved(ended=later + LATER)], later + LATER)
    assert firing(inbox) == []


def test_a_resolution_that_never_came_is_made_up_for_by_the_next_one(inbox: Inbox) -> None:
    inbox.take([alert(), alert(began=NOON + DAYS)], NOON + DAYS)
    inbox.take([resolved(began=NOON + DAYS)], NOON + DAYS + LATER)
    assert firing(inbox) == []


def test_a_resolution_does_not_end_what_began_after_it(inbox: Inbox) -> None:
    inbox.take([alert(began=NOON + DAYS), resolved()], NOON + DAYS)
    assert firing(inbox) == [NOON + DAYS]


def test_an_alert_that_comes_shortly_after_its_resolution_was_only_late(inbox: Inbox) -> None:
    inbox.take([resolved()], NOON + SOON)
    assert inbox.take([alert()], NOON + 2 * SOON) == Taken(accepted=1, duplicates=0)
    assert inbox.take([alert()], NOON + 3 * SOON) == Taken(accepted=0, duplicates=1)
    assert firing(inbox) == []


def test_an_alert_that_comes_long_after_its_resolution_fires_again_and_is_handed_over_again(
    inbox: Inbox, store: Store
) -> None:
    """Prometheus was cut off until its alerts expired, and takes them up with their old beginnings."""
    inbox.take([alert()], NOON)
    (number,) = undecided(store)
    inbox.take([resolved()], NOON + SOON)
    with store.transaction() as db:
        db.execute("UPDATE alerts SET handled = ?", (NOON.timestamp(),))
    again = NOON + SOON + LATER
    assert inbox.take([alert()], again) == Taken(accepted=1, duplicates=0)
    assert undecided(store) == [number]
    assert firing(inbox) == [alert().starts_at]
    assert inbox.take([resolved(ended=again + SOON)], again + SOON) == Taken(accepted=1, duplicates=0)
    assert firing(inbox) == []


def test_an_alert_that_is_repeated_comes_to_be_decided_on_once(inbox: Inbox, store: Store) -> None:
    inbox.take([alert(fingerprint=f"{n:x}") for n in range(5)], NOON)
    waiting = undecided(store)
    assert waiting == sorted(waiting)
    assert len(waiting) == 5
    inbox.take([alert(fingerprint="1")], NOON + SOON)
    assert undecided(store) == waiting


def test_all_of_a_body_is_taken_or_nothing(inbox: Inbox, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.transaction() as db:
        db.execute(
            "CREATE TRIGGER full BEFORE INSERT ON alerts WHEN NEW.fingerprint = 'ff'"
            " BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    with pytest.raises(StoreError, match="disk is full"):
        inbox.take([alert(), alert(fingerprint="ff"), alert(fingerprint="cd34")], NOON)
    assert inbox.recent(10) == []
    assert counted(store) == {}


def test_an_alert_that_nobody_repeats_is_stale_and_not_mended(inbox: Inbox) -> None:
    inbox.take([alert()], NOON)
    (entry,) = inbox.recent(1)
    assert entry.state(NOON + timedelta(hours=STALE_HOURS)) is State.FIRING
    stale = NOON + timedelta(hours=STALE_HOURS) + SOON
    assert entry.state(stale) is State.STALE
    assert firing(inbox) == [entry.alert.starts_at]
    inbox.take([alert()], stale)
    assert inbox.recent(1)[0].state(stale) is State.FIRING
    inbox.take([resolved(ended=stale)], stale)
    assert {entry.state(stale + 9 * DAYS) for entry in inbox.recent(9)} == {State.ENDED}


def test_pruning_drops_what_is_old_and_keeps_what_may_fire(inbox: Inbox) -> None:
    gone, stays = alert(fingerprint="01"), alert(fingerprint="02")
    inbox.take([gone, resolved(fingerprint="01"), stays], NOON)
    inbox.prune(NOON + DAYS, DAYS)
    assert len(inbox.recent(9)) == 3
    inbox.prune(NOON + DAYS + SOON, DAYS)
    assert [entry.alert for entry in inbox.recent(9)] == [stays]
    inbox.take([stays], NOON + 6 * DAYS)  # repeated: it still fires
    inbox.prune(NOON + 6 * DAYS + KEPT_FIRING, DAYS)
    assert [entry.alert for entry in inbox.recent(9)] == [stays]
    inbox.prune(NOON + 6 * DAYS + KEPT_FIRING + SOON, DAYS)
    assert inbox.recent(9) == []


def test_pruning_keeps_what_a_remediation_tells_of(inbox: Inbox, store: Store) -> None:
    inbox.take([alert(), resolved(), alert(fingerprint="02"), resolved(fingerprint="02")], NOON)
    with store.transaction() as db:
        db.execute(
            "INSERT INTO remediations (alert, rule, task, target, state, created, changed)"
            " SELECT id, 'r', 't', '', 'verified', 0, 0 FROM alerts WHERE fingerprint = '02' AND status = 'firing'"
        )
    inbox.prune(NOON + 99 * DAYS, DAYS)
    assert [entry.alert for entry in inbox.recent(9)] == [alert(fingerprint="02")]


def test_an_alert_that_another_version_wrote_does_not_hide_the_others(inbox: Inbox, store: Store) -> None:
    inbox.take([alert(), alert(fingerprint="02")], NOON)
    with store.transaction() as db:
        db.execute("UPDATE alerts SET alert = '{}' WHERE fingerprint = 'ab12'")
    assert [entry.alert.fingerprint for entry in inbox.recent(9)] == ["02"]


_EPISODES = st.lists(
    st.tuples(st.sampled_from(["0a", "0b"]), st.integers(0, 3), st.booleans()), min_size=1, max_size=10
)


@given(episodes=_EPISODES, random=st.randoms())
@settings(max_examples=40)
def test_any_stream_in_any_order_leaves_the_same_alerts_firing(
    tmp_path_factory: pytest.TempPathFactory, episodes: list[tuple[str, int, bool]], random: Random
) -> None:
    sent = [
        (alert if fires else resolved)(fingerprint=fingerprint, began=NOON + hour * timedelta(hours=1))
        for fingerprint, hour, fires in episodes
    ]
    shuffled = list(sent)
    random.shuffle(shuffled)
    assert _left_by(sent, tmp_path_factory) == _left_by(shuffled, tmp_path_factory)


def _left_by(sent: list[Alert], directories: pytest.TempPathFactory) -> set[object]:
    store = Store(directories.mktemp("inbox") / "inbox.db")
    inbox = Inbox(store)
    for one in sent:
        inbox.take([one], NOON + timedelta(hours=4))
    left = [(entry.alert, entry.ended) for entry in inbox.recent(100)]
    store.close()
    assert len({(a.fingerprint, a.starts_at, a.status) for a, _ in left}) == len(left) == len(set(map(_key, sent)))
    return {(_key(one), ended is None) for one, ended in left}


def _key(one: Alert) -> tuple[str, datetime, AlertStatus]:
    return one.fingerprint, one.starts_at, one.status


def test_looking_for_the_ends_of_an_alert_does_not_pass_all_its_episodes(store: Store) -> None:
    """One that has come and gone for weeks has ten thousand of them."""
    steps = str(store.rows("EXPLAIN QUERY PLAN " + END_FIRING, "ab12"))
    assert "INDEX firing_alerts (fingerprint=?)" in steps
    assert "INDEX alert_ends (fingerprint=? AND ended>?)" in steps
