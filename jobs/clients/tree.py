"""The modes, owners and keys in directory trees, told by a program of our own that goes through them (`mode_walk`)."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from jobs.clients import commands
from jobs.clients.errors import Absent, ClientError

_SOURCES = Path(__file__).parents[2]
_MAX_LINE_BYTES = 1 << 20


class Entry(NamedTuple):
    """A file, directory, link or device that deserves a second look.

    `mode` is st_mode with its type, `capabilities` the attribute of that name in hexadecimal digits, `key` says that a
    private key is in it, `has_user` and `has_group` that its owner and group are known to this machine.
    """

    path: str
    mode: int
    uid: int
    gid: int
    has_user: bool
    has_group: bool
    capabilities: str
    key: bool
    device: int


@dataclass
class Told:
    """What a program has told beside its records: how many things it looked at, and what it could not read."""

    looked_at: int = 0
    unread: list[tuple[str, str]] = field(default_factory=list)
    unread_more: int = 0


MAX_UNREAD = 1000
"""So many unreadable paths are kept; the others are counted."""
MAX_SHOWN = 1000
"""Letters of a path in a report."""


@dataclass(frozen=True)
class Trees:
    """Which trees are gone through: `roots`, without the directories in `skipped` and what matches `patterns`.

    File systems that are mounted below a root are left out.
    """

    roots: Sequence[str]
    skipped: Sequence[str] = ()
    patterns: Sequence[str] = ()


def entries(
    trees: Trees, strict: Sequence[str], guarded: Sequence[str], told: Told, *, timeout_seconds: float
) -> Iterator[Entry]:
    """Every entry that deserves a second look, as it is met; `told` is filled on the way.

    Below `strict` directories that is all that is open to others, below `guarded` ones all that others than its owner
    may write. Raise ClientError where the program failed or its time was over; what was given until then is right.
    """
    order = {"strict": [*strict], "guarded": [*guarded], **orders_of(trees)}
    for record in records("jobs.clients.mode_walk", order, told, timeout_seconds=timeout_seconds, bare=True):
        yield Entry(*record)


def orders_of(trees: Trees) -> dict[str, list[str]]:
    """The part of an order that every such program gets."""
    absolute = [translate(pattern) for pattern in trees.patterns if pattern.startswith("/")]
    ends = [translate(f"/{pattern}") for pattern in trees.patterns if not pattern.startswith("/")]
    return {"roots": [*trees.roots], "skipped": [*trees.skipped], "absolute": absolute, "ends": ends}


def translate(pattern: str) -> str:
    """A shell's pattern of paths as a regular expression: `*` and `?` stay within a name, `**` does not.

    One that does not begin with `/` holds at any depth.
    """
    pieces = re.split(r"(\*\*/?|\*|\?)", pattern if pattern.startswith("/") else f"**/{pattern}")
    meanings = {"**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
    return "".join(meanings.get(piece, re.escape(piece)) for piece in pieces)


def records(
    module: str, order: dict[str, Any], told: Told, *, timeout_seconds: float, bare: bool = False
) -> Iterator[list[Any]]:
    """Run a program of ours that goes through trees, and give its records without their first word.

    `bare` starts it without the installed packages, which it must not need then.
    """
    # -P: the working directory is somebody's, and what lies there must not be loaded.
    argv = [*_idle(), sys.executable, "-P", "-s", *(["-S"] if bare else []), "-m", module, json.dumps(order)]
    environment = {"PYTHONPATH": str(_SOURCES), "PYTHONDONTWRITEBYTECODE": "1"}
    with commands.Child(argv, timeout_seconds=timeout_seconds, environment=environment) as child:
        child.name = module  # and not ionice
        for line in _lines(child):
            kind, *rest = json.loads(line)
            if kind == "count":
                told.looked_at += rest[0]
            elif kind == "unread":
                _take_unread(told, *rest)
            else:
                yield rest
        child.wait()


def _idle() -> list[str]:
    """What starts a program so that it reads the disk only while nobody else does."""
    try:
        return [commands.find("ionice"), "-c", "3", "-t"]
    except Absent:
        return []


def _take_unread(told: Told, path: str, reason: str) -> None:
    if len(told.unread) < MAX_UNREAD:
        told.unread.append((path, reason))
    else:
        told.unread_more += 1


def _lines(child: commands.Child) -> Iterator[bytes]:
    rest = b""
    for chunk in child.chunks():
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        if len(rest) > _MAX_LINE_BYTES:
            raise ClientError(f"a line of {child.name} is longer than {_MAX_LINE_BYTES} bytes")


def mount_points() -> list[str]:
    """Every place at which something is mounted for this process (proc_pid_mountinfo(5))."""
    fields = (line.split(b" ")[4] for line in Path("/proc/self/mountinfo").read_bytes().splitlines())
    return [os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), field)) for field in fields]


def shown(path: str) -> str:
    """A path as people and reports get it: one line of printable UTF-8, and no two paths alike.

    Bytes that are not UTF-8 stand as `\\xe9`, unprintable letters as `\\u000a`, a backslash is doubled. Of a very long
    path the middle is left out, and its checksum stands there.
    """
    text = os.fsencode(path).replace(b"\\", b"\\\\").decode(errors="backslashreplace")
    text = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)
    if len(text) <= MAX_SHOWN:
        return text
    checksum = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return f"{text[: MAX_SHOWN // 2]}…{checksum}…{text[-MAX_SHOWN // 2 :]}"
