"""What the daemon alone knows of itself, for commands beside it: a line in the file of its lock.

`pid 4711; at http://127.0.0.1:10042; wrong: reload, audit`. The line counts as long as the lock is held, so exactly as
long as the daemon lives, and it can be changed on a disk that is full.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter import metrics
from exporter.bridge import families
from jobs.core.addresses import address_of

if TYPE_CHECKING:
    from exporter.exposition import Exposition

FIGURES = {
    "store": metrics.STORE_UP,
    "reload": metrics.RELOAD_OK,
    "web-configuration": metrics.WEB_CONFIG_OK,
    "page": metrics.PAGE_WRITTEN,
    "audit": families.AUDIT_INTACT,
}
"""Figures that are 0 when something is wrong, by the word for it."""
_WRONG = "; wrong: "
_ADDRESS = r"(?P<host>[0-9.]+|\[[0-9a-fA-F:.]+(?:%[\w-]+)?\]):(?P<port>[0-9]{1,5})"
_LINE = re.compile(rf"pid (?P<pid>[0-9]{{1,10}})(?:; at (?P<url>https?://{_ADDRESS}))?(?:; wrong: .*)?")


@dataclass(frozen=True)
class Where:
    """Where a daemon is: its process, and the URL at which it is asked, empty before it listens."""

    pid: int
    url: str


def wrong(exposition: Exposition) -> list[str]:
    """The words for what is wrong."""
    return [word for word, family in FIGURES.items() if exposition.get(family.name) == 0]


def line(pid: int, words: Sequence[str] = (), url: str = "") -> str:
    """What stands in the file of the lock."""
    return f"pid {pid}" + (f"; at {url}" if url else "") + (f"{_WRONG}{', '.join(words)}" if words else "")


def where(said: str) -> Where | None:
    """Where the daemon is that said a line; None for any other line, as an empty one.

    Whoever may write in the base directory may have written it: nothing is asked but an address, by its number.
    """
    read = _LINE.fullmatch(said)
    if read is None or (read["url"] and not (address_of(read["host"].strip("[]")) and 0 < int(read["port"]) < 1 << 16)):
        return None
    return Where(int(read["pid"]), read["url"] or "")


def show(said: str, exposition: Exposition) -> None:
    """Let figures of another process show what the line says."""
    for word in said.partition(_WRONG)[2].split(", "):
        if word in FIGURES:
            exposition.set(FIGURES[word].name, 0)
