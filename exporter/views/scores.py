"""The scores, each with what was taken off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.views.sources import Sources
from jobs.core.registry import all_jobs
from jobs.core.scoring import DEDUCTION_FAMILY

if TYPE_CHECKING:
    from exporter.views.shapes import DeductionEntry, Score


def scores(sources: Sources) -> list[Score]:
    """Every score that a job gives."""
    scored = [job for job in all_jobs().values() if job.score_name]
    deductions = _deductions(sources) if scored else {}  # without a score there is no family of them
    return [
        {
            "name": job.score_name,
            "task": job.name,
            "value": sources.exposition.get(f"sutazai_{job.score_name}_score"),
            "deductions": sorted(deductions.get(job.score_name, []), key=lambda one: -one["points"]),
        }
        for job in scored
    ]


def _deductions(sources: Sources) -> dict[str, list[DeductionEntry]]:
    found: dict[str, list[DeductionEntry]] = {}
    if not any(DEDUCTION_FAMILY in job.metrics for job in all_jobs().values()):
        return found
    for labels, points in sources.exposition.series(DEDUCTION_FAMILY.name):
        found.setdefault(labels["score"], []).append({"reason": labels["reason"], "points": points})
    return found
