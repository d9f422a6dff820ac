"""Samples of performance in this process, on real services, and easy looks at what came of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jobs.clients import Clients
from jobs.core.ports import History, Summary
from jobs.core.settings import World
from jobs.performance.sampling.sampled import Gap, Sampled
from jobs.performance.sampling.sampler import sample
from jobs.performance.sampling.settings import SamplingSettings
from jobs.performance.series import Kind
from tests.services.clocks import FakeClock
from tests.services.reporters import KeepingReporter


class Past:
    """Stands for the store's history: what a test says was, by the name of its series."""

    def __init__(self) -> None:
        self.usual: dict[str, Summary] = {}
        self.seen: dict[str, Sequence[tuple[float, float]]] = {}

    def was(self, kind: Kind, value: float, *labels: str, count: int = 100) -> None:
        """A figure was always this."""
        self.usual[kind.series(*labels)] = Summary(value, value, value, value, value, value, 86400.0, count)

    def points(self, series: str, since: datetime) -> Sequence[tuple[float, float]]:
        """The raw observations."""
        return self.seen.get(series, ())

    def means(self, prefix: str, since: datetime) -> Mapping[str, float]:
        """Not needed for sampling."""
        raise AssertionError("sampling asks for no means")

    def trend(self, series: str, since: datetime, until: datetime, seconds: float) -> Sequence[tuple[float, float]]:
        """Not needed for sampling."""
        raise AssertionError("sampling asks for no trend")

    def summaries(self, prefix: str, since: datetime, until: datetime) -> Mapping[str, Summary]:
        """What there is of this name and longer ones."""
        return {series: summary for series, summary in self.usual.items() if series.startswith(prefix)}


class SamplingRuns:
    """Samples under one base directory. `world` is as in a configuration file; no agent is expected unless listed."""

    def __init__(self, base_dir: Path, clock: FakeClock | None = None, **world: Any) -> None:
        self.base_dir, self.clock, self.past = base_dir, clock or FakeClock(), Past()
        self.history: History = self.past
        self.world = {"agents": {"discover": False, "listed": []}, **world}

    @property
    def counters_file(self) -> Path:
        """What is remembered between samples."""
        return self.base_dir / "data" / "performance" / "counters.json"

    def clients(self) -> Clients:
        """Clients of a process of its own: nothing is remembered in them."""
        world = World.model_validate({"base_dir": self.base_dir, **self.world})
        return Clients(world, self.clock, KeepingReporter(), _no_budgets, lambda: self.history)

    def sample(self, *, dry_run: bool = False, **settings: Any) -> Sampled:
        """One sample of everything."""
        return sample(SamplingSettings(**settings), self.clients(), self.clock.now(), dry_run=dry_run)

    def age(self, seconds: float) -> None:
        """Have the last sample be made so much longer ago."""
        document = json.loads(self.counters_file.read_text())
        for reading in document["readings"].values():
            reading["at_seconds"] -= seconds
        self.counters_file.write_text(json.dumps(document))


def _no_budgets() -> Any:
    raise AssertionError("sampling spends nothing")


def figures(sampled: Sampled, kind: Kind) -> dict[tuple[str, ...], float]:
    """The figures of a kind by their labels."""
    return {figure.labels: figure.value for figure in sampled.figures if figure.kind == kind}


def figure(sampled: Sampled, kind: Kind, *labels: str) -> float | None:
    """One figure, None where there is none."""
    return figures(sampled, kind).get(labels)


def metric(sampled: Sampled, family: str, *labels: str) -> float | None:
    """One sample of a metric family, None where there is none."""
    found = [s.value for s in sampled.samples if s.family == family and tuple(s.labels.values()) == labels]
    assert len(found) < 2
    return found[0] if found else None


def gap(sampled: Sampled, source: str) -> Gap | None:
    """The gap of a source, None where there is none."""
    found = [one for one in sampled.gaps if one.source == source]
    assert len(found) < 2
    return found[0] if found else None


def kinds(sampled: Sampled) -> set[tuple[str, str]]:
    """Kind and subject of each finding."""
    return {(finding.kind, finding.subject) for finding in sampled.findings}
