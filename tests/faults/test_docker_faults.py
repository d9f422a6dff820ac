"""Faults 23 to 28: engines that are absent, silent or insane, and containers in every bad condition."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.agent_monitor import JOB, Settings
from jobs.clients.docker import DockerEngine
from jobs.clients.errors import Absent, ClientError, Refused
from jobs.core.job import JobError
from jobs.core.model import Request, Result
from jobs.core.settings import Agent, DockerSettings
from tests.services.agent_runs import AgentRuns, actions, kinds, sample
from tests.services.docker_engine import DockerEngine as RealEngine
from tests.services.docker_images import AGENT_IMAGE, NOSHELL_IMAGE
from tests.services.http_agent import HttpAgent
from tests.services.ports import free_port
from tests.services.wait import wait_for
from tests.stand_ins import Handler, TcpServer, answer, endless, read_request, silent

A = "agent-a"
VERSION = json.dumps({"Version": "20.10.24", "ApiVersion": "1.41"}).encode()
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def after_version(handle: Handler) -> Handler:
    """Stands for an engine that says its version and misbehaves at everything else."""

    def serve(connection: socket.socket, closing: threading.Event) -> None:
        target = read_request(connection)[1]
        if target.endswith("/version"):
            connection.sendall(answer(VERSION))
        else:
            handle(connection, closing)

    return serve


def says(response: bytes) -> Handler:
    return lambda connection, closing: connection.sendall(response)


def dripping(connection: socket.socket, closing: threading.Event) -> None:
    """One byte at a time: each starts a socket's time-out anew."""
    connection.sendall(OK + b"Content-Length: 1000000\r\n\r\n")
    while not closing.wait(0.1):
        connection.sendall(b" ")


INSANE: dict[str, tuple[Handler, str]] = {
    "silent": (silent, "did not answer within 1 s"),
    "silent after its version": (after_version(silent), "did not answer within 1 s"),
    "500": (says(answer(b'{"message": "boom"}', "500 Internal Server Error")), "answered 500: boom"),
    "500 with nonsense": (says(answer(b"[]", "500 Internal Server Error")), "answered nonsense"),
    "500 with markup": (says(answer(b"<b>\x1b[31m\n", "500 Internal Server Error")), "answered 500"),
    "garbage": (says(b"\x00\xff\x00\r\n\r\n"), "failed"),
    "garbage after its version": (after_version(says(b"\x00\xff\x00\r\n\r\n")), "failed"),
    "hangs up": (says(b""), "failed"),
    "no JSON": (after_version(says(answer(b"<html>"))), "answered nonsense"),
    "another shape": (after_version(says(answer(b'{"a": 1}'))), "answered nonsense"),
    "another list": (after_version(says(answer(b'[{"Id": "../../etc"}]'))), "answered nonsense"),
    "version of another shape": (says(answer(b"[1]")), "answered nonsense"),
    "deep JSON": (after_version(says(answer(b"[" * 100_000))), "answered nonsense"),
    "NaN": (after_version(says(answer(b"NaN"))), "answered nonsense"),
    "endless body": (after_version(endless(OK + b"\r\n", b" " * 65536)), ""),
    "endless chunks": (
        after_version(endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n")),
        "",
    ),
    "endless chunk size": (after_version(endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 65536)), ""),
    "endless headers": (after_version(endless(OK, b"X: y\r\n")), ""),
    "endless header": (after_version(endless(OK + b"X: ", b"y" * 65536)), ""),
    "dripping body": (after_version(dripping), "did not answer within 1 s"),
    "dripping headers": (after_version(endless(OK, b"")), "did not answer within 1 s"),
}


class UnixServer(TcpServer):
    """The same on a unix socket."""

    def __init__(self, handle: Handler, path: Path) -> None:
        super().__init__(handle)
        self._listener.close()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()


@pytest.fixture
def agent() -> Iterator[HttpAgent]:
    one = HttpAgent()
    yield one
    one.close()


@pytest.mark.parametrize("how", INSANE)
def test_an_insane_engine_gives_one_clear_error_in_time_and_in_little_memory(how: str, tmp_path: Path) -> None:
    handle, said = INSANE[how]
    with UnixServer(handle, tmp_path / "s"):
        engine = DockerEngine(DockerSettings(url=f"unix://{tmp_path}/s", timeout_seconds=1))
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        with pytest.raises(ClientError) as raised:
            engine.containers()
        assert time.monotonic() - began < 10
        assert said in str(raised.value)
        assert f"unix://{tmp_path}/s" in str(raised.value)
        assert str(raised.value).isprintable()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024


@pytest.mark.parametrize("how", ["silent", "500", "garbage", "endless chunks"])
def test_with_an_insane_engine_agents_are_judged_by_their_ports(how: str, tmp_path: Path, agent: HttpAgent) -> None:
    with TcpServer(INSANE[how][0]) as server:
        url = f"tcp://127.0.0.1:{server.port}"
        runs = AgentRuns(
            tmp_path, Agent(name=A, port=agent.port), Agent(name="agent-b", port=free_port()),
            url=url, docker_timeout_seconds=1,
        )  # fmt: skip
        for _ in range(4):
            result = runs.run()
        assert kinds(result) == ["docker_unreachable", "unreachable"]
        assert url in result.findings[0].message
        assert (result.verdict, actions(result)) == (1, [])
        assert sample(result, "sutazai_agent_up", agent=A) == 1
        runs.close()


def test_an_engine_that_is_configured_and_absent_is_down(tmp_path: Path) -> None:
    for url, said in (
        (f"unix://{tmp_path}/none.sock", "there is no such socket"),
        (f"tcp://127.0.0.1:{free_port()}", "connection refused"),
    ):
        with pytest.raises(ClientError, match=said) as raised:
            DockerEngine(DockerSettings(url=url)).version()
        assert not isinstance(raised.value, Absent)


def test_an_engine_that_is_not_configured_and_absent_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda self: False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    with pytest.raises(Absent, match=r"docker.url is not set and there is no /var/run/docker.sock or /run/user/1/"):
        DockerEngine(DockerSettings()).version()


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_a_proxy_that_forbids_refuses(status: str) -> None:
    with TcpServer(after_version(says(answer(b"no", status)))) as server, pytest.raises(Refused, match="refuses: no"):
        DockerEngine(DockerSettings(url=f"tcp://127.0.0.1:{server.port}")).containers()


def test_an_engine_cannot_send_us_elsewhere() -> None:
    asked: list[str] = []

    def elsewhere(connection: socket.socket, closing: threading.Event) -> None:
        asked.append(read_request(connection)[1])
        connection.sendall(answer(b"[]"))

    with TcpServer(elsewhere) as other:
        location = f"302 Found\r\nLocation: {other.url}/"
        with TcpServer(after_version(says(answer(b"", location)))) as server, pytest.raises(ClientError):
            DockerEngine(DockerSettings(url=f"tcp://127.0.0.1:{server.port}")).containers()
    assert asked == []


def test_with_no_engine_and_no_agent_nothing_can_be_judged(tmp_path: Path) -> None:
    runs = AgentRuns(tmp_path, url=f"unix://{tmp_path}/none.sock")
    with pytest.raises(JobError, match=r"no agent could be looked at: the Docker engine at .* is down"):
        runs.run()
    runs.close()


def test_an_engine_that_hangs_in_the_middle_is_survived(docker_clean: RealEngine, tmp_path: Path) -> None:
    """Fault 23 on a real engine: SIGSTOP of dockerd."""
    port = free_port()
    runs = AgentRuns(tmp_path, Agent(name=A, port=port), url=docker_clean.url, docker_timeout_seconds=1)
    docker_clean.run(AGENT_IMAGE, A, port=port)
    assert runs.run().status == "HEALTHY"
    docker_clean.pause()
    try:
        began = time.monotonic()
        result = runs.run()
        assert time.monotonic() - began < 20
    finally:
        docker_clean.resume()
    assert (result.status, kinds(result)) == ("HEALTHY", ["docker_unreachable"])
    assert kinds(runs.run()) == []
    runs.close()


# Containers


class Stage:
    """One agent in a container, and the monitor that watches it."""

    def __init__(self, engine: RealEngine, base_dir: Path) -> None:
        self.engine, self.port = engine, free_port()
        self.runs = AgentRuns(base_dir, Agent(name=A, port=self.port), url=engine.url)

    def up(self, image: str = AGENT_IMAGE, **options: Any) -> str:
        return str(self.engine.run(image, A, port=self.port, **options).id)

    def run_with(self, change: Callable[[Any], None]) -> Result:
        """A run whose Docker client was changed by the test."""
        clients = self.runs.clients()
        change(clients.docker)
        return JOB.run(Settings(**self.runs.settings), clients, Request(task=JOB.name))


@pytest.fixture
def stage(docker_clean: RealEngine, tmp_path: Path) -> Iterator[Stage]:
    one = Stage(docker_clean, tmp_path)
    yield one
    one.runs.close()


def test_24_a_paused_container_is_reported_and_not_healed(stage: Stage) -> None:
    stage.up()
    stage.engine.cli("pause", A)
    results = [stage.runs.run() for _ in range(5)]
    assert {tuple(kinds(result)) for result in results} == {("paused",)}
    assert [actions(result) for result in results] == [[]] * 5
    assert stage.engine.state(A)["Paused"] is True


@pytest.mark.parametrize("how", ["killed", "exits", "unhealthy", "out of memory"])
def test_25_whatever_fails_again_and_again_is_restarted_three_times_an_hour_at_most(stage: Stage, how: str) -> None:
    options: dict[str, Any] = {}
    if how == "exits":
        options = {"command": ["/bin/sh", "-c", "exit 3"], "wait": False}
    if how == "out of memory":
        options = {"command": ["/bin/sh", "-c", "tail /dev/zero"], "mem_limit": "24m", "wait": False}
    if how == "unhealthy":
        options = {"healthcheck": {"test": ["CMD-SHELL", "exit 1"], "interval": 100_000_000, "retries": 3}}
    stage.up(**options)

    def fail() -> None:
        if how == "killed" and stage.engine.state(A)["Status"] == "running":
            stage.engine.cli("kill", A)
        if how == "unhealthy":
            wait_for(lambda: stage.engine.state(A)["Health"]["Status"] == "unhealthy", 60, "it is unhealthy")
        else:
            wait_for(lambda: stage.engine.state(A)["Status"] == "exited", 30, "it is down")

    restarted = quarantined = 0
    for _ in range(8):
        fail()
        done = [verb for verb, _, _ in actions(stage.runs.run())]
        restarted, quarantined = restarted + done.count("restart"), quarantined + done.count("quarantine")
        stage.runs.clock.advance(300)
    assert (restarted, quarantined) == (3, 1)
    assert len(stage.runs.evidence(A)) == 3
    evidence = json.loads(stage.runs.evidence(A)[-1].read_text())
    assert evidence["oom_killed"] is (how == "out of memory")
    assert kinds(stage.runs.run()) == ["quarantined"]


def test_26_a_process_that_is_stopped_by_a_signal_is_seen_by_our_own_probe_only(stage: Stage) -> None:
    stage.up(command=["/bin/httpd", "-f", "-p", f"127.0.0.1:{stage.port}", "-h", "/www"])
    pid = int(stage.engine.state(A)["Pid"])
    assert pid > 1
    os.kill(pid, signal.SIGSTOP)
    stage.runs.clock.advance(60)
    result = stage.runs.run()
    assert stage.engine.state(A)["Status"] == "running"
    assert sample(result, "sutazai_agent_state", agent=A, state="unreachable") == 1
    assert actions(result) == []
    stage.runs.run()
    result = stage.runs.run()
    assert (actions(result), result.status) == ([("restart", f"agent/{A}", True)], "HEALTHY")
    assert stage.engine.state(A)["Pid"] != pid


def test_27_a_health_check_that_cannot_run_leads_to_no_restart(stage: Stage) -> None:
    check = {"test": ["CMD-SHELL", "exit 0"], "interval": 100_000_000, "retries": 1}
    stage.up(image=NOSHELL_IMAGE, healthcheck=check)
    wait_for(lambda: stage.engine.state(A)["Health"]["Status"] == "unhealthy", 60, "Docker calls it unhealthy")
    stage.runs.clock.advance(60)
    for _ in range(5):
        result = stage.runs.run()
    assert (kinds(result), actions(result), result.status) == (["health_check_cannot_run"], [], "HEALTHY")
    assert "/bin/sh" in result.findings[0].message


def test_28_a_container_that_is_replaced_before_its_restart_is_left_alone(stage: Stage) -> None:
    stage.up()
    stage.engine.cli("kill", A)
    wait_for(lambda: stage.engine.state(A)["Status"] == "exited", 60, "it is down")
    new: list[str] = []

    def replaced_first(docker: Any) -> None:
        restart = docker.restart

        def late(container_id: str, seconds: float) -> None:
            stage.engine.clean()
            new.append(stage.up())
            restart(container_id, seconds)

        docker.restart = late

    result = stage.run_with(replaced_first)
    started = stage.engine.state(A)["StartedAt"]
    assert "restart_failed" in kinds(result)
    assert "removed or replaced" in next(f.message for f in result.findings if f.kind == "restart_failed")
    assert sample(result, "sutazai_agent_restarts_total", agent=A, result="failed") == 1
    assert stage.engine.client.containers.get(A).id == new[0]
    assert stage.engine.state(A)["StartedAt"] == started
    wait_for(lambda: stage.runs.run().status == "HEALTHY", 60, "the new one is seen")
    assert stage.engine.state(A)["StartedAt"] == started


def test_28_a_container_that_is_replaced_before_its_inspection_is_not_judged(stage: Stage) -> None:
    stage.up()
    stage.engine.cli("kill", A)
    wait_for(lambda: stage.engine.state(A)["Status"] == "exited", 60, "it is down")

    def replaced_first(docker: Any) -> None:
        inspect = docker.inspect

        def late(container_id: str) -> Any:
            stage.engine.clean()
            stage.up()
            return inspect(container_id)

        docker.inspect = late

    result = stage.run_with(replaced_first)
    assert actions(result) == []
    assert "removed or replaced" in result.findings[0].message
    assert result.run_again_seconds == 5
    assert stage.runs.run().status == "HEALTHY"
