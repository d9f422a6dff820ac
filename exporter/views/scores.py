"""The scores, each with what was taken off."""

from __future__ import annotations

from exporter.views.shapes import Score
from exporter.views.sources import Sources


def scores(sources: Sources) -> list[Score]:
    """Every score that a job gives."""
    raise NotImplementedError
