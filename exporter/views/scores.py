"""The scores, each with what was taken off."""

from __future__ import annotations

from exporter.views.shapes import DeductionEntry, Score
from exporter.views.sources import Sources
from jobs.core.registry import all_jobs
from jobs.core.scoring import DEDUCTION_FAMILY


def scores(sources: Sources) -> list[Score]:
    """Every score that a job gives."""
    scoring = [job for job in all_jobs().values() if job.score_name]
    # Where no job gives a score there is no family for what is taken off.
    deductions = _deductions(sources) if scoring else {}
    return [
        {
            "name": job.score_name,
            "task": job.name,
            "value": sources.exposition.get(f"sutazai_{job.score_name}_score"),
            "deductions": sorted(deductions.get(job.score_name, []), key=lambda one: -one["points"]),
        }
        for job in scoring
    ]


def _deductions(sources: Sources) -> dict[str, list[DeductionEntry]]:
    found: dict[str, list[DeductionEntry]] = {}
    for labels, points in sources.exposition.series(DEDUCTION_FAMILY.name):
        found.setdefault(labels["score"], []).append({"reason": labels["reason"], "points": points})
    return found
