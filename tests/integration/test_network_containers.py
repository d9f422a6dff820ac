"""Ports that containers publish, by a real engine with a bridge, in a network namespace of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.core.model import Severity
from jobs.core.settings import DockerSettings
from jobs.security.network.listening import LISTENING
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.looks import clients_of, look
from tests.services.network_world import NetworkWorld
from tests.services.wait import wait_for


class PublishingEngine(DockerEngine):
    """An engine that publishes ports as one does everywhere, but for the packet filter, which it leaves alone."""

    proxy = "--userland-proxy=true"

    def _command(self) -> list[str]:
        without = ("--bridge=", "--userland-proxy=")
        return [*(option for option in super()._command() if not option.startswith(without)), self.proxy]


class ProxylessEngine(PublishingEngine):
    """One without docker-proxy: it holds the ports itself."""

    proxy = "--userland-proxy=false"


@pytest.fixture(params=[PublishingEngine], ids=lambda kind: kind.__name__)
def engine(request: pytest.FixtureRequest) -> Iterator[PublishingEngine]:
    """An engine in a network namespace that the test is in."""
    made = NetworkWorld()
    try:
        with made.entered():
            engine = request.param()
            try:
                yield engine
            finally:
                engine.close()
    finally:
        made.close()


def test_a_published_port_is_told_by_its_containers_name(engine: PublishingEngine, tmp_path: Path) -> None:
    for name, host, port, inner in (
        ("shown", "0.0.0.0", 8080, 8000),
        ("database", "0.0.0.0", 15432, 5432),
        ("hidden", "127.0.0.1", 8081, 8000),
    ):
        engine.run(
            AGENT_IMAGE, name, port=inner, wait=False, network_mode="bridge", ports={f"{inner}/tcp": (host, port)}
        )
    clients = clients_of(tmp_path, docker=DockerSettings(url=engine.url))
    lines = wait_for(lambda: _lines(look(LISTENING, clients).details, 3), 30, "docker-proxy listens")
    assert {(line["container"], line["process"], line["port"]) for line in lines} == {
        ("shown", "docker-proxy", 8080),
        ("database", "docker-proxy", 15432),
        ("hidden", "docker-proxy", 8081),
    }
    told = look(LISTENING, clients)
    assert {one.subject: (one.rule, one.severity) for one in told.weaknesses} == {
        "tcp/0.0.0.0:8080 shown": ("unexpected_listener", Severity.MEDIUM),
        "tcp/0.0.0.0:15432 database": ("exposed_service", Severity.HIGH),
    }
    assert all("publish its port as 127.0.0.1" in one.remedy for one in told.weaknesses)


@pytest.mark.parametrize("engine", [ProxylessEngine], indirect=True, ids=lambda kind: kind.__name__)
def test_a_port_that_the_engine_itself_holds_is_its_containers(engine: PublishingEngine, tmp_path: Path) -> None:
    engine.run(
        AGENT_IMAGE, "cache", port=8000, wait=False, network_mode="bridge", ports={"6379/tcp": ("0.0.0.0", 6379)}
    )
    told = look(LISTENING, clients_of(tmp_path, docker=DockerSettings(url=engine.url)))
    assert {one.subject: one.severity for one in told.weaknesses} == {"tcp/0.0.0.0:6379 cache": Severity.HIGH}
    assert told.scanned > 0


def _lines(details: dict[str, object], count: int) -> list[dict[str, object]]:
    """The lines of containers, once there are as many as wanted."""
    listeners: list[dict[str, object]] = details["listeners"]  # type: ignore[assignment]
    found = [line for line in listeners if line["container"]]
    return found if len(found) == count else []
