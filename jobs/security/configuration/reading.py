"""Finding and reading configuration files: below the base directory, and at the usual places of the host."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from jobs.clients.file_search import Listing, matches, search, shown
from jobs.core.files import UnfitFile, read_small
from jobs.security.configuration.rules import ConfigFile
from jobs.security.scanner import Look

MAX_BYTES = 1 << 20
_MAX_INCLUDED = 100


class Reader:
    """Reads files below `roots` and nothing outside of them, however a link or another file leads there.

    `names_from` is what the report leaves out of a path; where `host` is set, paths within files begin at that root.
    """

    def __init__(self, look: Look, roots: Sequence[Path], names_from: Path, *, host: Path = Path("/")) -> None:
        self._look, self._names_from, self._host = look, names_from, host
        self._roots = [root.resolve() for root in roots]

    def name(self, path: Path) -> str:
        """What the report calls a file."""
        if not path.is_relative_to(self._names_from):
            return shown(path)
        inner = path.relative_to(self._names_from)
        return shown(inner if self._names_from != self._host else Path("/") / inner)

    def read(self, path: Path) -> ConfigFile | None:
        """A file with its text; None where it cannot be read, which is told."""
        name = self.name(path)
        try:
            real = path.resolve()
            if not any(real.is_relative_to(root) for root in self._roots):
                raise UnfitFile("it lies outside of what is searched")
            text, mode = read_small(real, MAX_BYTES).decode(errors="replace"), real.stat().st_mode
        except FileNotFoundError:
            reason = "it is not there"
        except (OSError, RuntimeError) as error:  # RuntimeError: links that go round
            reason = getattr(error, "strerror", None) or "its links go round"
        except UnfitFile as error:
            reason = str(error)
        else:
            return ConfigFile(path, name, text.removeprefix("\ufeff"), mode)
        self._look.missed(f"{name}: {reason}", str(path))
        return None

    def read_if_there(self, path: Path) -> ConfigFile | None:
        """As `read`, but a file that is not there is nothing to tell of."""
        return self.read(path) if os.path.lexists(path) else None

    def included(self, file: ConfigFile, pattern: str) -> list[ConfigFile]:
        """The files that a pattern within a file stands for, in the order of their names.

        Only the last part may be a pattern: one of directories could have the whole disk searched.
        """
        try:
            place = Path(pattern)
            if any(sign in os.fspath(place.parent) for sign in "*?[") or "**" in place.name:
                raise ValueError
            directory = self._host if place.is_absolute() else file.path.parent
            found = sorted(directory.glob(str(place).lstrip("/")))
        except (ValueError, NotImplementedError, OSError):
            self._look.missed(
                f"{file.name}: it includes by what is no path, or a pattern of directories", str(file.path)
            )
            return []
        if not found and not any(sign in pattern for sign in "*?["):
            self._look.missed(f"{file.name}: what it includes is not there: {shown(pattern)}", str(file.path))
        return [read for path in found[:_MAX_INCLUDED] if (read := self.read(path)) is not None]


def find(look: Look, roots: Sequence[Path], names: Sequence[str], max_depth: int) -> Iterator[Path]:
    """The files below `roots` with such names, and links to them; what could not be searched is told."""
    settings = look.settings.configuration

    def wanted(entry: os.DirEntry[str]) -> bool:
        return matches(entry.name, names)

    listing: Listing = search(
        [root for root in roots if os.path.lexists(root)],
        wanted,
        excluded=settings.excluded,
        max_depth=max_depth,
        max_files=settings.max_files,
        go_on=look.go_on,
    )
    for path, reason in listing.missed:
        look.missed(f"{shown(path)}: {reason}", str(path))
    yield from sorted([*(file.path for file in listing.files), *listing.links])
