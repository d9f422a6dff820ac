"""How readings are judged and what the judgements amount to; nothing here is asked for anything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.checks.files import judge_certificate, judge_logs
from jobs.checks.machine import judge_disk, judge_load, judge_memory, threshold_samples
from jobs.checks.services import (
    OllamaReading,
    judge_agents,
    judge_containers,
    judge_endpoint,
    judge_ollama,
    judge_postgres,
    judge_redis,
)
from jobs.clients.certificates import CertificateFacts
from jobs.clients.host import BigFiles, Disk, Load, Memory, Mount
from jobs.clients.http import Reply
from jobs.clients.ollama import Model
from jobs.clients.postgres import PostgresStatus
from jobs.clients.redis import RedisStatus
from jobs.core.checks import Answer, Check, Planned, Status, deductions, findings, overall, samples
from jobs.core.containers import Container
from jobs.core.forecast import seconds_to_full
from jobs.core.model import Severity
from jobs.core.scoring import score
from jobs.core.settings import Agent, CertificateSettings, Endpoint, Thresholds

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOUR = 3600.0
GB = 10**9


def check(status: Status, name: str = "thing", points: float = 10) -> Check:
    planned = Planned(name, lambda: None, lambda _: Answer(Status.PASS, ""), failure_points=points)
    return Check(planned, Answer(status, f"{name} is {status}"), NOON, 0.5)


@pytest.mark.parametrize(
    ("found", "word", "verdict"),
    [
        ([Status.PASS], "HEALTHY", 0),
        ([Status.PASS, Status.NOT_CONFIGURED], "HEALTHY", 0),
        ([Status.WARN], "WARNING", 1),
        ([Status.UNKNOWN], "WARNING", 1),
        ([Status.FAIL, Status.WARN], "DEGRADED", 2),
        ([Status.FAIL] * 4, "DEGRADED", 2),
        ([Status.FAIL] * 5, "CRITICAL", 3),
    ],
)
def test_the_overall_status_and_exit_code(found: list[Status], word: str, verdict: int) -> None:
    assert overall([check(status) for status in found], critical_failed_checks=5) == (word, verdict)


def test_each_deduction_has_its_points_and_reason() -> None:
    made = [
        check(Status.FAIL, "postgres", points=20),
        check(Status.FAIL, "disk:/"),
        check(Status.WARN, "load"),
        check(Status.UNKNOWN, "docker", points=20),
        check(Status.PASS, "memory"),
        check(Status.NOT_CONFIGURED, "redis", points=20),
    ]
    taken = deductions(made)
    assert [(d.reason, d.points) for d in taken] == [
        ("postgres_fail", 20),
        ("disk:/_fail", 10),
        ("load_warn", 5),
        ("docker_unknown", 5),
    ]
    assert score(taken) == 60


def test_only_what_passed_has_no_finding() -> None:
    made = [check(status, status) for status in Status]
    found = {finding.subject: finding.severity for finding in findings([*made, check(Status.FAIL, "service", 20)])}
    assert found == {
        "check/warn": Severity.MEDIUM,
        "check/fail": Severity.HIGH,
        "check/unknown": Severity.MEDIUM,
        "check/not_configured": Severity.INFO,
        "check/service": Severity.CRITICAL,
    }


def test_up_is_absent_for_what_nobody_could_tell() -> None:
    made = samples([check(status, status) for status in Status])
    assert {s.labels["check"]: s.value for s in made if s.family == "sutazai_check_up"} == {
        "pass": 1,
        "warn": 1,
        "fail": 0,
    }
    states = [s for s in made if s.family == "sutazai_check_status"]
    assert len(states) == 25
    assert {(s.labels["check"], s.labels["status"]) for s in states if s.value == 1} == {(s, s) for s in Status}


def growing(hours: float, gb_per_hour: float, points: int) -> list[tuple[float, float]]:
    step = hours * HOUR / (points - 1)
    return [(i * step, 50 * GB + gb_per_hour * GB * i * step / HOUR) for i in range(points)]


def test_a_disk_that_fills_steadily_is_full_when_arithmetic_says() -> None:
    assert seconds_to_full(growing(6, 2, 72), free=20 * GB) == pytest.approx(10 * HOUR)


def test_noise_around_a_trend_does_not_move_the_forecast_much() -> None:
    noisy = [(at, used + (GB if i % 2 else -GB)) for i, (at, used) in enumerate(growing(6, 2, 72))]
    assert seconds_to_full(noisy, free=20 * GB) == pytest.approx(10 * HOUR, rel=0.05)


@pytest.mark.parametrize(
    "points",
    [[], growing(5, 2, 5), growing(0.99, 2, 12), growing(6, 0, 72), growing(6, -2, 72), [(5.0, 1.0)] * 10],
    ids=["nothing", "too few", "too short a time", "steady", "shrinking", "all at once"],
)
def test_where_there_is_no_trend_there_is_no_forecast(points: list[tuple[float, float]]) -> None:
    assert seconds_to_full(points, free=20 * GB) is None


def test_six_points_over_an_hour_are_enough() -> None:
    assert seconds_to_full(growing(1, 2, 6), free=20 * GB) == pytest.approx(10 * HOUR)


def test_a_full_disk_that_grows_is_full_now() -> None:
    assert seconds_to_full(growing(6, 2, 72), free=0) == 0


def disk(used_percent: float, inodes_percent: float = 1, inodes: int = 1000) -> Disk:
    used, free = round(used_percent * GB), round((100 - used_percent) * GB)
    mount = Mount("/data", b"/data", "ext4", "/dev/sdb1", False)
    return Disk(mount, 100 * GB, used, free, inodes, round(inodes * (100 - inodes_percent) / 100))


@pytest.mark.parametrize(
    ("found", "full_seconds", "status", "told"),
    [
        (disk(84.9), None, Status.PASS, "84.9 %"),
        (disk(85), None, Status.WARN, "85.0 %"),
        (disk(90), None, Status.FAIL, "90.0 %"),
        (disk(10, inodes_percent=86), None, Status.WARN, "86.0 % of inodes"),
        (disk(10, inodes_percent=100), None, Status.FAIL, "100.0 % of inodes"),
        (disk(10, inodes=0), None, Status.PASS, "10.0 %"),
        (disk(50), 23 * HOUR, Status.WARN, "full in 23.0 h"),
        (disk(50), 25 * HOUR, Status.PASS, "50.0 %"),
        (disk(95), 23 * HOUR, Status.FAIL, "full in 23.0 h"),
    ],
)
def test_a_disk_is_judged_by_bytes_inodes_and_trend(
    found: Disk, full_seconds: float | None, status: Status, told: str
) -> None:
    answer = judge_disk(found, full_seconds, Thresholds(), min_hours_to_full=24)
    assert answer.status is status
    assert told in answer.message
    assert bool(answer.remedy) == (status is not Status.PASS)


def test_a_disk_exports_what_it_has_and_nothing_else() -> None:
    def exported(found: Disk, full_seconds: float | None) -> dict[str, float]:
        answer = judge_disk(found, full_seconds, Thresholds(), 24)
        assert {s.labels["mountpoint"] for s in answer.samples} == {"/data"}
        return {s.family.removeprefix("sutazai_filesystem_"): s.value for s in answer.samples}

    assert exported(disk(25, inodes_percent=50), 7200) == {
        "size_bytes": 100 * GB,
        "free_bytes": 75 * GB,
        "used_ratio": 0.25,
        "inodes_used_ratio": 0.5,
        "full_seconds": 7200,
    }
    assert set(exported(disk(25, inodes=0), None)) == {"size_bytes", "free_bytes", "used_ratio"}


@pytest.mark.parametrize(("used", "status"), [(79.9, Status.PASS), (80, Status.WARN), (90, Status.FAIL)])
def test_memory_has_two_limits(used: float, status: Status) -> None:
    answer = judge_memory(Memory(1000, round(1000 - 10 * used), 0, 0), Thresholds())
    assert answer.status is status
    assert answer.samples[0].value == pytest.approx(used / 100)


@pytest.mark.parametrize(("load1", "status"), [(6.0, Status.PASS), (6.1, Status.WARN), (100, Status.WARN)])
def test_load_counts_per_core(load1: float, status: Status) -> None:
    answer = judge_load(Load((load1, 0, 0), cores=4), Thresholds())
    assert answer.status is status
    assert answer.samples[0].value == load1 / 4


def test_limits_are_exported() -> None:
    exported = {tuple(s.labels.values()): s.value for s in threshold_samples(Thresholds(max_disk_percent=70))}
    assert exported == {
        ("memory_max",): 0.8,
        ("memory_critical",): 0.9,
        ("disk_max",): 0.7,
        ("disk_critical",): 0.9,
        (): 1.5,
    }


def container(name: str, state: str = "running", health: str = "") -> Container:
    return Container(name * 12, name, "image", state, "", health, {}, (), "host", ())


@pytest.mark.parametrize(
    ("found", "status", "told"),
    [
        ([container("a"), container("b", health="healthy")], Status.PASS, "2 of 2"),
        ([container("a"), container("b", "exited")], Status.PASS, "1 of 2"),
        ([], Status.PASS, "0 of 0"),
        ([container("a", health="unhealthy")], Status.FAIL, "a is unhealthy"),
        ([container("a", "restarting")], Status.FAIL, "a is restarting"),
        ([container("a", "dead")], Status.FAIL, "a is dead"),
        ([container("a", "paused")], Status.WARN, "a is paused"),
        ([container("a", "paused"), container("b", "dead")], Status.FAIL, "b is dead; a is paused"),
        ([container("a", "dead") for _ in range(9)], Status.FAIL, "and 4 more"),
    ],
)
def test_containers_are_judged_by_state(found: list[Container], status: Status, told: str) -> None:
    answer = judge_containers(found, required=())
    assert answer.status is status
    assert told in answer.message


@pytest.mark.parametrize("found", [[], [container("db", "exited")], [container("other")]])
def test_a_required_container_must_run(found: list[Container]) -> None:
    answer = judge_containers(found, required=("db",))
    assert (answer.status, answer.message) == (Status.FAIL, "db does not run")
    assert judge_containers([container("db")], required=("db",)).status is Status.PASS


def test_container_states_are_counted_and_odd_ones_make_no_series() -> None:
    answer = judge_containers([container("a"), container("b"), container("c", "\N{SKULL}")], ())
    counts = {s.labels["state"]: s.value for s in answer.samples}
    assert counts["running"] == 2
    assert set(counts) == {"created", "running", "paused", "restarting", "removing", "exited", "dead"}


@pytest.mark.parametrize(("connections", "status"), [(80, Status.PASS), (81, Status.WARN)])
def test_many_connections_are_a_warning(connections: int, status: Status) -> None:
    found = PostgresStatus("h:1", "15.1", "db", 5000, connections, 100, in_recovery=False)
    answer = judge_postgres(found, 80)
    assert answer.status is status
    assert answer.samples[0].value == 5000


@pytest.mark.parametrize(
    ("maximum", "refuses", "save_failed", "link_down", "status"),
    [
        (0, True, False, False, Status.PASS),
        (200, True, False, False, Status.PASS),
        (100, True, False, False, Status.FAIL),
        (100, False, False, False, Status.PASS),
        (0, False, True, False, Status.WARN),
        (0, False, False, True, Status.WARN),
    ],
)
def test_redis_is_judged_by_whether_it_takes_writes(
    maximum: int, refuses: bool, save_failed: bool, link_down: bool, status: Status
) -> None:
    answer = judge_redis(RedisStatus("h:1", "7.0", 150, maximum, refuses, save_failed, link_down))
    assert answer.status is status
    assert answer.samples[0].value == 150


TINY, EMBEDDER = Model("tiny", 1, True), Model("minilm", 1, False)


@pytest.mark.parametrize(
    ("found", "status", "told", "exported"),
    [
        (OllamaReading((TINY,), "tiny", 1.5), Status.PASS, "tiny generated a token in 1.5 s", [1, 1.5]),
        (OllamaReading((TINY,), "tiny", error="HTTP 500"), Status.FAIL, "does not generate: HTTP 500", [1]),
        (OllamaReading(()), Status.WARN, "no models installed", [0]),
        (OllamaReading((EMBEDDER,)), Status.WARN, "no model that can generate", [1]),
    ],
)
def test_ollama_is_judged_by_its_canary(found: OllamaReading, status: Status, told: str, exported: list[float]) -> None:
    answer = judge_ollama(found)
    assert answer.status is status
    assert told in answer.message
    assert [sample.value for sample in answer.samples] == exported


@pytest.mark.parametrize(
    ("reply", "expected", "status", "told"),
    [
        (Reply(200, b"", 0.1), 200, Status.PASS, "answers 200 in 100 ms"),
        (Reply(503, b"", 0.1), 200, Status.FAIL, "answers 503, expected 200"),
        (Reply(401, b"", 0.1), 401, Status.PASS, "answers 401"),
        (Reply(None, b"", 0.1, "connection refused"), 200, Status.FAIL, "connection refused"),
    ],
)
def test_an_endpoint_must_answer_as_expected(reply: Reply, expected: int, status: Status, told: str) -> None:
    endpoint = Endpoint(name="api", url="http://127.0.0.1:1/health?token=canary", expected_status=expected)
    answer = judge_endpoint(reply, endpoint)
    assert answer.status is status
    assert told in answer.message
    assert "canary" not in answer.message + str(answer.details)


@dataclass(frozen=True)
class Reading:
    """Stands for an AgentReading: what of it the health check looks at."""

    agent: Agent
    healthy: bool
    detail: str


def agents(healthy: int, ill: int) -> list[Any]:
    well = [Reading(Agent(name=f"agent-{number}", port=1), True, "") for number in range(healthy)]
    return well + [Reading(Agent(name=f"ill-{number}", port=1), False, "connection refused") for number in range(ill)]


@pytest.mark.parametrize(
    ("healthy", "ill", "status"),
    [
        (1, 0, Status.PASS),
        (4, 1, Status.PASS),
        (79, 21, Status.WARN),
        (1, 1, Status.WARN),
        (49, 51, Status.FAIL),
        (0, 1, Status.FAIL),
        (0, 0, Status.NOT_CONFIGURED),
    ],
)
def test_agents_are_judged_by_the_share_that_is_healthy(healthy: int, ill: int, status: Status) -> None:
    answer = judge_agents(agents(healthy, ill))
    assert answer.status is status
    assert ("connection refused" in answer.message) == bool(ill)


LOG = ("/logs/a.log", 200 * 2**20)


@pytest.mark.parametrize(
    ("found", "wanted", "status", "told"),
    [
        (BigFiles((), (), ()), False, Status.PASS, "no log above 100 MB"),
        (BigFiles((LOG,), (), ()), False, Status.WARN, "/logs/a.log has 200 MB"),
        (BigFiles((), ("/logs",), ()), False, Status.PASS, "no log"),
        (BigFiles((), ("/logs",), ()), True, Status.WARN, "/logs: no such directory"),
        (BigFiles((), (), ("/logs: Permission denied",)), False, Status.WARN, "Permission denied"),
    ],
)
def test_logs_are_judged_by_size(found: BigFiles, wanted: bool, status: Status, told: str) -> None:
    answer = judge_logs(found, wanted, 100)
    assert answer.status is status
    assert told in answer.message
    assert answer.samples[0].value == len(found.files)


@pytest.mark.parametrize(
    ("begins_days", "ends_days", "names", "status", "told"),
    [
        (-1, 31, ("example.org",), Status.PASS, "valid for 31 days"),
        (-1, 29, ("example.org",), Status.WARN, "expires in 29 days"),
        (-9, -1, ("example.org",), Status.FAIL, "expired on 2026-03-01"),
        (1, 90, ("example.org",), Status.FAIL, "not valid before"),
        (-1, 90, ("other.org",), Status.WARN, "is not for example.org but for other.org"),
        (-1, 90, (), Status.WARN, "is not for example.org"),
    ],
)
def test_a_certificate_is_judged_by_its_days_and_names(
    begins_days: int, ends_days: int, names: tuple[str, ...], status: Status, told: str
) -> None:
    facts = CertificateFacts(NOON + timedelta(days=begins_days), NOON + timedelta(days=ends_days), names)
    answer = judge_certificate(facts, "ssl/cert.pem", NOON, CertificateSettings(domain="example.org"))
    assert answer.status is status
    assert told in answer.message
    assert answer.details["expires"] == facts.not_after.isoformat()
