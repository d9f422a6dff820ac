"""Writes the page, whole or not at all, and says so once when it cannot."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from exporter.dashboard.page import render
from exporter.runs import report_index
from exporter.views.sources import Sources
from exporter.views.status import status
from jobs.core.files import atomic_write
from jobs.core.registry import all_jobs

if TYPE_CHECKING:
    from exporter.dashboard.page import Links

logger = logging.getLogger(__name__)

PAGE = Path("dashboard/automation-status.html")
"""Below the base directory."""
MODE = 0o640
"""It tells of weaknesses, as reports do: it is for the exporter's user and group alone."""


class DashboardFile:
    """The page of a base directory. `reason` is why it could not be written last; empty if it could."""

    def __init__(self) -> None:
        self.reason = ""

    def write(self, sources: Sources, *, serving: bool) -> bool:
        """Write the page as things stand, and say whether that worked. Nothing is raised: no run is worse for it."""
        try:
            reason = _write(sources, serving=serving)
        except Exception as error:
            reason = f"a fault in the page itself: {type(error).__name__}"
            if reason != self.reason:
                logger.exception("the status page cannot be made")
        else:
            if reason and reason != self.reason:
                logger.error("the status page is not written", extra={"reason": reason})
        self.reason = reason
        return not reason


def _write(sources: Sources, *, serving: bool) -> str:
    """Write it; return why it could not be."""
    file = sources.configuration.settings.base_dir / PAGE
    content = render(status(sources, serving=serving), _links(sources)).encode()
    try:
        atomic_write(file, content, mode=MODE)
    except OSError as error:
        # The name of the file it is written to first is another one each time.
        return f"{file}: {error.strerror}"
    return ""


def _links(sources: Sources) -> Links:
    """Where the newest reports are, from the page's own directory."""
    base_dir = sources.configuration.settings.base_dir
    found = {}
    for job in all_jobs().values():
        if kept := report_index.newest_of(job, base_dir):
            found[kept.id] = [
                (str(file), quote(os.path.relpath(file, (base_dir / PAGE).parent))) for file in kept.forms.values()
            ]
    return found
