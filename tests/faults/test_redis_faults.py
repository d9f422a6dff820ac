"""Faults of Redis while it is maintained: told, degraded, and never good news; the rest of the job goes on."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.core.model import Severity
from jobs.databases.part import FULL, STATISTICS
from tests.services.exporter_daemon import command_line, environment_of, write_config
from tests.services.redis import RedisServer
from tests.services.redis_defrag import DefragmentingRedis
from tests.services.redis_runs import Factory, Maintainer, fill, findings, values, verbs
from tests.services.wait import wait_for
from tests.stand_ins import TcpServer, endless, silent

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def maintainer(tmp_path: Path) -> Maintainer:
    return Maintainer(tmp_path / "base")


def is_degraded(maintainer: Maintainer, url: str, mode: str = FULL) -> str:
    """What the only finding says of a server that cannot be maintained."""
    part = maintainer.run(url, mode)
    assert part.failed
    assert not part.absent
    assert part.actions == ()
    (finding,) = part.findings
    assert finding.severity is Severity.HIGH
    return finding.message


# Fault 22


@pytest.mark.parametrize("mode", [FULL, STATISTICS])
def test_noauth_is_degraded(redis_server: RedisServer, maintainer: Maintainer, mode: str) -> None:
    assert "asks for a password" in is_degraded(maintainer, redis_server.url_without_password, mode)


def test_a_wrong_password_is_degraded(redis_server: RedisServer, maintainer: Maintainer) -> None:
    url = f"redis://:canary-wrong@127.0.0.1:{redis_server.port}/0"
    message = is_degraded(maintainer, url)
    assert "the password is wrong" in message
    assert "canary-wrong" not in message


def test_loading_is_degraded(redis_factory: Factory, maintainer: Maintainer) -> None:
    server = redis_factory()
    writer = server.client()
    writer.mset({f"key{number}": "value" for number in range(2000)})
    writer.save()
    server.stop()
    server.start(wait=False, key_load_delay=5000, loading_process_events_interval_bytes=1024)
    part = wait_for(lambda: _seen_loading(maintainer, server.url), 60, "it is seen loading")
    assert part.failed
    assert findings(part)["loading"].severity is Severity.HIGH
    assert part.actions == ()


def _seen_loading(maintainer: Maintainer, url: str) -> Any:
    part = maintainer.run(url, FULL)
    return part if values(part, "loading") == [1] else None


def test_a_full_server_is_degraded(redis_factory: Factory, maintainer: Maintainer) -> None:
    server = redis_factory(maxmemory=1)
    found = findings(maintainer.run(server.url, FULL))["full"]
    assert found.severity is Severity.HIGH
    assert "refuses writes (OOM)" in found.message


def test_maxclients_is_degraded_and_counted_afterwards(redis_factory: Factory, maintainer: Maintainer) -> None:
    server = redis_factory(maxclients=1)
    maintainer.run(server.url, STATISTICS)
    with server.client() as held:
        held.ping()
        assert "max number of clients reached" in is_degraded(maintainer, server.url)
    part = wait_for(lambda: _let_in(maintainer, server.url), 60, "a client is let in")
    assert values(part, "rejected_connections_total") == [server_rejected(server)]
    assert "rejecting" in findings(part)


def _let_in(maintainer: Maintainer, url: str) -> Any:
    part = maintainer.run(url, STATISTICS)
    return None if part.failed else part


def server_rejected(server: RedisServer) -> int:
    return int(server.client().info()["rejected_connections"])


# On the wire


def test_a_stopped_server_is_degraded_within_its_time_out(redis_factory: Factory, maintainer: Maintainer) -> None:
    server = redis_factory()
    server.pause()
    maintainer.timeout_seconds = 0.5
    assert "no answer within 0.5 s" in is_degraded(maintainer, server.url)


def test_a_server_that_is_killed_in_mid_save_is_a_failure(redis_factory: Factory, maintainer: Maintainer) -> None:
    server = redis_factory(save="3600 1000000", rdb_key_save_delay=10_000)
    fill(server)
    maintainer.store.progress = lambda done, total, message: server.kill()  # type: ignore[method-assign]
    part = maintainer.run(server.url, FULL)
    assert part.failed
    assert {"save_failed", "unreachable"} <= findings(part).keys()
    assert verbs(part) == []


@pytest.mark.parametrize(
    "reply",
    [
        b"$999999999\r\n",
        b"*99999999\r\n",
        b"*1\r\n" * 100,
        b"$5\r\nhello\r\n",
        b"+OK\r\n",
        b":1\r\n",
        b"$-1\r\n",
        b"-\x1b[2J\r\n",
        b"$20\r\nused_memory:9\r\nmax\xff\r\n\r\n",
    ],
)
def test_hostile_replies_are_degraded_or_empty(maintainer: Maintainer, reply: bytes) -> None:
    def hostile(connection: Any, closing: Any) -> None:
        while connection.recv(4096):
            connection.sendall(reply)

    with TcpServer(hostile) as server:
        part = maintainer.run(f"redis://127.0.0.1:{server.port}/0", FULL)
    assert part.actions == ()
    assert "\x1b" not in str(part)


def test_an_endless_reply_ends_with_its_limit(maintainer: Maintainer) -> None:
    with TcpServer(endless(b"", b"x" * 65536)) as server:
        is_degraded(maintainer, f"redis://127.0.0.1:{server.port}/0")


def test_silence_ends_with_the_time_out(maintainer: Maintainer) -> None:
    maintainer.timeout_seconds = 0.5
    with TcpServer(silent) as server:
        assert "no answer" in is_degraded(maintainer, f"redis://127.0.0.1:{server.port}/0")


# As a user runs it


@pytest.fixture
def defragmenting(redis_factory: Factory) -> Iterator[DefragmentingRedis]:
    found = DefragmentingRedis(redis_factory())
    with found.listener:
        yield found


def _config(url: str) -> dict[str, Any]:
    return {"redis": {"url": url}, "postgres": {"dsn": "host=127.0.0.1 port=1 dbname=none"}}


def test_a_run_that_is_killed_leaves_nothing_changed_for_good(
    tmp_path: Path, defragmenting: DefragmentingRedis, run_cli: Run
) -> None:
    defragmenting.fragmented_bytes = 1 << 60  # it takes long
    base_dir = tmp_path / "base"
    base_dir.mkdir()
    config = write_config(tmp_path / "exporter.yml", _config(defragmenting.url))
    environment = {**environment_of(base_dir), "SUTAZAI_CONFIG_FILE": str(config)}
    process = subprocess.Popen(
        command_line("run", "database-maintenance"),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: defragmenting.active_defrag == "yes", 30, "it defragments")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert defragmenting.active_defrag == "yes"
    defragmenting.fragmented_bytes = 0
    run = run_cli("run", "database-maintenance", "--json", config=_config(defragmenting.url))
    assert defragmenting.active_defrag == "no", run.stdout + run.stderr
    assert "put-back" in [action["verb"] for action in json.loads(run.stdout)["result"]["actions"]]


def test_the_password_is_nowhere(tmp_path: Path, redis_factory: Factory, run_cli: Run) -> None:
    server = redis_factory(password="canary-redis-password", save="3600 1000000")
    fill(server)
    run = run_cli("run", "database-maintenance", "--mode", "full", "--json", config=_config(server.url))
    result = json.loads(run.stdout)["result"]
    assert "save" in [action["verb"] for action in result["actions"]]
    texts = [run.stdout, run.stderr, (server.directory / "redis.log").read_text()]
    texts += [path.read_bytes().decode("latin-1") for path in (tmp_path / "base").rglob("*") if path.is_file()]
    assert not any("canary-redis-password" in text for text in texts)


def test_the_report_has_its_section_and_the_state_is_measured(
    tmp_path: Path, redis_factory: Factory, run_cli: Run
) -> None:
    server = redis_factory()
    fill(server)
    run_cli("run", "database-maintenance", config=_config(server.url))
    report = json.loads((tmp_path / "base" / "logs" / "latest_db_maintenance_report.json").read_text())
    assert (report["redis"]["success"], report["redis"]["keys"]) == (True, 552)
    server.stop()
    run = run_cli("run", "database-maintenance", config=_config(server.url))
    report = json.loads((tmp_path / "base" / "logs" / "latest_db_maintenance_report.json").read_text())
    assert report["redis"]["success"] is False
    assert run.returncode >= 2
