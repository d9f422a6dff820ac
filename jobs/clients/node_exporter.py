"""Which node-exporters run on this host, and which directory of *.prom files each reads."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

TEXTFILE_FLAG = "--collector.textfile.directory"


@dataclass(frozen=True)
class TextfileReader:
    """A process that reads a directory: `directory` is its own name for it, `seen_at` where it is from here."""

    pid: int
    directory: Path
    seen_at: Path

    def reads(self, directory: Path) -> bool:
        """Whether it is this very directory, by whatever name; a container has other names for it."""
        with contextlib.suppress(OSError):
            return self.seen_at.samefile(directory)
        return self.directory == directory


def textfile_directories() -> list[TextfileReader]:
    """Every process that was started with node-exporter's flag for it."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        directory = _directory(process.info["cmdline"] or [])
        if directory.startswith("/"):
            seen_at = Path(f"/proc/{process.pid}/root{directory}")
            found.append(TextfileReader(process.pid, Path(directory), seen_at))
    return found


def _directory(argv: Sequence[str]) -> str:
    for place, word in enumerate(argv):
        flag, equals, value = word.partition("=")
        if flag == TEXTFILE_FLAG:
            return value if equals else next(iter(argv[place + 1 : place + 2]), "")
    return ""
