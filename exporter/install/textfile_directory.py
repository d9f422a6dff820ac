"""Where node-exporter reads textfiles here: asked of its process, its defaults file, or Debian's own place."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from jobs.clients.node_exporter import textfile_directory, textfile_readers

DEFAULTS_FILE = Path("etc/default/prometheus-node-exporter")
DEBIANS_DIRECTORY = Path("var/lib/prometheus/node-exporter")
"""What Debian's node-exporter reads if it is told nothing (its README.Debian)."""


@dataclass(frozen=True)
class Found:
    """A directory, and how it is known."""

    directory: Path
    source: str


def find(root: Path = Path("/"), proc: Path = Path("/proc")) -> Found | None:
    """The directory that a node-exporter here reads, or None. `root` and `proc` are where to look."""
    for reader in textfile_readers(proc):
        return Found(reader.directory, f"node-exporter (pid {reader.pid}) reads it")
    try:
        text = (root / DEFAULTS_FILE).read_text()
    except (OSError, UnicodeDecodeError):
        text = ""
    if directory := textfile_directory(_arguments(text)):
        return Found(directory, f"/{DEFAULTS_FILE} names it")
    usual = root / DEBIANS_DIRECTORY
    return Found(usual, "Debian's node-exporter reads it") if usual.is_dir() else None


def _arguments(text: str) -> list[str]:
    """The words of ARGS in a defaults file, the last that is set."""
    words: list[str] = []
    for line in text.splitlines():
        match = re.fullmatch(r"\s*ARGS=(.*)", line)
        if match:
            try:
                words = shlex.split(" ".join(shlex.split(match[1], comments=True)))
            except ValueError:  # a quote without its end, which a shell refuses as well
                words = []
    return words
