"""The health check as a whole, with stand-ins for what must go wrong in ways that no real service does on demand."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from jobs.clients import Clients
from jobs.clients.errors import Absent, ClientError, Refused
from jobs.clients.host import Disk, Host, Mount
from jobs.core.job import JobError
from jobs.core.model import Request
from jobs.core.side_by_side import side_by_side
from jobs.health_check import JOB, Settings
from tests.health import Heard, Remembered, check_health, clients_of, message, statuses, value, values
from tests.services.clocks import FakeClock
from tests.services.trees import tree_digest

SERVICES = ("docker", "containers", "postgres", "redis", "ollama", "agents")


class Raising:
    """Stands for a PostgreSQL or Redis client that ends in `error`."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def status(self) -> None:
        raise self.error


class DeadDisk(Host):
    """Stands for a machine that has mounted a file server which is gone: looking at it never returns."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def mounts(self) -> list[Mount]:
        return [*super().mounts(), Mount("/nas", b"/nas", "nfs4", "nas:/export", False)]

    def disk(self, mount: Mount) -> Disk:
        if mount.point == "/nas":
            self.released.wait()
            raise ClientError("released")
        return super().disk(mount)


@pytest.fixture
def clients(tmp_path: Path, fake_clock: FakeClock) -> Clients:
    return clients_of(tmp_path, fake_clock)


def test_an_empty_machine_is_healthy_and_says_what_is_not_configured(clients: Clients) -> None:
    result = check_health(clients)
    found = statuses(result)
    assert {name: found[name] for name in SERVICES} == dict.fromkeys(SERVICES, "not_configured")
    assert (found["memory"], found["logs"]) == ("pass", "pass")
    up = {check for (check,) in values(result, "sutazai_check_up")}
    assert up.isdisjoint(SERVICES)
    assert not [d for d in result.deductions if d.reason.startswith(SERVICES)]


@pytest.mark.parametrize(
    ("error", "when_found", "when_configured"),
    [
        (Absent("nobody there"), "not_configured", "fail"),
        (Refused("no password"), "unknown", "fail"),
        (ClientError("down"), "fail", "fail"),
        (ZeroDivisionError("a fault of ours"), "unknown", "unknown"),
    ],
)
def test_an_error_counts_by_what_it_says_and_whether_the_service_is_wanted(
    tmp_path: Path, fake_clock: FakeClock, error: Exception, when_found: str, when_configured: str
) -> None:
    found = clients_of(tmp_path, fake_clock)
    configured = clients_of(tmp_path, fake_clock, redis={"url": "redis://127.0.0.1:1/0"})
    for clients, status in ((found, when_found), (configured, when_configured)):
        clients.redis = Raising(error)  # type: ignore[assignment]
        result = check_health(clients)
        assert statuses(result)["redis"] == status
        assert str(error) in message(result, "redis")
        assert values(result, "sutazai_check_up").get(("redis",)) == (0 if status == "fail" else None)


def test_an_unexpected_exception_leaves_the_other_checks_standing(clients: Clients) -> None:
    clients.postgres = Raising(RecursionError("too\ndeep"))  # type: ignore[assignment]
    result = check_health(clients)
    assert message(result, "postgres") == "could not be checked: RecursionError: too deep"
    assert statuses(result)["redis"] == "not_configured"
    assert result.verdict >= 1
    assert ("postgres_unknown", 5.0) in [(d.reason, d.points) for d in result.deductions]


def test_a_check_that_hangs_is_given_up_and_the_others_count(clients: Clients) -> None:
    host = DeadDisk()
    clients.host = host
    clients.clock = SystemLikeClock()  # type: ignore[assignment]
    started = time.monotonic()
    result = check_health(clients, deadline_seconds=2)
    assert 1.9 < time.monotonic() - started < 20
    host.released.set()
    found = statuses(result)
    assert (found["disk:/nas"], found["disk:/"], found["redis"]) == ("unknown", "pass", "not_configured")
    assert message(result, "disk:/nas") == "no answer within 2 s"
    assert ("disk:/nas",) not in values(result, "sutazai_check_duration_seconds")


def test_a_configured_service_that_hangs_has_failed(tmp_path: Path, fake_clock: FakeClock) -> None:
    released = threading.Event()

    class Hanging:
        """Stands for a client stuck where no time-out reaches."""

        def status(self) -> None:
            released.wait()

    clients = clients_of(tmp_path, fake_clock, postgres={"dsn": "postgresql://u@127.0.0.1/x"})
    clients.postgres = Hanging()  # type: ignore[assignment]
    result = check_health(clients, deadline_seconds=2)
    released.set()
    assert statuses(result)["postgres"] == "fail"
    assert values(result, "sutazai_check_up")["postgres",] == 0


class SystemLikeClock(FakeClock):
    """Durations are real, the date is not."""

    def monotonic(self) -> float:
        return time.monotonic()


def test_progress_names_each_check_once(clients: Clients) -> None:
    result = check_health(clients)
    assert isinstance(clients.report, Heard)
    steps = clients.report.steps
    total = len(statuses(result))
    assert [(done, of) for done, of, _ in steps] == [(done, total) for done in range(1, total + 1)]
    assert {name for _, _, name in steps} == set(statuses(result))


def test_every_sample_is_in_the_jobs_catalogue(clients: Clients) -> None:
    families = {family.name: set(family.labels) for family in JOB.metrics}
    assert len(families) == len(JOB.metrics)
    samples = check_health(clients).samples
    assert all(families[sample.family] == set(sample.labels) for sample in samples)
    series = [(sample.family, *sorted(sample.labels.items())) for sample in samples]
    assert len(series) == len(set(series))


def test_score_and_deductions_agree(clients: Clients) -> None:
    clients.redis = Raising(ClientError("down"))  # type: ignore[assignment]
    result = check_health(clients)
    taken = values(result, "sutazai_score_deduction_points")
    assert taken["health", "redis_fail"] == 20
    assert result.score == value(result, "sutazai_health_score") == 100 - sum(taken.values())


def test_only_the_full_mode_has_a_report_and_both_check_the_same(clients: Clients) -> None:
    full, light = check_health(clients, "full"), check_health(clients, "light")
    assert full.report is not None
    assert check_health(clients, "").report is not None
    assert light.report is None
    assert set(statuses(full)) == set(statuses(light))


def test_a_health_check_writes_nothing(clients: Clients, tmp_path: Path) -> None:
    before = tree_digest(tmp_path)
    check_health(clients)
    assert tree_digest(tmp_path) == before


def test_a_target_is_refused(clients: Clients) -> None:
    with pytest.raises(JobError, match="takes no target"):
        JOB.run(Settings(), clients, Request(task="health-check", target="redis"))


def test_the_deadline_must_come_before_the_end_of_the_run() -> None:
    with pytest.raises(ValidationError, match=r"deadline_seconds: 60 must be below max_run_seconds \(60\)"):
        Settings(deadline_seconds=60, max_run_seconds=60)


def test_use_of_disks_is_remembered_and_becomes_a_forecast(tmp_path: Path, fake_clock: FakeClock) -> None:
    result = check_health(clients_of(tmp_path, fake_clock))
    [used] = [o.value for o in result.observations if o.series == "disk_used_bytes//"]
    assert values(result, "sutazai_filesystem_full_seconds") == {}

    now, free = fake_clock.now().timestamp(), values(result, "sutazai_filesystem_free_bytes")["/",]
    # So fast that it will be full in two hours, whatever else is written to this disk meanwhile.
    per_second = free / 7200
    earlier = [(now - 300 * i, used - per_second * 300 * i) for i in range(24, 0, -1)]
    result = check_health(clients_of(tmp_path, fake_clock, Remembered({"disk_used_bytes//": earlier})))
    assert values(result, "sutazai_filesystem_full_seconds")["/",] == pytest.approx(7200, rel=0.1)
    assert statuses(result)["disk:/"] == "warn"
    assert "full in 2.0 h" in message(result, "disk:/")


def test_points_before_the_window_do_not_count(tmp_path: Path, fake_clock: FakeClock) -> None:
    long_ago = fake_clock.now().timestamp() - 30 * 3600
    old = [(long_ago + 300 * i, 1e9 * i) for i in range(24)]
    result = check_health(clients_of(tmp_path, fake_clock, Remembered({"disk_used_bytes//": old})))
    assert values(result, "sutazai_filesystem_full_seconds") == {}


def test_a_found_service_that_is_gone_is_pointed_out(tmp_path: Path, fake_clock: FakeClock) -> None:
    seen = Remembered({"check_seen/redis": [(fake_clock.now().timestamp() - 3600, 1.0)]})
    result = check_health(clients_of(tmp_path, fake_clock, seen))
    assert statuses(result)["redis"] == "not_configured"
    [vanished] = [finding for finding in result.findings if finding.kind == "vanished"]
    assert vanished.subject == "check/redis"
    assert "2026-03-02 11:00" in vanished.message
    assert not [d for d in result.deductions if d.reason.startswith("redis")]


def test_side_by_side_is_not_one_after_the_other() -> None:
    meeting = threading.Barrier(3)
    ended = list(side_by_side([lambda: meeting.wait(20)] * 3, 30, time.monotonic))
    assert sorted(one.index for one in ended) == [0, 1, 2]
    assert all(one.error is None for one in ended)


def test_two_hundred_checks_fit_into_the_memory_of_a_run() -> None:
    release = threading.Event()
    before = _mapped_bytes()
    running = side_by_side([release.wait] * 200, 30, time.monotonic)
    release_after = threading.Timer(0.2, release.set)
    release_after.start()
    grown: list[int] = []
    for _ in running:
        grown.append(_mapped_bytes() - before)
    assert max(grown) < 400 * 2**20
    assert len(grown) == 200


def _mapped_bytes() -> int:
    """Memory that counts against RLIMIT_DATA."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData:")]
    return int(line.split()[1]) * 1024
