"""One sample of everything, side by side, under one deadline."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from jobs.clients.errors import Absent, ClientError
from jobs.core.model import Finding
from jobs.core.side_by_side import Finished, side_by_side
from jobs.performance.sampling import agents, containers, databases, host, models
from jobs.performance.sampling.families import sample_of
from jobs.performance.sampling.memory import Memory, remembered
from jobs.performance.sampling.part import Part, Source
from jobs.performance.sampling.sampled import Gap, Sampled
from jobs.performance.sampling.settings import SamplingSettings
from jobs.performance.series import Figure

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.clients.postgres import Postgres

_SECTIONS = (host.SECTION, containers.SECTION, agents.SECTION, databases.SECTION, models.SECTION)


def sample(settings: SamplingSettings, clients: Clients, now: datetime, *, dry_run: bool = False) -> Sampled:
    """Measure everything once. What cannot be measured is a gap, and holds up nothing else.

    With `dry_run` no model is asked to generate and nothing is remembered.
    """
    memory = _old_enough(clients)
    planned = plan(settings, clients, memory, now, may_probe=not dry_run)
    parts: dict[str, Part] = {}
    answered: list[str] = []
    tasks = [source.measure for source in planned]
    for ended in side_by_side(tasks, settings.sample_deadline_seconds, clients.clock.monotonic):
        source = planned[ended.index]
        parts[source.name] = _part(source, ended, memory, now)
        answered += [source.name] if ended.error is None else []
        clients.report.progress(len(parts), len(planned), source.name)
    for source in planned:
        late = Gap(source.name, f"no answer within {settings.sample_deadline_seconds:g} s")
        parts.setdefault(source.name, Part(gaps=(late,)))
    findings = [memory.finding(), None if dry_run else _remember(memory, parts, answered, now)]
    return merged([parts[source.name] for source in planned], [one for one in findings if one])


def _old_enough(clients: Clients) -> Memory:
    """What the last sampling left. One that was just made is waited for: without it there would be no rates at all."""

    def read() -> Memory:
        return remembered(clients.base_dir, clients.host.boot_id(), clients.host.uptime_seconds())

    memory = read()
    if rest_seconds := memory.rest_of_window_seconds():
        time.sleep(rest_seconds)
        return read()
    return memory


def plan(
    settings: SamplingSettings, clients: Clients, memory: Memory, now: datetime, *, may_probe: bool
) -> list[Source]:
    """Everything that is to be sampled. The history is asked here, once, and not by many threads."""
    world, last = clients.world, memory.reading
    known, usually = agents.known(clients.history, now), models.usual(settings, clients.history, now)
    measure_containers = partial(containers.measure, clients, last("containers"), settings.max_containers)
    measure_agents = partial(agents.measure, clients, last("agents"), settings.agent_metrics_path, known)
    measure_models = partial(models.measure, settings, clients, memory.probes, usually, now, may_probe=may_probe)
    return [
        *host.sources(clients, last("host")),
        Source("containers", measure_containers, world.docker.url is not None),
        Source("agents", measure_agents),
        *(_postgres(clients, server, memory, settings.slow_statements) for server in clients.postgres_servers),
        Source("redis", partial(databases.redis, clients, last("redis")), world.redis.url is not None),
        Source("ollama", measure_models, world.ollama.url is not None),
    ]


def _postgres(clients: Clients, server: Postgres, memory: Memory, slow_statements: int) -> Source:
    name = f"postgres/{server.name}"
    measure = partial(databases.postgres, clients, server, memory.reading(name), slow_statements)
    return Source(name, measure, server.configured)


def merged(parts: Sequence[Part], findings: Sequence[Finding] = ()) -> Sampled:
    """What all parts came to; of two figures that only their unprintable names told apart, the first counts."""
    figures: dict[tuple[str, tuple[str, ...]], Figure] = {}
    for figure in (figure for part in parts for figure in part.figures):
        figures.setdefault((figure.kind.name, figure.labels), figure)
    sections: dict[str, Any] = {name: {} for name in _SECTIONS}
    for part in parts:
        _merge(sections, part.sections)
    return Sampled(
        figures=tuple(figures.values()),
        samples=(
            *(made for figure in figures.values() if (made := sample_of(figure))),
            *(one for part in parts for one in part.samples),
        ),
        gaps=tuple(gap for part in parts for gap in part.gaps),
        findings=(*findings, *(one for part in parts for one in part.findings)),
        sections=sections,
    )


def _part(source: Source, ended: Finished, memory: Memory, now: datetime) -> Part:
    try:
        if ended.error is not None:
            raise ended.error
        part: Part = ended.value
        return part
    except Absent as error:
        # What was there yesterday is not absent but gone.
        gone = source.configured or memory.was_seen(source.name, now)
        return Part(gaps=(Gap(source.name, str(error), absent=not gone),))
    except ClientError as error:
        return Part(gaps=(Gap(source.name, str(error)),))
    except Exception as error:  # noqa: BLE001  # a fault in one source must leave the others standing, and be told
        reason = " ".join(str(error).split())[:300]
        return Part(gaps=(Gap(source.name, f"could not be sampled: {type(error).__name__}: {reason}"),))


def _remember(memory: Memory, parts: Mapping[str, Part], answered: Iterable[str], now: datetime) -> Finding | None:
    """Keep what the next sample needs; on a full disk that fails, and the figures still stand."""
    readings = {name: part.reading for name, part in parts.items() if part.reading is not None}
    probes = {model: probe for part in parts.values() for model, probe in part.probes.items()}
    try:
        memory.save(readings, probes, dict.fromkeys(answered, now.timestamp()), now)
    except OSError as error:
        return memory.not_saved(error)
    return None


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping):
            inner = into.setdefault(key, {})
            _merge(inner, value)
        else:
            into[key] = value
