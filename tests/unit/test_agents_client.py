"""Which agents there are, and how each is, where no container need be real."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from jobs.clients.agents import Agents
from jobs.clients.errors import Absent, ClientError
from jobs.clients.http import HttpClient
from jobs.core.agents.state import State
from jobs.core.containers import Container
from jobs.core.settings import Agent, AgentsSettings
from tests.services.http_agent import HttpAgent
from tests.services.ports import free_port


class Engine:
    """Stands for a Docker engine that lists what it is told to, or fails."""

    def __init__(self, *containers: Container, error: ClientError | None = None) -> None:
        self._containers, self._error = list(containers), error

    def containers(self) -> list[Container]:
        if self._error:
            raise self._error
        return self._containers


def container(name: str, state: str = "running") -> Container:
    return Container("0" * 64, name, "i", state, state, "", {}, (), "host", ())


def agents(settings: AgentsSettings, engine: Engine) -> Agents:
    stand_in: Any = engine
    return Agents(settings, stand_in, HttpClient())


@pytest.fixture
def server() -> Iterator[HttpAgent]:
    one = HttpAgent()
    yield one
    one.close()


@pytest.fixture
def standard(monkeypatch: pytest.MonkeyPatch, server: HttpAgent) -> tuple[Agent, ...]:
    """Standard agents on ports that are free on this machine, the first of them at `server`."""
    names = ("first", "second", "third")
    ports = (server.port, free_port(), free_port())
    made = tuple(Agent(name=name, port=port) for name, port in zip(names, ports, strict=True))
    monkeypatch.setattr("jobs.clients.agents.GUIDE_AGENTS", made)
    return made


NO_ENGINE = Engine(error=Absent("no Docker engine"))
UNSET = AgentsSettings(timeout_seconds=2)


@pytest.mark.usefixtures("standard")
def test_no_standard_agent_counts_where_none_is_there(server: HttpAgent) -> None:
    server.close()
    assert agents(UNSET, NO_ENGINE).survey() == []
    assert agents(UNSET, Engine()).survey() == []


@pytest.mark.usefixtures("standard")
def test_once_one_standard_agent_answers_the_others_are_missing() -> None:
    found = {r.agent.name: r.state for r in agents(UNSET, Engine()).survey()}
    assert found == {"first": State.HEALTHY, "second": State.MISSING, "third": State.MISSING}


@pytest.mark.usefixtures("standard")
def test_a_standard_agent_that_is_ill_is_still_one(server: HttpAgent) -> None:
    server.status = 503
    assert agents(UNSET, NO_ENGINE).survey()[0].state is State.UNHEALTHY


@pytest.mark.usefixtures("standard")
def test_another_server_on_a_standard_port_is_no_agent(server: HttpAgent) -> None:
    server.status = 404
    assert agents(UNSET, NO_ENGINE).survey() == []


@pytest.mark.usefixtures("standard")
def test_a_container_or_a_memory_makes_the_standard_agents_count(server: HttpAgent) -> None:
    server.close()
    by_container = agents(UNSET, Engine(container("second", "exited"))).survey()
    assert [r.state for r in by_container] == [State.MISSING, State.STOPPED, State.MISSING]
    assert agents(UNSET, Engine()).roll(known=["third"]).names == ["first", "second", "third"]
    assert agents(UNSET, Engine()).roll(known=["other"]).names == []


def test_listed_agents_count_always() -> None:
    listed = AgentsSettings(listed=(Agent(name="a", port=free_port()),), timeout_seconds=2)
    assert [r.state for r in agents(listed, Engine()).survey()] == [State.MISSING]
    assert agents(AgentsSettings(listed=()), Engine()).survey() == []


def test_without_an_engine_agents_are_judged_by_their_ports(server: HttpAgent) -> None:
    settings = AgentsSettings(
        listed=(Agent(name="a", port=server.port), Agent(name="b", port=free_port())), timeout_seconds=2
    )
    for engine in (NO_ENGINE, Engine(error=ClientError("it is down"))):
        assert [r.state for r in agents(settings, engine).survey()] == [State.HEALTHY, State.UNREACHABLE]
    assert agents(settings, NO_ENGINE).roll().engine_error == ""
    assert agents(settings, Engine(error=ClientError("it is down"))).roll().engine_error == "it is down"


def test_an_agent_whose_container_does_not_run_is_not_asked(server: HttpAgent) -> None:
    settings = AgentsSettings(listed=(Agent(name="a", port=server.port),))
    (reading,) = agents(settings, Engine(container("a", "paused"))).survey()
    assert (reading.state, reading.probe, reading.seconds, server.requests) == (State.PAUSED, None, 0.0, [])


def test_a_reading_says_how_long_the_answer_took(server: HttpAgent) -> None:
    server.delay_seconds = 0.2
    settings = AgentsSettings(listed=(Agent(name="a", port=server.port),))
    (reading,) = agents(settings, Engine(container("a"))).survey()
    assert reading.healthy
    assert reading.seconds >= 0.2
