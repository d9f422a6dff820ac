"""The performance score: 100 minus what is lost by figures beyond their limits, and by those that are unknown.

A deduction comes with the figure, its limit and a remedy. What nobody has configured and is not there costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jobs.core.model import Deduction
from jobs.core.scoring import score
from jobs.core.settings import Thresholds
from jobs.pages import figures as written
from jobs.performance import series
from jobs.performance.sampling.sampled import Gap, Sampled
from jobs.performance.series import Figure, Kind
from jobs.performance.settings import Settings

UNKNOWN_POINTS = 5.0
_FAIR, _GOOD, _EXCELLENT = 60, 75, 90


@dataclass(frozen=True)
class Loss:
    """Points that the score loses: why, in a word and in a sentence with figure and limit, and what helps."""

    points: float
    reason: str
    message: str
    remedy: str

    @property
    def is_unknown(self) -> bool:
        """Whether it is for what could not be measured."""
        return self.reason.endswith("_unknown")

    @property
    def deduction(self) -> Deduction:
        """The same, as the score counts it."""
        return Deduction(points=self.points, reason=self.reason)


def word_of(points: float) -> str:
    """What a score is called."""
    if points < _FAIR:
        return "poor"
    if points < _GOOD:
        return "fair"
    return "good" if points < _EXCELLENT else "excellent"


def score_of(losses: Sequence[Loss]) -> float:
    """From 100 down to 0."""
    return score(loss.deduction for loss in losses)


def verdict_of(losses: Sequence[Loss]) -> int:
    """The exit code: 0 good or better, 1 fair or something unknown, 2 poor."""
    word = word_of(score_of(losses))
    if word == "poor":
        return 2
    return 1 if word == "fair" or any(loss.is_unknown for loss in losses) else 0


def losses_of(sampled: Sampled, settings: Settings, thresholds: Thresholds) -> list[Loss]:
    """Everything that costs points, the dearest first."""
    now = Now(sampled)
    found = [
        *_memory(now, settings, thresholds),
        *_disk(now, settings, thresholds),
        *_load(now, thresholds),
        *_agents(now, settings),
        *_databases(now, settings),
        *_gaps(sampled.gaps),
    ]
    return sorted(found, key=lambda loss: (-loss.points, loss.reason))


class Now:
    """The figures of a sample, by their kind."""

    def __init__(self, sampled: Sampled) -> None:
        self._figures, self._sections = sampled.figures, sampled.sections

    def of(self, kind: Kind) -> list[Figure]:
        """All figures of a kind, the greatest first."""
        return sorted((one for one in self._figures if one.kind == kind), key=lambda one: -one.value)

    def value(self, kind: Kind) -> float | None:
        """The greatest figure of a kind."""
        return next((one.value for one in self.of(kind)), None)

    def biggest(self, kind: Kind, doing: str) -> str:
        """The three containers with most of it, as the beginning of a sentence."""
        named = [f"{one.labels[0]} ({written.text(one.value, kind.unit)})" for one in self.of(kind)[:3]]
        if not named:
            return "see which processes do (top): "
        return f"the containers {doing} are {', '.join(named)}: "

    def ill_agents(self) -> str:
        """The first few agents that are not well, by name, and how many there are more."""
        agents = self._sections.get("agent_metrics", {}).get("agents", {})
        told = agents.items() if isinstance(agents, Mapping) else ()
        ill = [f"{name} ({about.get('state')})" for name, about in told if about.get("state") != "healthy"]
        more = f" and {len(ill) - 5} more" if len(ill) > 5 else ""
        return ", ".join(ill[:5]) + more


def _over(points: float, reason: str, what: str, ratio: float, percent: float, remedy: str) -> Loss:
    return Loss(points, reason, f"{what} {ratio * 100:.1f} % (limit {percent:g} %)", remedy)


def _memory(now: Now, settings: Settings, thresholds: Thresholds) -> Iterator[Loss]:
    used = now.value(series.MEMORY)
    if used is None:
        return
    biggest = now.biggest(series.CONTAINER_MEMORY, "that use most of it")
    remedy = f"{biggest}set a limit, stop what is not needed, or add memory"
    if used > thresholds.max_memory_percent / 100:
        yield _over(15, "memory_high", "memory in use", used, thresholds.max_memory_percent, remedy)
    elif used > settings.busy_memory_percent / 100:
        yield _over(5, "memory_busy", "memory in use", used, settings.busy_memory_percent, remedy)


def _disk(now: Now, settings: Settings, thresholds: Thresholds) -> Iterator[Loss]:
    for fullest in now.of(series.DISK)[:1]:
        mount = fullest.labels[0]
        what, used = f"file system {mount} in use", fullest.value
        remedy = f"see what takes the room below {mount} (du -xh --max-depth=2), and remove or move it"
        if used > thresholds.max_disk_percent / 100:
            yield _over(20, "disk_high", what, used, thresholds.max_disk_percent, remedy)
        elif used > settings.busy_disk_percent / 100:
            yield _over(10, "disk_busy", what, used, settings.busy_disk_percent, remedy)


def _load(now: Now, thresholds: Thresholds) -> Iterator[Loss]:
    load, limit = now.value(series.LOAD), thresholds.max_load_per_core
    if load is not None and load > limit:
        biggest = now.biggest(series.CONTAINER_CPU, "that use most CPU")
        message = f"load per core {load:.2f} (limit {limit:g})"
        yield Loss(15, "load_high", message, f"{biggest}set a limit, or spread the work over time")


def _agents(now: Now, settings: Settings) -> Iterator[Loss]:
    healthy, least = now.value(series.AGENTS_HEALTHY), settings.min_healthy_agents_percent
    if healthy is None or healthy >= 1:
        return
    ill = now.ill_agents()
    remedy = f"{ill or 'see which are not'}: `sutazai-exporter run agent-monitor` says why, and what was done"
    if healthy < least / 100:
        yield _over(25, "agents_down", "agents that are well", healthy, least, remedy)
    else:
        yield _over(10, "agents_degraded", "agents that are well", healthy, 100, remedy)


def _databases(now: Now, settings: Settings) -> Iterator[Loss]:
    for worst in now.of(series.POSTGRES_CACHE)[-1:]:
        if worst.value < settings.min_cache_hit_percent / 100:
            what = f"PostgreSQL {'/'.join(worst.labels)} reads from the cache"
            remedy = "raise shared_buffers, or look for statements that read whole tables"
            yield _over(10, "postgres_cache_low", what, worst.value, settings.min_cache_hit_percent, remedy)
    for worst in now.of(series.POSTGRES_CONNECTIONS)[:1]:
        if worst.value > settings.max_connection_percent / 100:
            what = f"PostgreSQL {worst.labels[0]} connections in use"
            remedy = "put a pool in front (PgBouncer), close idle sessions, or raise max_connections"
            yield _over(15, "postgres_connections_high", what, worst.value, settings.max_connection_percent, remedy)


def _gaps(gaps: Sequence[Gap]) -> Iterator[Loss]:
    """One loss for each area of which something is unknown; that nothing generates is worse than unknown."""
    areas: dict[str, list[Gap]] = {}
    for gap in gaps:
        if not gap.absent:
            areas.setdefault(re.split(r"[^a-z0-9]", gap.source, maxsplit=1)[0] or "source", []).append(gap)
    for area, missing in areas.items():
        yield _SPECIAL.get(area, _unknown)(area, _told(missing))


def _told(gaps: Sequence[Gap]) -> str:
    more = f"; and {len(gaps) - 3} more" if len(gaps) > 3 else ""
    return "; ".join(f"{gap.source}: {gap.reason}" for gap in gaps[:3]) + more


def _unknown(area: str, told: str) -> Loss:
    remedy = (
        "start it, or give the exporter access; unless it is configured, it costs nothing two days after it is gone"
    )
    return Loss(UNKNOWN_POINTS, f"{area}_unknown", f"not everything is known: {told}", remedy)


def _ollama(area: str, told: str) -> Loss:
    return Loss(30, "ollama_down", f"Ollama does not answer ({told})", "start it (systemctl start ollama), see its log")


def _model(area: str, told: str) -> Loss:
    remedy = "see with `ollama ps` whether it fits into memory, and restart Ollama if it is stuck"
    return Loss(20, "model_silent", f"a model does not generate ({told})", remedy)


_SPECIAL: Mapping[str, Callable[[str, str], Loss]] = {"ollama": _ollama, "model": _model}
