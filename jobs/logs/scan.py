"""Which logs there are: regular files in the configured directories whose names match."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from jobs.logs.places import Place, Refused, identity, open_below, open_place
from jobs.logs.words import REMEDIES

MAX_ENTRIES = 200_000
MAX_DEPTH = 16
OWN_RUN_LOGS = ("daily_health_check", "backup_verification", "security_scan")
"""Logs of the exporter's own runs, which are removed with their reports."""

_MOVED = re.compile(r"(.+)\.rotated_\d{8}_\d{6}(?:_\d{1,9})?", re.DOTALL)
_OWN = re.compile(
    rf"latest_.*|\..*|(?:{'|'.join(OWN_RUN_LOGS)})_\d{{8}}_\d{{6}}(?:_\d+)?\.log|.*_report_\d{{8}}_\d{{6}}.*"
    r"|.*\.(?:json|ya?ml|html|prom|db|db-wal|db-shm|pem|key|lock|gz|zip|zst|xz|bz2|sha256|tmp|corrupt-.*)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Reopen:
    """How a writer is made to open its log anew: a signal to it, or a command."""

    signal: str = ""
    command: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.signal or self.command)


@dataclass(frozen=True)
class Source:
    """Where to look: names in `directory` that match one of `patterns`. `label` names it in metrics."""

    directory: Path
    patterns: tuple[str, ...]
    label: str
    recursive: bool = False
    reopen: Reopen = Reopen()
    required: bool = True


@dataclass(frozen=True)
class Log:
    """A log as it was found. `moved_from` is its name before an earlier run moved it aside.

    `stem` is the first part of its archives' names, where it is not made of its own name.
    """

    place: Place
    name: str
    status: os.stat_result
    source: Source
    moved_from: str = ""
    stem: str = ""
    whole_lines_only: bool = False

    @property
    def path(self) -> Path:
        """Where it is, for people."""
        return self.place.path / self.name

    @property
    def key(self) -> tuple[int, int]:
        """Device and inode."""
        return identity(self.status)

    @property
    def size(self) -> int:
        """Its bytes when it was found."""
        return self.status.st_size


@dataclass(frozen=True)
class Skip:
    """What is left alone that should not be: `reason` is one of a few words."""

    subject: Path
    reason: str
    message: str
    remedy: str = ""


@dataclass
class Found:
    """All logs, each once, and the places that could not be looked at."""

    logs: list[Log] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)
    unseen_labels: set[str] = field(default_factory=set)
    entries: int = 0


def scan(sources: Sequence[Source], avoid: Collection[tuple[int, int]], stack: ExitStack) -> Found:
    """Look into every source. Directories in `avoid` (device, inode) are passed over, as are links."""
    found = Found()
    for source in sources:
        try:
            _scan_place(found, open_place(source.directory, stack), source, avoid, stack, 0)
        except FileNotFoundError:
            if source.required:
                _unseen(found, source, source.directory, Refused("missing", f"{source.directory}: no such directory"))
        except (OSError, Refused) as error:
            _unseen(found, source, source.directory, error)
    return found


def protected(name: str) -> bool:
    """Whether a name is one of the exporter's own files, or of a kind that is never a log."""
    return _OWN.fullmatch(name) is not None


def moved_from(name: str) -> str:
    """The name that a log bore before it was moved aside; empty for one that was not."""
    match = _MOVED.fullmatch(name)
    return match[1] if match else ""


def _scan_place(
    found: Found, place: Place, source: Source, avoid: Collection[tuple[int, int]], stack: ExitStack, depth: int
) -> None:
    here = identity(os.fstat(place.descriptor))
    if here in avoid:
        return
    for name in sorted(place.names()):
        found.entries += 1
        if found.entries > MAX_ENTRIES:
            raise Refused("too_many", f"{place.path}: more than {MAX_ENTRIES} files below the log directories")
        with contextlib.suppress(FileNotFoundError):  # gone since the directory was read
            status = place.status(name)
            if stat.S_ISDIR(status.st_mode) and source.recursive:
                _scan_below(found, place, name, source, avoid, stack, depth + 1)
            elif stat.S_ISREG(status.st_mode):
                found.logs += _matching(found, place, name, status, source)


def _scan_below(
    found: Found,
    parent: Place,
    name: str,
    source: Source,
    avoid: Collection[tuple[int, int]],
    stack: ExitStack,
    depth: int,
) -> None:
    if depth > MAX_DEPTH or name.startswith("."):
        return
    try:
        _scan_place(found, open_below(parent, name, stack), source, avoid, stack, depth)
    except FileNotFoundError:
        return
    except (OSError, Refused) as error:
        _unseen(found, source, parent.path / name, error)


def _matching(found: Found, place: Place, name: str, status: os.stat_result, source: Source) -> Iterator[Log]:
    original = moved_from(name)
    wanted = original or name
    if protected(wanted) or not any(fnmatchcase(wanted, pattern) for pattern in source.patterns):
        return
    if identity(status) not in found.seen:
        found.seen.add(identity(status))
        yield Log(place, name, status, source, original)


def _unseen(found: Found, source: Source, path: Path, error: OSError | Refused) -> None:
    found.unseen_labels.add(source.label)
    found.skips.append(skip(path, error))


def skip(path: Path, error: OSError | Refused) -> Skip:
    """Why something is left alone, in words for people."""
    reason = error.reason if isinstance(error, Refused) else reason_of(error)
    message = str(error) if isinstance(error, Refused) else _in_words(path, error)
    if str(path) not in message:
        message = f"{path}: {message}"
    return Skip(path, reason, message, REMEDIES.get(reason, ""))


def _in_words(path: Path, error: OSError) -> str:
    elsewhere = error.filename and str(error.filename) not in str(path)
    return f"{path}: {error.filename}: {error.strerror}" if elsewhere else f"{path}: {error.strerror or error}"


def reason_of(error: OSError) -> str:
    """One word for an error of the system."""
    if error.errno == errno.ENOSPC:
        return "no_inodes" if "inodes" in (error.strerror or "") else "no_space"
    words = {
        errno.EACCES: "no_permission",
        errno.EPERM: "no_permission",
        errno.EROFS: "read_only",
        errno.EIO: "io_error",
        errno.EFBIG: "file_size_limit",
        errno.EDQUOT: "no_space",
        errno.ELOOP: "not_a_file",
        errno.ENOENT: "changed",
    }
    return words.get(error.errno or 0, "error")
