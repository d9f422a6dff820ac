"""Files of a tree that somebody else fills, found without following a link, within limits of depth and number."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from jobs.core.model import clean_text

NOT_OURS = (
    "backups",
    "data",
    "logs",
    "reports",
    "archive",
    ".git",
    "__pycache__",
    "node_modules",
    "site-packages",
    "venv",
    ".venv",
)
"""Directories of the base directory that hold what was not written for it: records, and the work of others."""


@dataclass(frozen=True)
class FoundFile:
    """A regular file; its name may be any bytes (surrogates stand for what is not UTF-8)."""

    path: Path
    bytes: int
    executable: bool


@dataclass
class Listing:
    """What a search has come to: regular files, symbolic links, and what could not be looked at and why."""

    files: list[FoundFile] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)
    missed: list[tuple[Path, str]] = field(default_factory=list)


def search(
    roots: Sequence[Path],
    wanted: Callable[[os.DirEntry[str]], bool],
    *,
    excluded: Sequence[str],
    max_depth: int,
    max_files: int,
    go_on: Callable[[], None] = lambda: None,
) -> Listing:
    """The wanted files below `roots` (each a directory or a file), in the order of their names.

    Names that match a pattern of `excluded` are neither entered nor taken; `go_on` is called for every directory and
    may raise. Directories deeper than `max_depth` are left out.
    """
    listing = Listing()
    for root in roots:
        for entry in _entries(root, wanted, excluded, max_depth, listing, go_on):
            if len(listing.files) + len(listing.links) >= max_files:
                listing.missed.append((root, f"more than {max_files} files; those after them were not looked at"))
                return listing
            _keep(entry, listing)
    return listing


def shown(path: Path | str) -> str:
    """A path for a message: on one line, whatever is in its name."""
    text = clean_text(os.fspath(path), 300)
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name is like one of these patterns (`*.py`)."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _keep(entry: os.DirEntry[str], listing: Listing) -> None:
    try:
        if entry.is_symlink():
            listing.links.append(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            status = entry.stat(follow_symlinks=False)
            listing.files.append(FoundFile(Path(entry.path), status.st_size, bool(status.st_mode & 0o111)))
    except OSError as error:
        listing.missed.append((Path(entry.path), f"{error.strerror}"))


def _entries(
    root: Path,
    wanted: Callable[[os.DirEntry[str]], bool],
    excluded: Sequence[str],
    max_depth: int,
    listing: Listing,
    go_on: Callable[[], None],
) -> Iterator[os.DirEntry[str]]:
    waiting: list[tuple[str, int]] = [(os.fspath(root), 0)]
    while waiting:
        directory, depth = waiting.pop()
        go_on()
        try:
            with os.scandir(directory) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except NotADirectoryError:
            entries = _itself(Path(directory))
        except OSError as error:
            listing.missed.append((Path(directory), f"{error.strerror}"))
            continue
        below: list[tuple[str, int]] = []
        for entry in entries:
            if matches(entry.name, excluded):
                continue
            if entry.is_dir(follow_symlinks=False):
                below.append((entry.path, depth + 1))
            elif wanted(entry):
                yield entry
        waiting += reversed([deeper for deeper in below if deeper[1] <= max_depth])


def _itself(path: Path) -> list[os.DirEntry[str]]:
    """The entry of a file that was named as a root."""
    with os.scandir(path.parent) as found:
        return [entry for entry in found if entry.name == path.name]
