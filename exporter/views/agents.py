"""The agents as they were last seen."""

from __future__ import annotations

from exporter.views.shapes import AgentEntry
from exporter.views.sources import Sources


def agents(sources: Sources) -> list[AgentEntry]:
    """Every known agent, by name."""
    raise NotImplementedError
