"""Which programs root runs by itself: those that cron's tables and systemd's units name, and who may change them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.core.files import UnfitFile, read_small

MAX_TABLE_BYTES = 1 << 20
_SCRIPT = (".sh", ".py", ".pl", ".rb", ".js", ".php")
_PROGRAM = re.compile(r"(?<![\w./$}=-])/(?:[\w.+@:-]+/)*[\w.+@:-]+")
_TIMES = re.compile(r"\s*(?:@\w+|(?:[\d*/,a-zA-Z-]+\s+){4}[\d*/,a-zA-Z-]+)\s+(\S.*)", re.ASCII)
_EXEC = re.compile(r"^Exec(?:Start|Stop|Reload|Condition)(?:Pre|Post)?\s*=\s*[-@:+!|]*(.+)$", re.MULTILINE)
_USER = re.compile(r"^(?:User\s*=\s*(?!root\s*$|0\s*$)\S|DynamicUser\s*=\s*(?:yes|true|1|on)\b)", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """A program, or a directory on the way to it, with who may change it."""

    path: str
    mode: int
    uid: int
    gid: int


@dataclass(frozen=True)
class Program:
    """A program that root runs: the table or unit that names it, and the steps of its path from itself to `/`."""

    path: str
    named_in: str
    steps: tuple[Step, ...]


def programs(places: Sequence[Path]) -> tuple[list[Program], list[str]]:
    """The programs named in these files and directories, and what of them could not be read.

    What is not there is passed over; a unit with another user than root is none of root's.
    """
    found: dict[str, str] = {}
    unread: list[str] = []
    for file in _files(places, unread):
        try:
            text = read_small(file, MAX_TABLE_BYTES).decode(errors="surrogateescape")
        except (FileNotFoundError, UnfitFile):  # removed meanwhile; links lead to units that are read themselves
            continue
        except OSError as error:
            unread.append(f"{file}: {error.strerror}")
            continue
        for path in named_programs(file, text):
            found.setdefault(path, str(file))
    named = ((path, table, _steps(path)) for path, table in sorted(found.items()))
    return [Program(path, table, steps) for path, table, steps in named if steps], unread


def named_programs(file: Path, text: str) -> Iterator[str]:
    """The absolute paths of what root runs according to a unit of systemd's or a table of cron's."""
    if file.suffix in (".service", ".conf"):
        commands = [] if _USER.search(text) else _EXEC.findall(text)
    else:
        commands = list(_cron_commands(file, text))
    for command in commands:
        yield from _PROGRAM.findall(command)


def _cron_commands(file: Path, text: str) -> Iterator[str]:
    """The commands of a table (crontab(5)): root's own names no user, any other does after the times."""
    own = file.parent.name in ("crontabs", "cron") and file.name == "root"
    for line in text.splitlines():
        match = None if line.lstrip().startswith("#") else _TIMES.fullmatch(line)
        if match is None:
            continue
        user, _, command = match[1].partition(" ")
        if own:
            yield match[1]
        elif user == "root":
            yield command


def _files(places: Sequence[Path], unread: list[str]) -> Iterator[Path]:
    for place in places:
        try:
            status = place.stat()
            if stat.S_ISREG(status.st_mode):
                yield place
            elif stat.S_ISDIR(status.st_mode):
                yield from sorted(file for file in place.iterdir() if file.is_file())
                yield from sorted(place.glob("*.service.d/*.conf"))
        except FileNotFoundError:
            continue
        except OSError as error:
            unread.append(f"{place}: {error.strerror}")


def _steps(path: str) -> tuple[Step, ...]:
    """The steps of what the path leads to; none where it is no program, or none that we may see."""
    try:
        real = Path(os.path.realpath(path, strict=True))
        status = real.stat()
        if not stat.S_ISREG(status.st_mode) or not (status.st_mode & 0o111 or real.suffix in _SCRIPT):
            return ()
        each = [(step, step.stat()) for step in (real, *real.parents)]
    except (OSError, ValueError):
        return ()
    return tuple(Step(str(step), at.st_mode, at.st_uid, at.st_gid) for step, at in each)
