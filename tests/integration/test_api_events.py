"""Server-sent events: told what changes, ended when it must be, and no burden for anybody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.web.access.tokens import Tokens
from exporter.web.api.handlers.events import MAX_LISTENERS
from tests.services.event_stream import EventStream
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.trial_jobs import TASK, TrialPackage, operator, start, wait_runs, work
from tests.services.wait import wait_for

ELSEWHERE = {"X-Forwarded-For": "192.0.2.1"}
Listen = Callable[..., EventStream]


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gate")


@pytest.fixture(scope="module")
def daemon(package: TrialPackage, gate: Path) -> Iterator[ExporterDaemon]:
    code = f"""
for step in range(20):
    clients.report.progress(step + 1, 20, "working")
while request.target and not Path({str(gate)!r}, request.target).exists(): time.sleep(0.02)
"""
    running = ExporterDaemon(work(code), environment=package.environment)
    yield running
    assert "Traceback" not in running.log()
    running.close()


@pytest.fixture
def listen(daemon: ExporterDaemon) -> Iterator[Listen]:
    made: list[EventStream] = []

    def join(headers: dict[str, str] | None = None, of: ExporterDaemon = daemon) -> EventStream:
        made.append(EventStream(of.url, headers))
        return made[-1]

    yield join
    for stream in made:
        stream.close()


def test_a_listener_is_told_of_a_run_from_its_beginning_to_its_end(
    daemon: ExporterDaemon, listen: Listen, gate: Path
) -> None:
    stream = listen()
    assert stream.answer.headers["content-type"].startswith("text/event-stream")
    assert stream.answer.headers["cache-control"] == "no-store"
    (first,) = stream.wait("status")[:1]
    assert stream.lines[0] == "retry: 3000"
    assert first["serving"] is True
    ran = daemon.metrics().value("sutazai_task_runs_total", task=TASK, outcome="ok")
    start(daemon, target="one")
    wait_for(lambda: [p for p in stream.of("progress") if p["running"]], 30, "progress")
    assert stream.of("progress")[0]["task"] == TASK
    wait_for(lambda: stream.of("status")[-1]["tasks"][0]["running"], 30, "a status that tells of the run")
    (gate / "one").touch()
    (run,) = stream.wait("run")
    assert (run["task"], run["target"], run["outcome"]) == (TASK, "one", "ok")
    wait_runs(daemon, "ok", ran + 1)
    wait_for(lambda: stream.of("progress")[-1]["running"] is None, 30, "no run is left")

    def told() -> bool:
        last = stream.of("status")[-1]["tasks"][0]
        return last["running"] is None and last["last_run"]["run_id"] == run["run_id"]

    wait_for(told, 30, "a status that tells of its end")


def test_what_changed_elsewhere_is_told_too(daemon: ExporterDaemon, listen: Listen, package: TrialPackage) -> None:
    from tests.services.exporter_daemon import run_cli

    stream = listen()
    stream.wait("status")
    run_cli("run", TASK, base_dir=daemon.base_dir, config=work(), env=package.environment)
    assert stream.wait("run")[0]["trigger"] == "command"


def test_a_listener_without_a_right_to_read_hears_nothing(daemon: ExporterDaemon, listen: Listen) -> None:
    assert listen(ELSEWHERE).status == 401
    assert listen({**ELSEWHERE, **operator(daemon, "scrape")}).status == 401
    assert listen({**ELSEWHERE, **operator(daemon, "alert")}).status == 401
    stream = listen({**ELSEWHERE, **operator(daemon, "read")})
    assert stream.status == 200


def test_a_listener_whose_token_is_revoked_is_let_go(daemon: ExporterDaemon, listen: Listen) -> None:
    tokens = Tokens(daemon.base_dir / "secrets_secure" / "tokens.json")
    streams = [listen({**ELSEWHERE, **operator(daemon, "read")}) for _ in range(2)]
    for stream in streams:
        stream.wait("status")
    tokens.revoke(tokens.load()[-1].name)
    assert streams[1].is_over.wait(30)
    assert not streams[0].is_over.is_set()


def test_so_many_may_listen_and_no_more(daemon: ExporterDaemon, listen: Listen) -> None:
    def settled() -> bool:
        """Those of other tests have left."""
        stream = listen()
        return stream.status == 200

    wait_for(settled, 30, "there is room")
    streams = [listen() for _ in range(MAX_LISTENERS)]
    assert {stream.status for stream in streams} == {200, 503}
    refused = next(stream for stream in streams if stream.status == 503)
    assert "retry-after" in refused.answer.headers
    assert daemon.get("/metrics").status_code == 200
    assert daemon.get("/api/v1/status").status_code == 200
    for stream in streams:
        stream.close()
    wait_for(lambda: listen().status == 200, 30, "there is room again", detail=daemon.log)


def test_head_says_what_it_would_be_and_ends(daemon: ExporterDaemon) -> None:
    import requests

    answer = requests.head(f"{daemon.url}/api/v1/events", timeout=20)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in answer.headers, "what has no end has no length"


def test_a_stopping_daemon_lets_everybody_go_at_once(package: TrialPackage, listen: Listen, tmp_path: Path) -> None:
    ignores, may_end = tmp_path / "ignores", tmp_path / "may-end"
    code = (
        f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\nPath({str(ignores)!r}).touch()\n"
        f"while not Path({str(may_end)!r}).exists(): time.sleep(0.05)"
    )
    stopping = ExporterDaemon({**work(code), "runs": {"stop_grace_seconds": 60}}, environment=package.environment)
    try:
        stream = listen(of=stopping)
        start(stopping)
        wait_for(ignores.exists, 60, "the run ignores the signal", detail=stopping.log)
        stopping.process.send(15)
        assert stream.is_over.wait(30)
        assert stopping.process.running, "the run still has its grace"
        may_end.touch()
        assert stopping.process.popen.wait(60) == 0
        assert "graceful shutdown exceeded" not in stopping.log()
        assert "Traceback" not in stopping.log()
    finally:
        stopping.close()


def test_a_listener_that_does_not_read_holds_nobody_up(package: TrialPackage) -> None:
    import socket

    config = {**work(), "web": {"body_timeout_seconds": 1}}
    daemon = ExporterDaemon(config, environment=package.environment)
    try:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", daemon.port))
            deaf.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            hearing = EventStream(daemon.url)
            headers = operator(daemon)
            for number in range(3):
                start(daemon, headers, target=f"t{number}")
                hearing.wait("run", number + 1)
            assert daemon.get("/metrics").status_code == 200
            hearing.close()
            assert daemon.stop() == 0
    finally:
        daemon.close()


def test_a_listener_who_asked_for_more_and_hung_up_is_let_go(daemon: ExporterDaemon, listen: Listen) -> None:
    """Of two requests on one connection uvicorn tells the later one that its client is gone, and the stream goes on."""
    import socket
    import struct

    before, headers = len(daemon.log()), operator(daemon)
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=30) as gone:
        asked = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
        gone.sendall(asked % b"/api/v1/events" + asked % b"/-/healthy")
        heard = b""
        while b"event: status" not in heard:
            heard += gone.recv(1 << 16)
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    hearing = listen()
    for number in range(3):
        start(daemon, headers)
        hearing.wait("run", number + 1)
    assert "Traceback" not in daemon.log()[before:]
