"""Who looks has another time zone than who keeps the schedule: what is due, and when, is the same for both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from exporter.scheduler import Scheduler
from exporter.slots import claim_due, give_back, look_due
from exporter.store import Store, schedule_zone
from exporter.views import tasks, upkeep
from exporter.views.sources import Sources
from jobs.core.cadence import Cadence
from jobs.core.model import Request, Trigger
from jobs.core.registry import all_jobs
from tests.services.clocks import FakeClock
from tests.services.scenery import Scene

TASK = "health-check"
DAILY, WEEKLY, MONTHLY = (
    Cadence.parse(text) for text in ("daily at 02:30: full", "sunday at 23:45", "monthly on 1 at 00:15")
)
ZONES = [
    ZoneInfo(name)
    for name in ("UTC", "Asia/Kathmandu", "America/Los_Angeles", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Niue")
]
EVERY = timedelta(minutes=15)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A base directory whose one task goes by the calendar."""
    off = {job.key: {"enabled": False} for job in all_jobs().values() if job.name != TASK}
    on = {"health_check": {"schedule": [str(DAILY), str(WEEKLY), str(MONTHLY)]}}
    return Scene(tmp_path_factory.mktemp("zones"), jobs={**off, **on})


@pytest.fixture
def sources(base: Scene, tmp_path: Path) -> Iterator[Sources]:
    """What is seen of a store in which nothing was claimed yet."""
    store = Store(tmp_path / "db")
    yield replace(base.sources(), store=store)
    store.close()


def keep(store: Store, now: datetime) -> list[Request]:
    """Do as whoever keeps the schedule; return what has run."""
    done = [claim_due(store, TASK, cadence, now) for cadence in (MONTHLY, WEEKLY, DAILY)]
    return [request for request in done if request]


def moments(since: datetime, days: float) -> Iterator[datetime]:
    """Times a quarter of an hour apart, a little after each."""
    begin = since.astimezone(UTC) + timedelta(minutes=3)
    return (begin + EVERY * number for number in range(int(days * 96)))


@pytest.mark.parametrize("keeper", ZONES, ids=str)
@pytest.mark.parametrize(
    "since",
    [datetime(2026, 3, 7, tzinfo=UTC), datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC),
     datetime(2026, 10, 31, tzinfo=UTC)],
    ids=["to summer in America", "to summer in Europe", "to winter in Europe", "to winter in America"],
)  # fmt: skip
def test_what_is_kept_is_overdue_in_no_zone(sources: Sources, keeper: ZoneInfo, since: datetime) -> None:
    for now in moments(since, 2.5):
        keep(sources.store, now.astimezone(keeper))
        for zone in ZONES:
            assert upkeep.overdue(replace(sources, now=now.astimezone(zone))) == [], (zone, now)


@pytest.mark.parametrize("keeper", ZONES, ids=str)
def test_the_next_run_is_the_keepers_told_in_the_zone_of_who_looks(sources: Sources, keeper: ZoneInfo) -> None:
    now = datetime(2026, 3, 28, 12, tzinfo=UTC)
    keep(sources.store, now.astimezone(keeper))
    due = min(one.next_time(now.astimezone(keeper)) for one in (DAILY, WEEKLY, MONTHLY))
    for zone in ZONES:
        told = tasks.task(replace(sources, now=now.astimezone(zone)), TASK)["next_run"]
        assert told == due.astimezone(zone).isoformat(timespec="seconds")


@pytest.mark.parametrize("reader", ZONES, ids=str)
@pytest.mark.parametrize("keeper", ZONES, ids=str)
def test_what_nobody_keeps_any_more_is_overdue_in_every_zone_at_once(
    sources: Sources, keeper: ZoneInfo, reader: ZoneInfo
) -> None:
    begins = datetime(2026, 6, 10, 2, 30, tzinfo=keeper)
    keep(sources.store, begins - timedelta(hours=23))

    def overdue(seconds: int) -> list[upkeep.Slot]:
        at = begins.timestamp() + seconds
        return upkeep.overdue(replace(sources, now=datetime.fromtimestamp(at, reader)))

    assert overdue(-1) == overdue(upkeep.GRACE_SECONDS - 1) == []
    assert overdue(upkeep.GRACE_SECONDS) == [(begins, TASK)]


def test_the_night_that_the_clock_is_set_back_is_told_of_no_hour_later(sources: Sources) -> None:
    """The grace is counted in seconds that pass, not by what the clock shows before and after the change."""
    berlin = ZoneInfo("Europe/Berlin")
    begins = datetime(2026, 10, 25, 2, 59, tzinfo=berlin)
    late = Cadence.parse("daily at 02:59")
    claim_due(sources.store, TASK, late, begins - timedelta(hours=23))
    document = {**sources.configuration.document, "jobs": {"health_check": {"schedule": [str(late)]}}}
    settings = type(sources.configuration.settings).model_validate(document)
    seen = replace(sources, configuration=replace(sources.configuration, settings=settings))
    for seconds, expected in ((119, []), (120, [(begins, TASK)])):
        now = datetime.fromtimestamp(begins.timestamp() + seconds, berlin)
        assert upkeep.overdue(replace(seen, now=now)) == expected


@pytest.mark.parametrize(
    "zone",
    [ZoneInfo("Asia/Kathmandu"), timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-9.5)), UTC],
    ids=["named", "east", "west", "UTC"],
)
def test_the_zone_of_the_newest_claim_is_known_by_name_or_offset(sources: Sources, zone: tzinfo) -> None:
    now = datetime(2026, 6, 10, 12, tzinfo=UTC)
    keep(sources.store, (now - timedelta(days=9)).astimezone(ZoneInfo("Europe/Berlin")))
    keep(sources.store, now.astimezone(zone))
    found = schedule_zone.by_schedule(sources.store, now)
    assert (found, found.utcoffset()) == (now, now.astimezone(zone).utcoffset())


@pytest.mark.parametrize("name", [None, "Mars/Olympus", "../../etc/passwd", "+nine", ""])
def test_where_no_zone_is_left_that_is_known_here_who_looks_goes_by_his_own(store_of: Store, name: str | None) -> None:
    now = datetime(2026, 6, 10, 12, tzinfo=ZoneInfo("Asia/Kathmandu"))
    if name is not None:
        store_of.claim_slot("", "zone", name, now)
    assert schedule_zone.by_schedule(store_of, now).tzinfo is now.tzinfo


@pytest.fixture
def store_of(sources: Sources) -> Store:
    return sources.store


def test_the_zone_outlives_the_pruning_of_slots(store_of: Store) -> None:
    zone, began = ZoneInfo("Asia/Kathmandu"), datetime(2026, 1, 1, tzinfo=UTC)
    keep(store_of, began.astimezone(zone))
    store_of.prune(began + timedelta(days=300), timedelta(days=90))
    assert schedule_zone.by_schedule(store_of, began).tzinfo == zone


def test_looking_alone_leaves_no_zone(store_of: Store) -> None:
    now = datetime(2026, 6, 10, 12, tzinfo=ZoneInfo("Asia/Kathmandu"))
    keep(store_of, now.astimezone(UTC))
    assert look_due(store_of, TASK, DAILY, now) is None
    assert claim_due(store_of, TASK, DAILY, now) is None
    assert schedule_zone.by_schedule(store_of, now).utcoffset() == timedelta(0)


def test_a_daemon_that_begins_in_another_zone_is_gone_by_before_it_claims_anything(sources: Sources) -> None:
    """It may have no task that goes by minutes, and its next claim may be a week ahead."""
    now = datetime(2026, 6, 10, 1, tzinfo=UTC)
    keep(sources.store, now.astimezone(ZoneInfo("Asia/Kathmandu")))
    now += timedelta(days=1)
    clock = FakeClock(now.astimezone(ZoneInfo("America/Los_Angeles")))
    scheduler = Scheduler(sources.store, clock, lambda request, asker: pytest.fail(f"begun: {request}"))
    assert upkeep.overdue(replace(sources, now=now)) != []
    scheduler.plan([(TASK, DAILY)])
    scheduler.start()
    assert upkeep.overdue(replace(sources, now=now)) == []


@pytest.mark.parametrize("other", ZONES, ids=str)
def test_a_slot_is_given_back_whoever_finds_that_its_run_was_cut_short(store_of: Store, other: ZoneInfo) -> None:
    """A daemon is killed in mid-run, and the next to begin one is a person with a zone of his own."""
    begins = datetime(2026, 6, 10, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    keep(store_of, begins - timedelta(days=1))
    (request,) = keep(store_of, begins)
    store_of.begin_run(request, begins, 1)
    found = (begins + timedelta(minutes=1)).astimezone(other)
    assert give_back(store_of, request, [DAILY], found)
    again = claim_due(store_of, TASK, DAILY, begins + timedelta(minutes=5))
    assert again is not None
    assert (again.reason, again.trigger) == (request.reason, Trigger.CATCH_UP)
    assert schedule_zone.by_schedule(store_of, found).tzinfo == begins.tzinfo
