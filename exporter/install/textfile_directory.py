"""Where node-exporter reads textfiles here: asked of its process, its defaults file, or Debian's own place."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DEFAULTS_FILE = Path("etc/default/prometheus-node-exporter")
DEBIANS_DIRECTORY = Path("var/lib/prometheus/node-exporter")
"""What Debian's node-exporter reads if it is told nothing (its README.Debian)."""
_PROGRAMS = (b"node_exporter", b"prometheus-node-exporter")
_FLAG = re.compile(r"--?collector\.textfile\.directory(?:=(.*))?", re.DOTALL)


@dataclass(frozen=True)
class Found:
    """A directory, and how it is known."""

    directory: Path
    source: str


def find(root: Path = Path("/"), proc: Path = Path("/proc")) -> Found | None:
    """The directory that a node-exporter here reads, or None. `root` and `proc` are where to look."""
    for pid, arguments in _running(proc):
        if directory := _told(arguments):
            return Found(directory, f"node-exporter (pid {pid}) reads it")
    try:
        text = (root / DEFAULTS_FILE).read_text()
    except (OSError, UnicodeDecodeError):
        text = ""
    if directory := _told(_arguments(text)):
        return Found(directory, f"/{DEFAULTS_FILE} names it")
    usual = root / DEBIANS_DIRECTORY
    return Found(usual, "Debian's node-exporter reads it") if usual.is_dir() else None


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


def _told(arguments: list[str]) -> Path | None:
    directory = None
    for place, word in enumerate(arguments):
        if match := _FLAG.fullmatch(word):
            value = match[1] if match[1] is not None else next(iter(arguments[place + 1 :]), "")
            directory = Path(value) if value.startswith("/") else directory
    return directory
