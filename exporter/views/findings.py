"""What was found and not found gone since."""

from __future__ import annotations

from exporter.views.shapes import FindingEntry
from exporter.views.sources import Sources


def findings(sources: Sources, task: str | None = None) -> list[FindingEntry]:
    """Every standing finding (of one task, if it is given), the worst first."""
    raise NotImplementedError
