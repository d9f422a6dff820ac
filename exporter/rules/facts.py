"""What a template of rules may ask for: settings, the rhythm of the tasks, and limits that the code of a task has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from exporter.rules.durations import DAY, HOUR, MINUTE
from exporter.settings import Settings
from jobs.core.cadence import Cadence
from jobs.core.job import Job
from jobs.core.registry import all_jobs
from jobs.databases.postgres_judgement import FREEZE_RATIO, PREPARED_SECONDS, WRAPAROUND_RATIO
from jobs.performance.sampling.models import GPU_FALL, LEAST_GPU_RATIO

CONSTANTS: Mapping[str, float] = {
    "wraparound_ratio": WRAPAROUND_RATIO,
    "freeze_ratio": FREEZE_RATIO,
    "prepared_seconds": PREPARED_SECONDS,
    "gpu_fall_ratio": GPU_FALL,
    "least_gpu_ratio": LEAST_GPU_RATIO,
}
"""Limits that a task judges by and nobody can set."""


@dataclass(frozen=True)
class Rhythms:
    """How often tasks run with these settings; one that is switched off has the rhythm that it would have."""

    settings: Settings

    def looks(self, task: str, count: int = 1) -> int:
        """Seconds in which a task runs `count` times, in whatever mode."""
        job = all_jobs()[task]
        return count * min(cadence.period_seconds for cadence in self._cadences(job))

    def rounds(self, task: str, *modes: str) -> int:
        """Seconds between two of its runs in one of these modes."""
        return min(cadence.period_seconds for cadence in self._of_modes(task, modes))

    def times(self, task: str, *modes: str) -> str:
        """When it runs in one of these modes: `daily at 03:00`."""
        return ", ".join(cadence.key for cadence in self._of_modes(task, modes))

    def _of_modes(self, task: str, modes: tuple[str, ...]) -> list[Cadence]:
        """The cadences of these modes; where there is none any more, those that the task has by itself."""
        job = all_jobs()[task]
        for cadences in (self._cadences(job), job.cadences):
            if found := [cadence for cadence in cadences if (cadence.mode or job.modes[0]) in modes]:
                return found
        raise ValueError(f"{task} never runs as {' or '.join(modes)}")

    def _cadences(self, job: Job) -> tuple[Cadence, ...]:
        return getattr(self.settings.jobs, job.key).schedule or job.cadences


def facts(settings: Settings) -> dict[str, Any]:
    """Everything that a template may ask for, by name."""
    rhythms = Rhythms(settings)
    functions: dict[str, Callable[..., object]] = {
        "looks": rhythms.looks,
        "rounds": rhythms.rounds,
        "times": rhythms.times,
    }
    sections = {
        name: getattr(settings, name) for name in ("alerts", "certificate", "jobs", "remediation", "thresholds")
    }
    return {**sections, **functions, "constants": CONSTANTS, "MINUTE": MINUTE, "HOUR": HOUR, "DAY": DAY}
