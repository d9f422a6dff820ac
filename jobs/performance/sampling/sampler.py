"""One sample of everything, side by side, under one deadline."""

from __future__ import annotations

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

_SECTIONS = (host.SECTION, containers.SECTION, agents.SECTION, databases.SECTION, models.SECTION)


def sample(settings: SamplingSettings, clients: Clients, now: datetime, *, dry_run: bool = False) -> Sampled:
    """Measure everything once. What cannot be measured is a gap, and holds up nothing else.

    With `dry_run` no model is asked to generate and nothing is remembered. Raises OSError where what is to be
    remembered cannot be written.
    """
    memory = remembered(clients.base_dir, clients.host.boot_id(), clients.host.uptime_seconds())
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
    if not dry_run:
        _remember(memory, parts, answered, now)
    return merged([parts[source.name] for source in planned], memory.finding())


def plan(
    settings: SamplingSettings, clients: Clients, memory: Memory, now: datetime, *, may_probe: bool
) -> list[Source]:
    """Everything that is to be sampled."""
    world = clients.world
    servers = [
        Source(
            f"postgres/{server.name}",
            partial(
                databases.postgres,
                clients,
                server,
                memory.reading(f"postgres/{server.name}"),
                settings.slow_statements,
            ),
            server.configured,
        )
        for server in clients.postgres_servers
    ]
    return [
        *host.sources(clients, memory.reading("host")),
        Source(
            "containers",
            partial(containers.measure, clients, memory.reading("containers"), settings.max_containers),
            world.docker.url is not None,
        ),
        Source(
            "agents",
            partial(agents.measure, clients, memory.reading("agents"), settings.agent_metrics_path, now),
            False,
        ),
        *servers,
        Source("redis", partial(databases.redis, clients, memory.reading("redis")), world.redis.url is not None),
        Source(
            "ollama",
            partial(models.measure, settings, clients, memory.probes, now, may_probe=may_probe),
            world.ollama.url is not None,
        ),
    ]


def merged(parts: Sequence[Part], finding: Finding | None = None) -> Sampled:
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
        findings=(*([finding] if finding else []), *(one for part in parts for one in part.findings)),
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


def _remember(memory: Memory, parts: Mapping[str, Part], answered: Iterable[str], now: datetime) -> None:
    readings = {name: part.reading for name, part in parts.items() if part.reading is not None}
    probes = {model: probe for part in parts.values() for model, probe in part.probes.items()}
    memory.save(readings, probes, dict.fromkeys(answered, now.timestamp()), now)


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping):
            inner = into.setdefault(key, {})
            _merge(inner, value)
        else:
            into[key] = value
