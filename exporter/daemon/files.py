"""What the daemon writes for those who do not ask it: the textfile for node-exporter, and the status page."""

from __future__ import annotations

import logging
from collections.abc import Callable

from exporter import metrics
from exporter.dashboard.file import DashboardFile
from exporter.metrics import Metrics
from exporter.self_report import wrong
from exporter.textfile import write_textfile
from exporter.views.sources import Sources

logger = logging.getLogger(__name__)


class Files:
    """Both files, each as things stand when it is written. One that cannot be written stops nothing.

    `on_wrong` hears what is wrong with the daemon itself whenever that has changed.
    """

    def __init__(self, shown: Metrics, sources: Callable[[], Sources], on_wrong: Callable[[list[str]], None]) -> None:
        self._metrics, self._sources, self._on_wrong = shown, sources, on_wrong
        self._wrong: list[str] = []
        self._page = DashboardFile()

    def write_textfile(self) -> None:
        """Write the exposition where the configuration says so."""
        directory = self._sources().configuration.settings.textfile.directory
        if directory:
            try:
                write_textfile(directory, self._metrics.exposition)
            except OSError as error:
                logger.error("textfile not written", extra={"file": error.filename, "reason": error.strerror})

    def write_page(self, *, serving: bool = True) -> None:
        """Write the status page. The schedule asks once a second at most, whenever anything has changed."""
        written = self._page.write(self._sources(), serving=serving)
        self._metrics.set(metrics.PAGE_WRITTEN, float(written))

    def tell_wrong(self) -> bool:
        """Say what is wrong with the daemon itself, if that is news; whether it is."""
        found = wrong(self._metrics.exposition)
        if found == self._wrong:
            return False
        self._wrong = found
        self._on_wrong(found)
        return True
