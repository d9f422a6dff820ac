"""The tasks: what they do, when they run, how they went."""

from __future__ import annotations

from exporter.views.shapes import RunEntry, TaskEntry
from exporter.views.sources import Sources


def tasks(sources: Sources) -> list[TaskEntry]:
    """Every task, by name."""
    raise NotImplementedError


def task(sources: Sources, name: str) -> TaskEntry:
    """One task; raise KeyError where there is none."""
    raise NotImplementedError


def runs(sources: Sources, task: str | None, limit: int) -> list[RunEntry]:
    """The newest runs that are over, newest first."""
    raise NotImplementedError
