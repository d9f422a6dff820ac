"""Which node-exporters run on this host, and which directory of *.prom files each reads."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TEXTFILE_FLAG = "--collector.textfile.directory"
_FLAG = re.compile(rf"-?{re.escape(TEXTFILE_FLAG[1:])}(?:=(.*))?", re.DOTALL)
_PROGRAMS = (b"node_exporter", b"prometheus-node-exporter")


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


def textfile_readers(proc: Path = Path("/proc")) -> list[TextfileReader]:
    """Every node-exporter that was told of a directory; `proc` is where processes are looked for."""
    return [
        TextfileReader(pid, directory, proc / str(pid) / "root" / directory.relative_to("/"))
        for pid, arguments in _running(proc)
        if (directory := textfile_directory(arguments))
    ]


def textfile_directory(arguments: Sequence[str]) -> Path | None:
    """The directory that a node-exporter with these arguments reads; of several the last counts."""
    directory = None
    for place, word in enumerate(arguments):
        if match := _FLAG.fullmatch(word):
            value = match[1] if match[1] is not None else next(iter(arguments[place + 1 : place + 2]), "")
            directory = Path(value) if value.startswith("/") else directory
    return directory


def _running(proc: Path) -> Iterator[tuple[int, list[str]]]:
    for entry in sorted(proc.iterdir()):
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile
            continue
        if words[0].rpartition(b"/")[2] in _PROGRAMS:
            yield int(entry.name), [word.decode(errors="surrogateescape") for word in words[1:]]
