"""Hearing events: from a real engine, and from servers that misbehave."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.clients import docker_events
from jobs.clients.docker_events import ContainerEvent, DockerEvents
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.ports import free_port
from tests.services.wait import wait_for
from tests.stand_ins import TcpServer, answer, endless, read_request, silent

ID = "a" * 64


class Ear:
    """A listener and what it heard."""

    def __init__(self, url: str | None) -> None:
        self.events: list[ContainerEvent] = []
        self.connections: list[bool] = []
        self.listener = DockerEvents(url, self.events.append, self.connections.append)
        self.listener.start()

    def actions(self, name: str) -> list[str]:
        return [event.action for event in self.events if event.name == name]


@pytest.fixture
def listen() -> Iterator[Callable[[str | None], Ear]]:
    ears: list[Ear] = []

    def start(url: str | None) -> Ear:
        ears.append(Ear(url))
        return ears[-1]

    yield start
    for ear in ears:
        began = time.monotonic()
        ear.listener.stop()
        assert time.monotonic() - began < 2, "it ends at once, whatever it waits for"
        assert not any(thread.name == "docker events" and thread.is_alive() for thread in threading.enumerate())


def event(nanoseconds: int, action: str = "die") -> bytes:
    actor = {"ID": ID, "Attributes": {"name": "agent-a"}}
    return json.dumps({"Action": action, "Actor": actor, "timeNano": nanoseconds}).encode() + b"\n"


def test_a_death_is_heard_at_once_with_the_containers_labels(
    docker_clean: DockerEngine, listen: Callable[[str], Ear]
) -> None:
    ear = listen(docker_clean.url)
    wait_for(lambda: ear.listener.connected, 60, "it is connected")
    docker_clean.run(AGENT_IMAGE, "agent-a", port=free_port(), labels={"sutazai.agent": "true"})
    docker_clean.cli("kill", "agent-a")
    wait_for(lambda: "die" in ear.actions("agent-a"), 60, "its death is heard")
    died = next(e for e in ear.events if e.action == "die")
    assert (died.labels["sutazai.agent"], died.attributes["exitCode"]) == ("true", "137")
    assert "start" in ear.actions("agent-a")


def test_an_unhealthy_verdict_is_heard_but_not_the_checks_themselves(
    docker_clean: DockerEngine, listen: Callable[[str], Ear]
) -> None:
    ear = listen(docker_clean.url)
    wait_for(lambda: ear.listener.connected, 60, "it is connected")
    check = {"test": ["CMD-SHELL", "exit 1"], "interval": 100_000_000, "retries": 2}
    docker_clean.run(AGENT_IMAGE, "agent-a", port=free_port(), healthcheck=check)
    wait_for(lambda: "health_status: unhealthy" in ear.actions("agent-a"), 60, "it is heard")
    assert ear.actions("agent-a") == ["start", "health_status: unhealthy"]


def test_an_engine_that_restarts_is_heard_again(docker_clean: DockerEngine, listen: Callable[[str], Ear]) -> None:
    ear = listen(docker_clean.url)
    wait_for(lambda: ear.listener.connected, 60, "it is connected")
    docker_clean.stop()
    try:
        wait_for(lambda: not ear.listener.connected, 60, "it is lost")
    finally:
        docker_clean.start()
    wait_for(lambda: ear.listener.connected, 60, "it is back")
    docker_clean.run(AGENT_IMAGE, "agent-a", port=free_port())
    wait_for(lambda: ear.actions("agent-a") == ["start"], 60, "it hears")
    assert ear.connections == [False, True, False, True]


def test_after_a_loss_what_was_missed_is_asked_for(listen: Callable[[str], Ear]) -> None:
    asked: list[str] = []

    def handle(connection: socket.socket, closing: threading.Event) -> None:
        """Stands for an engine whose connection breaks after each event."""
        asked.append(read_request(connection)[1])
        connection.sendall(answer(event(1_700_000_000_123_456_789)))

    with TcpServer(handle) as server:
        ear = listen(f"tcp://127.0.0.1:{server.port}")
        wait_for(lambda: len(asked) >= 2, 60, "it asks again")
        assert "since" not in asked[0]
        assert "since=1700000000.123456790" in asked[1]
        assert ear.events[0].nanoseconds == 1_700_000_000_123_456_789


def counting(monkeypatch: pytest.MonkeyPatch, name: str) -> list[object]:
    """A list that grows with each call of a function of the module."""
    calls: list[object] = []
    original = getattr(docker_events, name)

    def counted(*arguments: object) -> object:
        calls.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(docker_events, name, counted)
    return calls


def test_a_socket_that_comes_later_is_found_and_its_absence_makes_no_noise(
    docker_clean: DockerEngine,
    listen: Callable[[str], Ear],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    tries = counting(monkeypatch, "_connect")
    link = tmp_path / "docker.sock"
    ear = listen(f"unix://{link}")
    wait_for(lambda: len(tries) >= 3, 30, "it has tried three times")
    assert len(caplog.records) == 1
    assert "no Docker events from unix://" in caplog.text
    link.symlink_to(docker_clean.socket)
    wait_for(lambda: ear.listener.connected, 60, "it is connected")


def test_no_socket_and_none_configured_is_no_news(
    listen: Callable[[str | None], Ear], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("jobs.clients.docker_events._SOCKETS", ("/nonexistent/docker.sock",))
    monkeypatch.setattr("jobs.clients.docker_events._NO_SOCKET_SECONDS", 0.01)
    looks = counting(monkeypatch, "_local_url")
    caplog.set_level(logging.DEBUG)
    ear = listen(None)
    wait_for(lambda: len(looks) >= 3, 30, "it has looked three times")
    assert caplog.records == []
    assert ear.connections == [False]


@pytest.mark.parametrize(
    "handle",
    [
        silent,
        lambda connection, closing: connection.sendall(b"\x00\xff\r\n\r\n"),
        lambda connection, closing: connection.sendall(answer(b"no", "500 Internal Server Error")),
        lambda connection, closing: connection.sendall(answer(b"garbage\n" * 1000)),
        lambda connection, closing: connection.sendall(answer(b'{"Action": 3}\n')),
        lambda connection, closing: connection.sendall(answer(b"[" * 100_000 + b"\n")),
        endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        endless(b"HTTP/1.1 200 OK\r\n", b"X: " + b"x" * 1000 + b"\r\n"),
        endless(b"HTTP/1.1 200 OK\r\n\r\n", b"\n" * 65536),
    ],
)
def test_a_server_that_misbehaves_is_left_and_tried_again(
    handle: Callable[[socket.socket, threading.Event], None],
    listen: Callable[[str], Ear],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr("jobs.clients.docker_events._ANSWER_SECONDS", 0.3)
    tries = counting(monkeypatch, "_connect")

    with TcpServer(handle) as server:
        ear = listen(f"tcp://127.0.0.1:{server.port}")
        wait_for(lambda: len(tries) >= 2, 30, "it has left it and tries again")
        assert ear.events == []
        assert len(caplog.records) <= 1
        ear.listener.stop()


def test_one_event_that_cannot_be_dealt_with_does_not_end_the_hearing(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def fail_once(found: ContainerEvent) -> None:
        heard.append(found.action)
        if len(heard) == 1:
            raise RuntimeError("a bug")

    def handle(connection: socket.socket, closing: threading.Event) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + event(1, "die") + event(2, "start"))
        closing.wait()

    with TcpServer(handle) as server:
        listener = DockerEvents(f"tcp://127.0.0.1:{server.port}", fail_once)
        listener.start()
        wait_for(lambda: heard == ["die", "start"], 60, "both are heard")
        listener.stop()
    assert "a bug" in caplog.text


def test_the_daemon_does_not_load_the_docker_library_for_it() -> None:
    program = (
        "import sys, jobs.clients.docker_events, jobs.clients.docker, jobs.clients.agents, jobs.agent_monitor\n"
        "print([m for m in ('docker', 'requests', 'urllib3') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
