"""What is sampled of one source, and how the readings of two times become rates."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.core.model import Finding, Sample
from jobs.performance.sampling.sampled import Gap
from jobs.performance.series import Figure

WINDOW_SECONDS = 1.0
"""Where there is no reading of before, two are made this far apart."""

Rates = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Reading:
    """Counters as they stood at `at_seconds`, which counts from the start of this machine.

    They are by what they count (`cpu_seconds`), then by what they count it of (a mode, a container's id).
    """

    at_seconds: float
    counters: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Probe:
    """How a model last generated: when (Unix time), and how fast (None: not told); or with which error it did not."""

    at: float
    first_token_seconds: float | None = None
    tokens_per_second: float | None = None
    error: str = ""


@dataclass(frozen=True)
class Part:
    """What one source came to. `reading` and `probes` are for the next time; `sections` are of the report."""

    figures: tuple[Figure, ...] = ()
    samples: tuple[Sample, ...] = ()
    gaps: tuple[Gap, ...] = ()
    findings: tuple[Finding, ...] = ()
    sections: Mapping[str, Any] = field(default_factory=dict)
    reading: Reading | None = None
    probes: Mapping[str, Probe] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """Something to be sampled. `configured`: somebody wants it to be there."""

    name: str
    measure: Callable[[], Part]
    configured: bool = True


def per_second(before: Reading | None, after: Reading) -> Rates:
    """By how much each counter grew in a second; one that is new, or went back, has no rate."""
    if before is None or after.at_seconds <= before.at_seconds:
        return {name: {} for name in after.counters}
    seconds = after.at_seconds - before.at_seconds
    return {name: _rates(before.counters.get(name, {}), values, seconds) for name, values in after.counters.items()}


def grown(before: Reading | None, after: Reading) -> Rates:
    """By how much each counter grew; one that is new, or went back, is left out."""
    if before is None:
        return {name: {} for name in after.counters}
    return {name: _rates(before.counters.get(name, {}), values, 1.0) for name, values in after.counters.items()}


def two_readings(
    before: Reading | None, read: Callable[[], Reading], steady: Callable[[Reading, Reading], bool]
) -> tuple[Reading, Reading]:
    """The reading of before and one of now; where there is none, or the two do not fit, two a second apart."""
    now = read()
    if before is not None and steady(before, now):
        return before, now
    time.sleep(WINDOW_SECONDS)
    return now, read()


def _rates(before: Mapping[str, float], after: Mapping[str, float], seconds: float) -> dict[str, float]:
    return {
        label: (value - earlier) / seconds
        for label, value in after.items()
        if (earlier := before.get(label)) is not None and value >= earlier
    }
