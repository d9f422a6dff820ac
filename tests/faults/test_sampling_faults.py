"""Faults 5, 12, 13, 14 and 23 met while sampling: what hangs or lies is a gap, and everything else is measured."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.clients.host import Host
from jobs.performance import series
from tests.services.http_agent import HttpAgent
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer
from tests.services.sampling_runs import SamplingRuns, figure, figures, gap
from tests.stand_ins import Handler, TcpServer, always, answer, endless, read_request, silent

VERSION = json.dumps({"Version": "28.2.2", "ApiVersion": "1.51"}).encode()
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ONE = "ab" * 32


@pytest.fixture(autouse=True)
def _short_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine's own rates do not matter."""
    monkeypatch.setattr("jobs.performance.sampling.part.WINDOW_SECONDS", 0.1)


def test_services_that_are_stopped_hold_up_nobody_else(
    tmp_path: Path,
    postgres_factory: Callable[..., PostgresServer],
    redis_factory: Callable[..., RedisServer],
    http_agent: Callable[..., HttpAgent],
) -> None:
    stopped, postgres, redis = postgres_factory(), postgres_factory(), redis_factory()
    hanging = http_agent()
    hanging.delay_seconds = 600
    servers = [{"name": "stopped", "dsn": stopped.dsn}]
    runs = SamplingRuns(
        tmp_path,
        postgres={"dsn": postgres.dsn, "servers": servers, "connect_timeout_seconds": 2},
        redis={"url": redis.url, "timeout_seconds": 2},
        agents={"listed": [{"name": "hanging", "port": hanging.port}], "discover": False, "timeout_seconds": 1},
    )
    stopped.pause()
    redis.pause()
    began = time.monotonic()
    try:
        sampled = runs.sample(sample_deadline_seconds=15)
    finally:
        stopped.resume()
        redis.resume()
    assert time.monotonic() - began < 30
    for source in ("postgres/stopped", "redis"):
        told = gap(sampled, source)
        assert told is not None and not told.absent and "no answer within 2 s" in told.reason
    assert figure(sampled, series.AGENTS_HEALTHY) == 0
    assert figure(sampled, series.POSTGRES_CONNECTIONS, "main") is not None
    assert figure(sampled, series.CPU) is not None


def test_what_has_not_ended_by_the_deadline_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system whose server is dead hangs in the kernel, where nothing can end it."""
    hanging = threading.Event()
    monkeypatch.setattr(Host, "disk", lambda *_: hanging.wait(600))
    sampled = SamplingRuns(tmp_path).sample(sample_deadline_seconds=2)
    hanging.set()
    told = gap(sampled, "host/disk /")
    assert told is not None and told.reason == "no answer within 2 s" and not told.absent
    assert figures(sampled, series.DISK) == {}
    assert figure(sampled, series.CPU) is not None


def test_a_fault_in_one_source_leaves_the_others_standing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: object) -> None:
        raise RuntimeError("a\nfault")

    monkeypatch.setattr(Host, "disk", fault)
    sampled = SamplingRuns(tmp_path).sample()
    told = gap(sampled, "host/disk /")
    assert told is not None and told.reason == "could not be sampled: RuntimeError: a fault"
    assert figure(sampled, series.CPU) is not None


def container(name: str) -> dict[str, object]:
    return {"Id": ONE, "Names": [f"/{name}"], "Image": "x", "State": "running", "Status": "Up"}


def engine(containers: bytes, *, stats: Handler, inspect: Handler) -> Handler:
    """Stands for an engine that lists containers, and then does as it likes."""

    def serve(connection: socket.socket, closing: threading.Event) -> None:
        target = read_request(connection)[1]
        if target.endswith("/version"):
            connection.sendall(answer(VERSION))
        elif "/containers/json" in target:
            connection.sendall(answer(containers))
        elif target.endswith("/info"):
            connection.sendall(answer(b'{"MemTotal": 1000000000}'))
        else:
            (stats if "/stats" in target else inspect)(connection, closing)

    return serve


def says(response: bytes) -> Handler:
    return lambda connection, closing: connection.sendall(response)


INSANE: dict[str, Handler] = {
    "silent": silent,
    "500": says(answer(b'{"message": "boom"}', "500 Internal Server Error")),
    "404": says(answer(b'{"message": "no such container"}', "404 Not Found")),
    "garbage": says(b"\x00\xff\x00\r\n\r\n"),
    "another shape": says(answer(b"[1]")),
    "figures as text": says(answer(b'{"memory_stats": {"usage": "512MiB"}}')),
    "NaN": says(answer(b'{"memory_stats": {"usage": NaN}}')),
    "deep JSON": says(answer(b"[" * 100_000)),
    "endless": endless(OK + b"\r\n", b" " * 65536),
    "endless chunks": endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"),
}


@pytest.mark.parametrize(("what", "handle"), INSANE.items(), ids=INSANE)
def test_an_engine_that_lists_and_then_goes_mad_gives_no_figures_and_is_a_gap(
    tmp_path: Path, what: str, handle: Handler
) -> None:
    listed = json.dumps([container("agent")]).encode()
    with TcpServer(engine(listed, stats=handle, inspect=handle)) as server:
        runs = SamplingRuns(tmp_path, docker={"url": server.url.replace("http", "tcp"), "timeout_seconds": 0.3})
        sampled = runs.sample(sample_deadline_seconds=30)
    reasons = " ".join(one.reason for one in sampled.gaps if one.source == "containers")
    # A container that it knows no more has gone since it was listed.
    assert ("1 running containers" in reasons) == (what != "404")
    assert [f for f in sampled.figures if f.kind.name.startswith("container_memory")] == []
    assert figure(sampled, series.CPU) is not None
    assert sampled.sections["container_metrics"]["containers"]["agent"]["state"] == "running"


@pytest.mark.parametrize("handle", [h for n, h in INSANE.items() if n != "404"], ids=[n for n in INSANE if n != "404"])
def test_an_engine_that_is_mad_from_the_start_is_a_gap(tmp_path: Path, handle: Handler) -> None:
    with TcpServer(handle) as server:
        runs = SamplingRuns(tmp_path, docker={"url": server.url.replace("http", "tcp"), "timeout_seconds": 0.3})
        sampled = runs.sample()
    told = gap(sampled, "containers")
    assert told is not None and not told.absent and "\n" not in told.reason
    assert figure(sampled, series.CPU) is not None


def test_an_engine_that_is_configured_and_not_there_is_not_absent(tmp_path: Path) -> None:
    told = gap(SamplingRuns(tmp_path, docker={"url": f"unix://{tmp_path}/no.sock"}).sample(), "containers")
    assert told is not None and not told.absent


def test_ten_thousand_containers_with_hostile_names_are_bounded(tmp_path: Path) -> None:
    names = ["<script>alert(1)</script>", 'a"}\n# HELP x', "\x1b[31m", "\ud800", "x" * 5000]
    many = [
        {**container(f"{names[number % 5]}{number}"), "Id": f"{number:064x}", "State": "exited"}
        for number in range(10_000)
    ]
    told_of = says(
        answer(json.dumps({"Id": ONE, "Name": "/x", "State": {"Status": "exited"}, "RestartCount": 2}).encode())
    )
    with TcpServer(engine(json.dumps(many).encode(), stats=told_of, inspect=told_of)) as server:
        runs = SamplingRuns(tmp_path, docker={"url": server.url.replace("http", "tcp")})
        sampled = runs.sample(max_containers=50)
    restarts = figures(sampled, series.CONTAINER_RESTARTS)
    assert 0 < len(restarts) <= 50
    assert all(label.isprintable() and len(label) <= 128 for (label,) in restarts)
    told = gap(sampled, "containers")
    assert told is not None and "9950 containers are not measured" in told.reason


@pytest.mark.parametrize(
    "body",
    [b"http_requests_total 5\n" * 600_000, b"\xff" * 100_000, b'{"total_requests": ' + b"9" * 100_000],
    ids=["too long", "binary", "cut"],
)
def test_agents_that_tell_nonsense_are_well_and_have_no_figures(
    tmp_path: Path, http_agent: Callable[..., HttpAgent], body: bytes
) -> None:
    agent = http_agent(body=body)
    listed = [{"name": "a", "port": agent.port}]
    sampled = SamplingRuns(tmp_path, agents={"listed": listed, "discover": False}).sample()
    assert figure(sampled, series.AGENTS_HEALTHY) == 1
    assert figures(sampled, series.AGENT_REQUESTS) == {}
    assert "not known" in sampled.sections["agent_metrics"]["agents"]["a"]["own_figures"]


def test_no_password_is_told(tmp_path: Path) -> None:
    with TcpServer(always(answer(b"nonsense"))) as server:
        at = server.url.removeprefix("http://")
        runs = SamplingRuns(
            tmp_path,
            postgres={"dsn": f"postgresql://u:canary-one@{at}/d", "connect_timeout_seconds": 2},
            redis={"url": f"redis://:canary-two@{at}/0", "timeout_seconds": 1},
        )
        sampled = runs.sample()
    assert gap(sampled, "postgres/main") is not None and gap(sampled, "redis") is not None
    assert "canary" not in repr(sampled)
    assert "canary" not in runs.counters_file.read_text()


def test_figures_stand_where_nothing_can_be_remembered(tmp_path: Path) -> None:
    """As on a disk that is full, or that the kernel has made read-only."""
    (tmp_path / "data").write_text("in the way")
    sampled = SamplingRuns(tmp_path).sample()
    assert [finding.kind for finding in sampled.findings] == ["state_not_read", "state_not_written"]
    assert all("counters.json" in finding.message for finding in sampled.findings)
    assert figure(sampled, series.CPU) is not None


def test_mounts_that_cannot_be_told_are_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: object) -> None:
        raise ValueError("mountinfo ends early")

    monkeypatch.setattr(Host, "mounts", fault)
    sampled = SamplingRuns(tmp_path).sample()
    told = gap(sampled, "host/disks")
    assert told is not None and "mountinfo ends early" in told.reason and not told.absent
    assert figure(sampled, series.CPU) is not None
