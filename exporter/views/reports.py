"""The reports on the disk, found by an index and never by joining a name to a path."""

from __future__ import annotations

from exporter.views.shapes import ReportEntry
from exporter.views.sources import Sources


def reports(sources: Sources, task: str | None = None) -> list[ReportEntry]:
    """Every report (of one task, if it is given), newest first."""
    raise NotImplementedError


def content(sources: Sources, report_id: str, form: str = "json") -> bytes:
    """A report in one of its forms (`json`, `html`, `sarif`); raise KeyError where there is no such report or form."""
    raise NotImplementedError
