"""Faults of the services while their health is checked: the check says what is wrong, and only of what is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.core.model import Result
from tests.health import check_health, clients_of, message, statuses, value, values
from tests.services.clocks import FakeClock
from tests.services.docker_engine import DockerEngine
from tests.services.http_agent import HttpAgent
from tests.services.ollama_stub import Mode, OllamaStub
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer
from tests.services.wait import wait_for
from tests.stand_ins import TcpServer, answer, endless


class RealDurations(FakeClock):
    """Durations are real, the date is not."""

    def monotonic(self) -> float:
        return time.monotonic()


@pytest.fixture
def clock() -> RealDurations:
    return RealDurations()


def is_down(result: Result, check: str) -> bool:
    up = values(result, "sutazai_check_up")[check,]
    return statuses(result)[check] == "fail" and up == 0 and result.verdict >= 2


# Fault 14: SIGSTOP of PostgreSQL.


def test_a_stopped_postgres_is_down_within_its_time_out_and_alone(
    tmp_path: Path,
    clock: RealDurations,
    postgres_factory: Callable[..., PostgresServer],
    redis_server: RedisServer,
    ollama_stub: OllamaStub,
) -> None:
    server = postgres_factory()
    clients = clients_of(
        tmp_path,
        clock,
        postgres={"dsn": server.dsn, "connect_timeout_seconds": 2},
        redis={"url": redis_server.url},
        ollama={"url": ollama_stub.url},
    )
    assert statuses(check_health(clients))["postgres"] == "pass"
    server.pause()
    result = check_health(clients)
    assert is_down(result, "postgres")
    assert "no answer within 2 s" in message(result, "postgres")
    seconds = values(result, "sutazai_check_duration_seconds")
    assert 1.9 < seconds["postgres",] < 10
    assert (statuses(result)["redis"], statuses(result)["ollama"]) == ("pass", "pass")
    assert seconds["redis",] < seconds["postgres",]
    assert ("health", "postgres_fail") in values(result, "sutazai_score_deduction_points")
    assert values(result, "sutazai_postgres_database_size_bytes") == {}
    server.resume()
    assert statuses(check_health(clients))["postgres"] == "pass"


# Fault 22: Redis with NOAUTH, LOADING, OOM, maxclients.


def redis_checked(tmp_path: Path, clock: RealDurations, url: str) -> Result:
    return check_health(clients_of(tmp_path, clock, redis={"url": url}))


def test_redis_noauth_is_down(tmp_path: Path, clock: RealDurations, redis_server: RedisServer) -> None:
    result = redis_checked(tmp_path, clock, redis_server.url_without_password)
    assert is_down(result, "redis")
    assert "asks for a password" in message(result, "redis")


def test_redis_loading_is_down(tmp_path: Path, clock: RealDurations, redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory()
    writer = server.client()
    writer.mset({f"key{i}": "value" for i in range(5000)})
    writer.save()
    server.stop()
    server.start(wait=False, key_load_delay=5000, loading_process_events_interval_bytes=1024)

    def loading() -> bool:
        result = redis_checked(tmp_path, clock, server.url)
        return is_down(result, "redis") and "LOADING" in message(result, "redis")

    wait_for(loading, 20, "the check sees LOADING")


def test_a_full_redis_is_down(tmp_path: Path, clock: RealDurations, redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory(maxmemory=1, maxmemory_policy="noeviction")
    result = redis_checked(tmp_path, clock, server.url)
    assert is_down(result, "redis")
    assert "writes are refused (OOM)" in message(result, "redis")


def test_redis_without_a_free_client_is_down(
    tmp_path: Path, clock: RealDurations, redis_factory: Callable[..., RedisServer]
) -> None:
    server = redis_factory(maxclients=1)
    with server.client() as held:
        held.ping()
        result = redis_checked(tmp_path, clock, server.url)
    assert is_down(result, "redis")
    assert "max number of clients reached" in message(result, "redis")


# Ollama: the API lives, the model runner does not.


@pytest.mark.parametrize("mode", [Mode.DEAD, Mode.HANGING, Mode.GARBAGE, Mode.EMPTY])
def test_an_ollama_that_lists_and_does_not_generate_is_down(
    tmp_path: Path, clock: RealDurations, ollama_stub: OllamaStub, mode: Mode
) -> None:
    ollama_stub.generation = mode
    ollama = {"url": ollama_stub.url, "canary_timeout_seconds": 0.5}
    result = check_health(clients_of(tmp_path, clock, ollama=ollama))
    assert is_down(result, "ollama")
    assert "does not generate" in message(result, "ollama")
    assert value(result, "sutazai_ollama_models") == 2
    assert values(result, "sutazai_ollama_canary_seconds") == {}


# Fault 23, as far as the health check goes: a Docker engine that takes connections and says nothing.


def test_a_silent_docker_engine_is_down_and_its_containers_unknown(
    tmp_path: Path, clock: RealDurations, docker_engine: DockerEngine, redis_server: RedisServer
) -> None:
    docker = {"url": docker_engine.url, "timeout_seconds": 1}
    clients = clients_of(tmp_path, clock, docker=docker, redis={"url": redis_server.url})
    docker_engine.pause()
    try:
        result = check_health(clients, deadline_seconds=30)
    finally:
        docker_engine.resume()
    assert is_down(result, "docker")
    assert statuses(result)["containers"] == "unknown"
    assert statuses(result)["redis"] == "pass"
    assert values(result, "sutazai_containers") == {}


# Everything hangs at once.


def test_a_whole_stack_that_hangs_costs_one_deadline(
    tmp_path: Path,
    clock: RealDurations,
    postgres_factory: Callable[..., PostgresServer],
    redis_factory: Callable[..., RedisServer],
    ollama_stub: OllamaStub,
    http_agent: Callable[..., HttpAgent],
) -> None:
    postgres, redis = postgres_factory(), redis_factory()
    postgres.pause()
    redis.pause()
    ollama_stub.listing = Mode.HANGING
    slow = [http_agent() for _ in range(20)]
    for agent in slow:
        agent.delay_seconds = 3600
    clients = clients_of(
        tmp_path,
        clock,
        postgres={"dsn": postgres.dsn, "connect_timeout_seconds": 300},
        redis={"url": redis.url, "timeout_seconds": 300},
        ollama={"url": ollama_stub.url},
        endpoints=[{"name": f"slow{i}", "url": agent.url, "timeout_seconds": 300} for i, agent in enumerate(slow)],
    )
    started = time.monotonic()
    result = check_health(clients, deadline_seconds=2)
    assert time.monotonic() - started < 15
    down = {name for name, status in statuses(result).items() if status == "fail"}
    assert {"postgres", "redis", "ollama", *(f"endpoint:slow{i}" for i in range(20))} <= down
    assert "no answer within 2 s" in message(result, "postgres")
    assert statuses(result)["logs"] == "pass"
    assert (result.status, result.verdict) == ("CRITICAL", 3)


# Endpoints that would rather keep us.


@pytest.mark.parametrize(
    ("start", "piece", "status"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Header: value\r\n" * 100, "fail"),
        (b"\x00\xff" * 10, b"\x00" * 1000, "fail"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 10000, "pass"),
    ],
    ids=["endless headers", "garbage", "endless body"],
)
def test_a_hostile_endpoint_is_judged_and_left(
    tmp_path: Path, clock: RealDurations, start: bytes, piece: bytes, status: str
) -> None:
    with TcpServer(endless(start, piece)) as server:
        endpoints = [{"name": "hostile", "url": server.url}]
        result = check_health(clients_of(tmp_path, clock, endpoints=endpoints))
    assert statuses(result)["endpoint:hostile"] == status


def test_hostile_names_of_models_reach_nobody_unclean(tmp_path: Path, clock: RealDurations) -> None:
    def handle(connection, closing):  # type: ignore[no-untyped-def]
        connection.recv(65536)
        connection.sendall(answer(rb'{"models": [{"name": "\ud800<script>\u0000\n", "size": 1}]}'))

    with TcpServer(handle) as server:
        result = check_health(clients_of(tmp_path, clock, ollama={"url": server.url}))
    assert is_down(result, "ollama")
    result.model_dump_json().encode()
    assert "\n" not in message(result, "ollama")
