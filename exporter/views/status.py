"""Whether anything is wrong, and all that one glance should show."""

from __future__ import annotations

from exporter.views.shapes import Status
from exporter.views.sources import Sources


def status(sources: Sources, *, serving: bool) -> Status:
    """Everything at a glance; `serving` is whether a daemon serves this base directory."""
    raise NotImplementedError
