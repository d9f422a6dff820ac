"""The exposition as a file, for node-exporter's textfile collector."""

from __future__ import annotations

from pathlib import Path

from exporter.exposition import Exposition
from jobs.core.files import atomic_write

FILE_NAME = "sutazai.prom"


def write_textfile(directory: Path, exposition: Exposition) -> Path:
    """Write every series to `directory`/sutazai.prom, whole, world-readable and without timestamps."""
    file = directory / FILE_NAME
    atomic_write(file, exposition.scrape(openmetrics=False, gzip=False), mode=0o644)
    return file
