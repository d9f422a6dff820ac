"""Which slots are claimed, caught up and counted as missed, whatever the clock does."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import exporter.scheduler
from exporter.record import Record
from exporter.runs.tickets import Asker
from exporter.scheduler import RETRY_SECONDS, Scheduler
from exporter.slots import LATE_SECONDS, claim_due, give_back, look_due
from exporter.store import Store, StoreError
from jobs.core.cadence import Cadence
from jobs.core.model import Outcome, Request, Trigger
from tests.services.clocks import FakeClock

DAILY = Cadence.parse("daily at 06:00: full")
WEEKLY = Cadence.parse("saturday at 23:00")
OFTEN = Cadence.parse("every 5 minutes: light")
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MISSED = ("sutazai_task_missed_runs_total", (("task", "t"),))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "db")
    yield opened
    opened.close()


def claim(store: Store, now: datetime, cadence: Cadence = DAILY) -> Request | None:
    """What runs, for a daemon and for cron: looked for first, and claimed as the run begins."""
    seen = look_due(store, "t", cadence, now)
    claimed = claim_due(store, "t", cadence, now) if seen else None
    assert claimed == seen
    return claimed


def fails(*_: object, **__: object) -> None:
    raise StoreError("db: the store cannot be used: disk I/O error")


class Ticking:
    """A scheduler with a clock that a test moves, and what came of what it has enqueued.

    It stands for a dispatcher whose runs begin at once or, while it is `full`, when the test lets them.
    """

    def __init__(self, store: Store, *cadences: Cadence, now: datetime = NOON) -> None:
        self.clock = FakeClock(now)
        self.begun: list[Request] = []
        self.waiting: list[tuple[Request, Asker]] = []
        self.full = False
        self.store_worked: list[bool] = []
        self.scheduler = Scheduler(store, self.clock, self.enqueue, self.store_worked.append)
        self.scheduler.plan([("t", cadence) for cadence in cadences])

    def enqueue(self, request: Request, asker: Asker) -> None:
        self.waiting.append((request, asker))
        if not self.full:
            self.begin()

    def begin(self) -> list[Request]:
        """Let what waits begin; return what was to be done then."""
        begun = []
        for asked, asker in self.waiting:
            try:
                request = asker.claim() if asker.claim else asked
            except StoreError:
                self.store_worked.append(False)
                request = None
            if request:
                begun.append(request)
                asker.on_begin()
            asker.on_end(None)
        self.waiting.clear()
        self.begun += begun
        return begun

    def give_up(self, outcome: Outcome) -> None:
        """Let what waits end without having begun."""
        now = self.clock.now()
        for asked, asker in self.waiting:
            times = {"started": now, "finished": now, "duration_seconds": 0}
            asker.on_end(Record(run_id=1, request=asked, outcome=outcome, **times))
        self.waiting.clear()

    def tick(self, seconds: float = 0) -> list[Request]:
        """Let time pass, look at every cadence, and return what has begun by it."""
        self.clock.advance(seconds)
        before = len(self.begun)
        self.scheduler.tick_all()
        return self.begun[before:]


# Claims


def test_a_new_installation_does_not_catch_up_on_yesterday(store: Store) -> None:
    assert claim(store, NOON) is None
    assert claim(store, NOON + timedelta(hours=1)) is None
    request = claim(store, NOON + timedelta(hours=18))
    assert request == Request(task="t", mode="full", trigger=Trigger.SCHEDULE, reason="daily at 06:00, slot 2026-03-03")


def test_a_slot_that_is_seen_as_it_begins_runs_though_it_is_the_first(store: Store) -> None:
    """So it is for cron's very first call, and for a cadence that a reload brought a moment before its time."""
    request = claim(store, NOON.replace(hour=6) + timedelta(seconds=LATE_SECONDS))
    assert request is not None
    assert request.trigger is Trigger.SCHEDULE


def test_a_new_interval_task_runs_at_once(store: Store) -> None:
    request = claim(store, NOON + timedelta(minutes=4), OFTEN)
    assert request is not None
    assert (request.trigger, request.mode) == (Trigger.SCHEDULE, "light")


def test_a_slot_is_claimed_once(store: Store) -> None:
    claim(store, NOON)
    tomorrow = NOON + timedelta(hours=18)
    assert claim(store, tomorrow) is not None
    assert claim(store, tomorrow) is None
    assert claim(store, tomorrow + timedelta(hours=23)) is None


def test_downtime_is_caught_up_once_and_the_rest_is_counted_as_missed(store: Store) -> None:
    claim(store, NOON)
    back = NOON + timedelta(days=4)
    request = claim(store, back)
    assert request is not None
    assert request.trigger is Trigger.CATCH_UP
    assert claim(store, back) is None
    assert store.counters() == {MISSED: 3}
    gap = store.missed("t")[0]
    assert (gap["after_slot"], gap["before_slot"], gap["count"]) == ("2026-03-02", "2026-03-06", 3)


@pytest.mark.parametrize(("late_seconds", "trigger"), [(LATE_SECONDS, "schedule"), (LATE_SECONDS + 1, "catch-up")])
def test_what_runs_late_says_so(store: Store, late_seconds: int, trigger: str) -> None:
    claim(store, NOON)
    request = claim(store, NOON.replace(day=3, hour=6) + timedelta(seconds=late_seconds))
    assert request is not None
    assert request.trigger == trigger


def test_interval_tasks_count_every_slot_they_missed(store: Store) -> None:
    claim(store, NOON, OFTEN)
    request = claim(store, NOON + timedelta(hours=1), OFTEN)
    assert request is not None
    assert store.counters() == {MISSED: 11}


def test_tasks_and_cadences_do_not_take_each_others_slots(store: Store) -> None:
    for task in ("a", "b"):
        for cadence in (DAILY, Cadence.parse("monday at 06:00"), Cadence.parse("daily at 06:01")):
            claim_due(store, task, cadence, NOON)
            assert claim_due(store, task, cadence, NOON + timedelta(days=7)) is not None


# Clocks that are set


def test_a_clock_set_back_two_hours_runs_no_slot_twice(store: Store) -> None:
    """Fault 29."""
    claim(store, NOON)
    tomorrow = NOON.replace(day=3, hour=7)
    assert claim(store, tomorrow) is not None
    moments = [tomorrow - timedelta(hours=2) + timedelta(minutes=n) for n in range(0, 300, 5)]
    assert [claim(store, moment) for moment in moments] == [None] * len(moments)


def test_a_clock_set_back_opens_no_day_that_was_missed(store: Store) -> None:
    """Fault 29, across noon of a day before which the daemon was down: that day's work is done already."""
    claim(store, NOON)
    back_up = NOON + timedelta(days=4)
    assert claim(store, back_up) is not None
    assert claim(store, back_up - timedelta(hours=7)) is None
    assert claim(store, back_up - timedelta(days=2)) is None
    assert claim(store, back_up + timedelta(days=1)) is not None


def test_a_clock_that_was_a_year_ahead_for_a_while_stops_no_schedule(store: Store) -> None:
    for cadence in (DAILY, OFTEN):
        claim(store, NOON, cadence)
        claim(store, NOON + timedelta(days=365), cadence)
    assert claim(store, NOON + timedelta(days=1)) is not None
    assert claim(store, NOON + timedelta(days=2)) is not None
    assert claim(store, NOON + timedelta(days=1), OFTEN) is not None


def test_after_a_clock_was_set_back_interval_tasks_keep_their_pace(store: Store) -> None:
    """Fault 29: agents must not go unwatched for two hours; and none of their slots comes within one interval."""
    assert all(claim(store, NOON + timedelta(minutes=n), OFTEN) for n in range(-180, 30, 5))
    back = NOON + timedelta(minutes=27) - timedelta(hours=2)
    ran = [n for n in range(60) if claim(store, back + timedelta(minutes=n), OFTEN)]
    assert 3 <= ran[0] <= 8
    assert {later - earlier for earlier, later in itertools.pairwise(ran)} == {5}


def test_back_within_what_has_run_already_nothing_runs_twice_in_an_interval(store: Store) -> None:
    for n in range(0, 30, 5):
        claim(store, NOON + timedelta(minutes=n), OFTEN)
    back = NOON + timedelta(minutes=20)
    ran = [n for n in range(20) if claim(store, back + timedelta(minutes=n), OFTEN)]
    assert ran == [10, 15]


def test_a_clock_set_forward_three_days_is_one_catch_up(store: Store) -> None:
    """Fault 30."""
    for cadence in (DAILY, OFTEN, WEEKLY):
        claim(store, NOON, cadence)
    later = NOON + timedelta(days=3)
    triggers = [[claim(store, later + timedelta(seconds=s), cadence) for s in range(3)] for cadence in (DAILY, OFTEN)]
    assert [[r.trigger if r else None for r in row] for row in triggers] == [
        [Trigger.CATCH_UP, None, None],
        [Trigger.SCHEDULE, None, None],
    ]
    assert claim(store, later, WEEKLY) is None


@given(
    st.lists(st.one_of(st.floats(1, 7200), st.floats(-7200, -1), st.floats(86400, 4 * 86400)), min_size=1, max_size=30)
)
@settings(max_examples=60)
def test_no_wandering_of_the_clock_runs_a_day_twice(steps: list[float]) -> None:
    now, slots = NOON, []
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory) / "db")
        for step in steps:
            now += timedelta(seconds=step)
            request = claim(store, now)
            if request:
                slots.append(request.reason)
        store.close()
    assert len(slots) == len(set(slots))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"])
def test_every_local_day_of_a_year_runs_exactly_once(store: Store, zone: str) -> None:
    cadence = Cadence.parse("daily at 02:30")
    now, days = datetime(2026, 1, 1, 12, tzinfo=UTC), []
    claim(store, now.astimezone(ZoneInfo(zone)), cadence)
    for _ in range(365 * 24):
        now += timedelta(hours=1)
        request = claim(store, now.astimezone(ZoneInfo(zone)), cadence)
        if request:
            days.append(request.reason.rpartition(" ")[2])
    assert days == [(date(2026, 1, 2) + timedelta(days=n)).isoformat() for n in range(365)]
    assert store.counters() == {}


# The scheduler


def test_at_the_start_calendars_are_caught_up_and_intervals_run_at_once(store: Store) -> None:
    yesterday = Ticking(store, DAILY, OFTEN, now=NOON - timedelta(days=1))
    yesterday.scheduler.start()
    assert [request.trigger for request in yesterday.begun] == [Trigger.SCHEDULE]
    today = Ticking(store, DAILY, OFTEN)
    today.scheduler.start()
    assert [(request.trigger, request.mode) for request in today.begun] == [
        (Trigger.CATCH_UP, "full"),
        (Trigger.SCHEDULE, "light"),
    ]


def test_a_restart_within_a_slot_runs_intervals_once_more_but_no_calendar(store: Store) -> None:
    for _ in range(2):
        ticking = Ticking(store, DAILY, OFTEN)
        ticking.scheduler.start()
    assert [request.trigger for request in ticking.begun] == [Trigger.START]


def test_a_failing_store_loses_no_tick(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ticking = Ticking(store, OFTEN)
    ticking.tick()
    with monkeypatch.context() as patch:
        patch.setattr(store, "claim_slot", fails)
        assert ticking.tick(300) == []
        assert ticking.store_worked[-1] is False
    assert [request.trigger for request in ticking.tick(60)] == [Trigger.SCHEDULE]
    assert ticking.store_worked[-1] is True
    assert store.counters() == {}


def test_the_library_keeps_a_job_whose_store_fails(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ticking = Ticking(store, DAILY, OFTEN)
    library = ticking.scheduler._library
    before = len(library.jobs)
    monkeypatch.setattr(store, "newest_slot", fails)
    library.run_all()
    library.run_all()
    assert len(library.jobs) == before


def test_a_step_of_the_clock_makes_the_schedule_anew_and_looks_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticking = Ticking(store, DAILY)
    ticking.tick()
    library = ticking.scheduler._library
    monkeypatch.setattr(library, "run_pending", lambda: None)  # it goes by the machine's own clock
    ticking.clock.advance(60)
    ticking.scheduler.run_pending()
    jobs = list(library.jobs)
    ticking.clock.set_wall(ticking.clock.now() + timedelta(days=3))
    ticking.scheduler.run_pending()
    assert [request.trigger for request in ticking.begun] == [Trigger.CATCH_UP]
    assert not any(job in library.jobs for job in jobs)


def test_small_corrections_of_the_clock_are_no_step(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    ticking = Ticking(store, DAILY)
    jobs = list(ticking.scheduler._library.jobs)
    for _ in range(20):
        ticking.clock.advance(1)
        ticking.clock.set_wall(ticking.clock.now() + timedelta(seconds=exporter.scheduler.CLOCK_STEP_SECONDS - 2))
        ticking.scheduler.run_pending()
    assert ticking.scheduler._library.jobs == jobs
    assert "the clock was set" not in caplog.text


def test_a_new_plan_replaces_the_old_one(store: Store) -> None:
    ticking = Ticking(store, OFTEN)
    ticking.tick()
    ticking.scheduler.plan([("u", Cadence.parse("every 10 minutes"))])
    assert [request.task for request in ticking.tick(600)] == ["u"]
    ticking.scheduler.plan([])
    assert ticking.tick(6000) == []


# Runs that have to wait for their turn


def test_a_slot_whose_run_never_began_is_due_after_the_next_start(store: Store) -> None:
    ticking = Ticking(store, DAILY, OFTEN)
    ticking.tick()
    ticking.full = True
    assert ticking.tick(18 * 3600) == []
    assert [request.mode for request, _ in ticking.waiting] == ["full", "light"]
    later = Ticking(store, DAILY, OFTEN, now=ticking.clock.now() + timedelta(minutes=1))
    later.scheduler.start()
    assert [request.mode for request in later.begun] == ["full", "light"]
    assert later.begun[0].reason == "daily at 06:00, slot 2026-03-03"
    assert [later.tick(60) for _ in range(3)] == [[], [], []]


def test_while_a_run_waits_further_ticks_add_nothing_and_what_passed_is_missed(store: Store) -> None:
    ticking = Ticking(store, OFTEN)
    ticking.tick()
    ticking.full = True
    for _ in range(31):
        ticking.tick(60)
    assert len(ticking.waiting) == 1
    assert store.counters() == {}
    (request,) = ticking.begin()
    assert request.reason == "every 5 minutes, slot 2026-03-02T12:30:00+00:00"
    assert store.counters() == {MISSED: 5}
    assert ticking.tick(240) == []
    assert len(ticking.waiting) == 1, "of the next slot"


def test_what_was_seen_in_time_and_had_to_wait_is_not_caught_up(store: Store) -> None:
    ticking = Ticking(store, DAILY)
    ticking.tick()
    ticking.full = True
    ticking.tick(18 * 3600)
    ticking.clock.advance(3600)
    assert [request.trigger for request in ticking.begin()] == [Trigger.SCHEDULE]


def test_a_slot_that_another_process_did_meanwhile_is_not_done_again(store: Store) -> None:
    ticking = Ticking(store, DAILY)
    ticking.tick()
    ticking.full = True
    ticking.tick(18 * 3600)
    assert claim(store, ticking.clock.now()) is not None
    assert ticking.begin() == []
    assert ticking.tick(60) == []
    assert ticking.waiting == []


def test_a_run_that_could_not_begin_is_tried_again_after_a_while_and_not_each_minute(store: Store) -> None:
    ticking = Ticking(store, DAILY)
    ticking.tick()
    ticking.full = True
    ticking.tick(18 * 3600)
    ticking.give_up(Outcome.SKIPPED)
    waited = 0
    while not ticking.waiting:
        ticking.tick(60)
        waited += 60
    assert waited == RETRY_SECONDS
    assert [request.reason for request in ticking.begin()] == ["daily at 06:00, slot 2026-03-03"]


def test_after_somebody_has_stopped_a_run_that_waits_the_next_slot_runs_in_its_time(store: Store) -> None:
    every_minute = Cadence.parse("every 1 minute")
    ticking = Ticking(store, every_minute)
    ticking.full = True
    ticking.tick()
    assert claim_due(store, "t", every_minute, ticking.clock.now())  # as the entry of a stopped run does
    ticking.give_up(Outcome.STOPPED)
    ticking.full = False
    assert ticking.tick() == []
    assert len(ticking.tick(60)) == 1


@given(st.lists(st.sampled_from(["tick", "begin", "kill", "cron"]), min_size=1, max_size=60), st.integers(0, 5))
@settings(max_examples=60)
def test_whoever_waits_and_is_killed_a_day_runs_at_most_once_and_the_last_one_in_the_end(
    steps: list[str], hours: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory) / "db")
        claim(store, NOON)
        ran: list[str] = []
        ticking = Ticking(store, DAILY)
        for step in [*steps, "kill", "tick", "begin"]:
            ticking.full = True
            if step == "tick":
                ticking.tick(hours * 3600 + 60)
            elif step == "begin":
                ran += [request.reason for request in ticking.begin()]
            elif step == "kill":
                ticking = Ticking(store, DAILY, now=ticking.clock.now())
            elif cron := claim(store, ticking.clock.now()):
                ran.append(cron.reason)
        now = ticking.clock.now()
        slot, first = DAILY.due_slot(now), DAILY.due_slot(NOON)
        assert len(ran) == len(set(ran))
        assert slot == first or ran[-1].endswith(slot)
        assert len(ran) + store.counters().get(MISSED, 0) == DAILY.slots_between(first, slot) + (slot != first)
        store.close()


# Slots that are given back


def cut_short(store: Store, request: Request, now: datetime, cadence: Cadence = DAILY) -> bool:
    """Begin a run and have it cut short; say whether its slot is given back."""
    store.begin_run(request, now, 1)
    return give_back(store, request, [OFTEN, cadence], now)


@pytest.mark.parametrize("cadence", [DAILY, WEEKLY, Cadence.parse("monthly on 1 at 02:30")])
def test_a_slot_whose_run_was_cut_short_is_due_once_more_and_no_more(store: Store, cadence: Cadence) -> None:
    claim(store, NOON, cadence)
    now = cadence.next_time(cadence.next_time(NOON)) + timedelta(minutes=5)
    first = claim(store, now, cadence)
    assert first is not None
    before = store.counters()
    assert before[MISSED] == 1
    assert cut_short(store, first, now, cadence)
    second = claim(store, now, cadence)
    assert second is not None
    assert (second.reason, second.trigger) == (first.reason, Trigger.CATCH_UP)
    assert not cut_short(store, second, now, cadence)
    assert claim(store, now, cadence) is None
    assert store.counters() == before, "nothing was missed twice"


def test_the_very_first_slot_is_given_back_as_well(store: Store) -> None:
    now = NOON.replace(hour=6)
    first = claim(store, now)
    assert first is not None
    assert cut_short(store, first, now + timedelta(minutes=10))
    assert claim(store, now + timedelta(minutes=20)) is not None


def test_a_slot_that_is_past_is_not_given_back_but_the_newest_caught_up(store: Store) -> None:
    claim(store, NOON)
    first = claim(store, NOON + timedelta(days=1))
    assert first is not None
    back = NOON + timedelta(days=3)
    assert not cut_short(store, first, back)
    assert claim(store, back) is not None
    assert store.counters() == {MISSED: 1}


def test_what_goes_by_minutes_and_what_a_person_asked_for_gives_nothing_back(store: Store) -> None:
    request = claim(store, NOON, OFTEN)
    assert request is not None
    assert not cut_short(store, request, NOON)
    assert not cut_short(store, Request(task="t", reason="asked for by user:me"), NOON)
    assert claim(store, NOON, OFTEN) is None
