"""Samples the agents: how many of all that should be there are well, and what each says of itself."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jobs.core.agents.report import SERIES
from jobs.core.settings import GUIDE_AGENTS
from jobs.performance import series
from jobs.performance.sampling.agent_figures import MAX_BODY_BYTES, NoFigures, Own, parse_own
from jobs.performance.sampling.families import figure_of
from jobs.performance.sampling.part import Part, Reading, grown, per_second
from jobs.performance.sampling.sampled import Gap
from jobs.performance.series import Figure

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.clients.agents import AgentReading
    from jobs.core.ports import History

SECTION = "agent_metrics"
_METRICS_SECONDS = 5.0
_ALL_METRICS_SECONDS = 15.0
"""For one agent, and for all: who tells slowly may cost its own figures, and not what is known of the others."""
_REMEMBERED = timedelta(hours=48)
_MAX_TOLD = 200
_AT_ONCE = 64
"""So many bodies are held at a time."""


def known(history: History, now: datetime) -> list[str]:
    """The standard agents that the monitor has seen: they are expected though none of them is left."""
    return [agent.name for agent in GUIDE_AGENTS if history.points(SERIES + agent.name, now - _REMEMBERED)]


def measure(clients: Clients, before: Reading | None, metrics_path: str, seen: Sequence[str]) -> Part:
    """All agents that should be there: one that does not answer counts as one that is not well."""
    roll = clients.agents.roll(seen)
    if not roll.watched:
        reason = roll.engine_error or "no agents are configured or found; list them in agents.listed"
        return Part(gaps=(Gap("agents", reason, absent=not roll.engine_error),))
    readings = clients.agents.read(roll, roll.watched)
    owns, why = _own_figures(clients, readings, metrics_path)
    counted = Reading(clients.host.uptime_seconds(), own_counters(owns))
    healthy = sum(reading.healthy for reading in readings)
    figures = [figure_of(series.AGENTS_HEALTHY, healthy / len(readings))]
    figures += [figure for reading in readings for figure in _probe_figures(reading)]
    figures += [figure for name, own in owns.items() for figure in own_figures(name, own, before, counted)]
    return Part(
        figures=tuple(figures),
        sections={SECTION: _section(readings, healthy, figures, why)},
        reading=counted,
    )


def _probe_figures(reading: AgentReading) -> list[Figure]:
    """As the agent monitor records them with each of its own probes."""
    name = reading.agent.name
    found = [figure_of(series.AGENT_ERRORS, 0.0 if reading.healthy else 1.0, name)]
    if reading.probe is not None and reading.probe.status is not None:
        found.append(figure_of(series.AGENT_RESPONSE, reading.probe.seconds, name))
    return found


def _own_figures(
    clients: Clients, readings: Sequence[AgentReading], path: str
) -> tuple[dict[str, Own], dict[str, str]]:
    """By agent what it says of itself, and why it says nothing that is understood. Only who answers is asked."""
    owns: dict[str, Own] = {}
    why: dict[str, str] = {}
    asked = [one for one in readings if one.url and one.probe and one.probe.status is not None]
    deadline = time.monotonic() + _ALL_METRICS_SECONDS
    for start in range(0, len(asked), _AT_ONCE):
        if time.monotonic() > deadline:
            why |= dict.fromkeys((one.agent.name for one in asked[start:]), "no time was left to ask")
            break
        for reading, found in _asked(clients, asked[start : start + _AT_ONCE], path):
            if isinstance(found, Own):
                owns[reading.agent.name] = found
            elif found:
                why[reading.agent.name] = found
    return owns, why


def _asked(clients: Clients, readings: Sequence[AgentReading], path: str) -> Iterable[tuple[AgentReading, Own | str]]:
    """With each agent its figures, or why there are none; empty for one that has no such page."""
    from jobs.clients.http import Ask

    urls = [urlsplit(reading.url or "")._replace(path=path, query="").geturl() for reading in readings]
    replies = clients.http.fetch_all([Ask(url, _METRICS_SECONDS, max_body_bytes=MAX_BODY_BYTES) for url in urls])
    for reading, reply in zip(readings, replies, strict=True):
        if reply.error:
            yield reading, reply.error
        elif reply.truncated:
            yield reading, f"more than {MAX_BODY_BYTES >> 20} MiB"
        elif reply.status != 200:
            yield reading, ""
        else:
            yield reading, _parsed(reply.body)


def _parsed(body: bytes) -> Own | str:
    try:
        return parse_own(body)
    except NoFigures as error:
        return str(error)


def own_counters(owns: Mapping[str, Own]) -> dict[str, dict[str, float]]:
    """What agents count of themselves, for rates."""
    names = ("requests", "errors", "seconds", "timed_requests")
    return {
        name: {agent: value for agent, own in owns.items() if (value := getattr(own, name)) is not None}
        for name in names
    }


def own_figures(agent: str, own: Own, before: Reading | None, now: Reading) -> list[Figure]:
    """Rates and means since the last sample; the mean and the share of errors as an agent tells them itself."""
    since = grown(before, now)
    requests, errors = since["requests"].get(agent), since["errors"].get(agent)
    seconds, timed = since["seconds"].get(agent), since["timed_requests"].get(agent)
    values = {
        series.AGENT_REQUESTS: per_second(before, now)["requests"].get(agent),
        series.AGENT_OWN_RESPONSE: seconds / timed if seconds is not None and timed else own.response_seconds,
        series.AGENT_OWN_ERRORS: min(1.0, errors / requests) if errors is not None and requests else own.error_ratio,
    }
    return [figure_of(kind, value, agent) for kind, value in values.items() if value is not None]


def _section(
    readings: Sequence[AgentReading], healthy: int, figures: Sequence[Figure], why: Mapping[str, str]
) -> dict[str, Any]:
    def of(reading: AgentReading) -> dict[str, Any]:
        name = reading.agent.name
        return {
            "state": reading.state.value,
            "detail": reading.detail,
            **{f.kind.name.removeprefix("agent_"): f.value for f in figures if f.labels == (name,)},
            **({"own_figures": f"not known: {why[name]}"} if name in why else {}),
        }

    ill_first = sorted(readings, key=lambda reading: (reading.healthy, reading.agent.name))
    return {
        "total": len(readings),
        "healthy": healthy,
        "healthy_ratio": healthy / len(readings),
        "agents": {reading.agent.name: of(reading) for reading in ill_first[:_MAX_TOLD]},
    }
