"""The Docker client on a real engine."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from datetime import UTC, datetime

import pytest

from jobs.clients.docker import MAX_LOG_LINE_CHARACTERS, DockerEngine, NoSuchContainer
from jobs.clients.errors import ClientError
from jobs.core.settings import DockerSettings
from tests.services.docker_engine import DockerEngine as RealEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.ports import free_port
from tests.services.wait import wait_for
from tests.stand_ins import Handler, TcpServer, answer, read_request


@pytest.fixture
def engine(docker_clean: RealEngine) -> DockerEngine:
    return DockerEngine(DockerSettings(url=docker_clean.url))


def test_version(engine: DockerEngine) -> None:
    assert engine.version()[0].isdigit()


def test_containers_of_every_state_are_listed(engine: DockerEngine, docker_clean: RealEngine) -> None:
    for name in ("runs", "paused", "ended"):
        docker_clean.run(AGENT_IMAGE, name, port=free_port(), labels={"x": name})
    docker_clean.cli("pause", "paused")
    docker_clean.cli("kill", "ended")
    docker_clean.client.containers.create(AGENT_IMAGE, ["sleep"], name="new")
    wait_for(lambda: docker_clean.state("ended")["Status"] == "exited", 60, "it ended")
    found = {c.name: c for c in engine.containers()}
    assert {name: c.state for name, c in found.items()} == {
        "runs": "running", "paused": "paused", "ended": "exited", "new": "created",
    }  # fmt: skip
    assert found["runs"].labels["x"] == "runs"
    assert found["runs"].network_mode == "host"


def test_health_is_read_from_the_list(engine: DockerEngine, docker_clean: RealEngine) -> None:
    check = {"test": ["CMD-SHELL", "exit 0"], "interval": 100_000_000}
    docker_clean.run(AGENT_IMAGE, "one", port=free_port(), healthcheck=check)
    wait_for(lambda: engine.containers()[0].health == "healthy", 60, "it is healthy")
    assert engine.inspect(engine.containers()[0].id).health == "healthy"


def test_the_end_of_a_log_is_cut_and_decoded(engine: DockerEngine, docker_clean: RealEngine) -> None:
    script = "seq 1 1000; dd if=/dev/zero bs=1000 count=20 2>/dev/null; printf '\\na\\377b\\000c\\n'"
    docker_clean.run(AGENT_IMAGE, "one", command=["/bin/sh", "-c", script])
    (listed,) = engine.containers()
    wait_for(lambda: engine.inspect(listed.id).status == "exited", 60, "it ended")
    lines = engine.log_tail(listed.id, 5)
    assert len(lines) <= 5
    assert "a\ufffdb\x00c" in lines
    assert max(map(len, lines)) <= MAX_LOG_LINE_CHARACTERS
    assert len(engine.log_tail(listed.id, 200)) <= 200


def test_a_container_without_a_log_gives_an_error(engine: DockerEngine, docker_clean: RealEngine) -> None:
    docker_clean.run(AGENT_IMAGE, "one", port=free_port(), log_config={"Type": "none"})
    with pytest.raises(ClientError, match="configured logging driver does not support reading"):
        engine.log_tail(engine.containers()[0].id, 10)


def test_restarting_kills_what_does_not_listen(engine: DockerEngine, docker_clean: RealEngine) -> None:
    # As process 1 it is not ended by a signal that it does not handle.
    docker_clean.run(AGENT_IMAGE, "one", command=["/bin/sleep", "1000"])
    (before,) = engine.containers()
    started = engine.inspect(before.id).started_at
    began = time.monotonic()
    engine.restart(before.id, 1)
    assert 1 <= time.monotonic() - began < 60
    after = engine.inspect(before.id)
    assert (after.status, after.started_at != started) == ("running", True)


def test_events_of_one_container_since_its_start(
    engine: DockerEngine, docker_clean: RealEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        docker_clean.run(AGENT_IMAGE, name, port=free_port())
    docker_clean.cli("kill", "two")
    docker_clean.cli("stop", "one")
    listed = next(c for c in engine.containers() if c.name == "one")
    since = engine.inspect(listed.id).started_at
    assert since is not None
    with monkeypatch.context() as patch:
        patch.setattr("jobs.clients.docker.QUIET_SECONDS", 600.0)  # silence would be no end: enough is enough
        events = engine.events(listed.id, since, lambda found: found[-1].action == "stop")
    assert [e.action for e in events][-2:] == ["die", "stop"]
    assert {e.name for e in events} == {"one"}
    assert abs((events[-1].time - datetime.now(UTC)).total_seconds()) < 30
    assert engine.events(listed.id, since, lambda found: False) == events, "silence ends it as well"


def test_an_engine_that_is_slow_to_begin_is_heard_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in is as busy as an engine may be: nobody may take that for having nothing to tell."""
    monkeypatch.setattr("jobs.clients.docker.QUIET_SECONDS", 0.5)
    actor = {"ID": "a" * 64, "Attributes": {"name": "one"}}
    died = json.dumps({"Action": "die", "Actor": actor, "timeNano": time.time_ns()}).encode() + b"\n"

    def busy(connection: socket.socket, closing: threading.Event) -> None:
        if read_request(connection)[1].endswith("/version"):
            connection.sendall(answer(b'{"Version": "20.10.24", "ApiVersion": "1.41"}'))
            return
        closing.wait(1)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"%x\r\n%s\r\n" % (len(died), died))
        closing.wait(60)

    with TcpServer(busy) as server:
        engine = DockerEngine(DockerSettings(url=f"tcp://127.0.0.1:{server.port}"))
        assert [event.action for event in engine.events("a" * 64, datetime.now(UTC), lambda found: False)] == ["die"]


def test_a_container_that_is_gone_is_told_apart(engine: DockerEngine, docker_clean: RealEngine) -> None:
    docker_clean.run(AGENT_IMAGE, "one", port=free_port())
    (listed,) = engine.containers()
    docker_clean.clean()
    for call in (
        lambda: engine.inspect(listed.id),
        lambda: engine.restart(listed.id, 1),
        lambda: engine.log_tail(listed.id, 1),
        lambda: engine.signal(listed.id, "SIGHUP"),
    ):
        with pytest.raises(NoSuchContainer, match="No such container"):
            call()


def test_one_client_outlives_a_restart_of_the_engine(engine: DockerEngine, docker_clean: RealEngine) -> None:
    assert engine.containers() == []
    docker_clean.stop()
    try:
        with pytest.raises(ClientError, match="is down"):
            engine.containers()
    finally:
        docker_clean.start()
    assert engine.containers() == []


def to_engine(engine: RealEngine) -> Handler:
    """A handler that hands everything on to the engine's socket, as a socket proxy does."""

    def handle(connection: socket.socket, closing: threading.Event) -> None:
        with socket.socket(socket.AF_UNIX) as behind:
            behind.connect(str(engine.socket))
            threading.Thread(target=copy, args=(behind, connection), daemon=True).start()
            copy(connection, behind)

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)

    return handle


def test_a_socket_proxy_is_reached_by_its_url_and_no_other_proxy_is_used(
    docker_clean: RealEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with TcpServer(to_engine(docker_clean)) as proxy:
        engine = DockerEngine(DockerSettings(url=f"tcp://127.0.0.1:{proxy.port}"))
        assert engine.containers() == []
