"""Logs of real containers: archived, never blanked, no line lost; and containers without a limit are named."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.logs.containers import LogOptions
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.log_runs import LogRuns, kinds, unpacked, value
from tests.services.wait import wait_for
from tests.stand_ins import TcpServer, always, answer

LINES = 1_000_000


@pytest.fixture
def runs(docker_clean: DockerEngine, tmp_path: Path) -> Iterator[Callable[..., LogRuns]]:
    made: list[LogRuns] = []

    def factory(**settings: Any) -> LogRuns:
        made.append(LogRuns(tmp_path / "base", docker_url=docker_clean.url, **settings))
        return made[-1]

    yield factory
    for one in made:
        one.close()


def log_of(engine: DockerEngine, name: str) -> Path:
    return Path(engine.client.containers.get(name).attrs["LogPath"])


def numbers(content: bytes) -> list[int]:
    return [int(json.loads(line)["log"]) for line in content.splitlines()]


def printing(engine: DockerEngine, name: str, count: int, **options: Any) -> None:
    engine.run(AGENT_IMAGE, name, command=["/bin/sh", "-c", f"seq 1 {count}; sleep 1000"], **options)


def test_no_line_of_a_million_of_a_container_is_lost(docker_clean: DockerEngine, runs: Callable[..., LogRuns]) -> None:
    here = runs(max_container_log_size_mb=5)
    printing(docker_clean, "talker", LINES)
    log = log_of(docker_clean, "talker")
    inode, rotations = log.stat().st_ino, 0
    while f'"{LINES}\\n"'.encode() not in log.read_bytes()[-200:]:
        result = here.run()
        assert set(kinds(result)) == {"no_log_limit"}
        rotations += bool(result.actions)
    here.run(max_container_log_size_mb=1)
    assert rotations >= 1, "it was rotated while it was written to"
    assert all(archive.name.startswith("docker-talker_") for archive in here.archives())
    content = unpacked(here.archives()) + log.read_bytes()
    assert numbers(content) == list(range(1, LINES + 1))
    # It is the same file, which begins with a whole line: the engine can read it.
    assert log.stat().st_ino == inode
    assert log.stat().st_size > 0
    assert docker_clean.cli("logs", "--tail", "1", "talker").strip() == str(LINES)
    shown = docker_clean.cli("logs", "talker").split()
    assert [int(number) for number in shown] == numbers(log.read_bytes())
    docker_clean.cli("exec", "talker", "/bin/sh", "-c", "echo 7 >/proc/1/fd/1")
    wait_for(lambda: log.read_bytes().splitlines()[-1].startswith(b'{"log":"7\\n"'), 60, "it goes on")


def test_containers_without_a_limit_are_named_and_counted(
    docker_clean: DockerEngine, runs: Callable[..., LogRuns]
) -> None:
    limited = {"type": "json-file", "config": {"max-size": "10m"}}
    printing(docker_clean, "free", 10)
    printing(docker_clean, "bound", 10, log_config=limited)
    printing(docker_clean, "silent", 10, log_config={"type": "none", "config": {}})
    printing(docker_clean, "local", 10, log_config={"type": "local", "config": {}})
    result = runs().run("watch")
    assert [finding.subject for finding in result.findings if finding.kind == "no_log_limit"] == ["container/free"]
    assert value(result, "sutazai_containers_without_log_limit") == 1
    assert value(result, "sutazai_log_files", directory="docker") == 2
    assert result.verdict == 0


def test_a_container_log_without_a_line_end_at_a_block_is_left(
    docker_clean: DockerEngine, runs: Callable[..., LogRuns]
) -> None:
    """The engine reads from the beginning and stops at half a line."""
    here = runs(max_container_log_size_mb=1)
    printing(docker_clean, "one", 1)
    log = log_of(docker_clean, "one")
    content = b'{"log":"' + b"x" * (2 << 20) + b'\\n"}\n'
    with log.open("ab") as file:
        file.write(content)
    before = log.read_bytes()
    result = here.run()
    assert "no_line_end" in kinds(result)
    assert (log.read_bytes(), here.archives()) == (before, [])


def test_a_stopped_containers_log_is_cut_as_well(docker_clean: DockerEngine, runs: Callable[..., LogRuns]) -> None:
    here = runs(max_container_log_size_mb=1)
    docker_clean.run(AGENT_IMAGE, "done", command=["/bin/sh", "-c", "seq 1 30000"])
    wait_for(lambda: docker_clean.state("done")["Status"] == "exited", 30, "it has ended")
    log = log_of(docker_clean, "done")
    here.run()
    assert numbers(unpacked(here.archives()) + log.read_bytes()) == list(range(1, 30001))
    assert gzip.decompress(here.archives()[0].read_bytes())


def test_an_engine_that_does_not_answer_is_named_and_files_are_rotated(tmp_path: Path) -> None:
    with TcpServer(always(answer(b"{}", "500 Internal Server Error"))) as server:
        here = LogRuns(tmp_path / "base", docker_url=server.url.replace("http", "tcp"))
        try:
            (here.logs / "app.log").write_bytes(b"a line\n" * 300_000)
            result = here.run()
        finally:
            here.close()
    assert kinds(result) == ["docker_unreachable"]
    assert value(result, "sutazai_containers_without_log_limit") is None
    assert (result.verdict, len(here.archives())) == (2, 1)


def test_an_engine_on_another_host_is_said_to_be_out_of_reach(
    docker_clean: DockerEngine, runs: Callable[..., LogRuns], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stands for a remote engine: it names a directory that is not here."""
    printing(docker_clean, "far", 10)
    monkeypatch.setattr("jobs.clients.docker.DockerEngine.data_root", lambda self: Path("/nowhere/docker"))
    monkeypatch.setattr(
        "jobs.logs.containers.parse_log_options",
        lambda raw: LogOptions("json-file", f"/nowhere/docker/containers/{raw['Id']}/{raw['Id']}-json.log", True),
    )
    result = runs().run()
    assert kinds(result) == ["container_logs_unreachable"]
    assert result.verdict == 0


def test_a_log_path_outside_the_engines_directory_is_refused(
    docker_clean: DockerEngine, runs: Callable[..., LogRuns], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printing(docker_clean, "liar", 10)
    victim = tmp_path / "victim.log"
    victim.write_bytes(b"a line\n" * 300_000)
    monkeypatch.setattr(
        "jobs.logs.containers.parse_log_options",
        lambda raw: LogOptions("json-file", str(victim), True),
    )
    here = runs(max_container_log_size_mb=1)
    result = here.run()
    assert "not where the engine keeps logs" in result.findings[0].message
    assert victim.stat().st_size == 2_100_000
