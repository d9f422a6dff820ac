"""Files that a command writes for another program: brought up to date, each told of in a line."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click

from exporter.failure import EXIT_UNAVAILABLE, Failure, remedy_for
from jobs.core.files import atomic_stream, atomic_write

Owner = tuple[int, int]
"""The ids of a user and a group."""
_READABLE, _PRIVATE = 0o644, 0o600
"""The other program runs as a user of its own."""


@dataclass(frozen=True)
class Output:
    """A file as it should be; with an owner only that one can read it, and everybody without."""

    path: Path
    content: bytes
    owner: Owner | None = None


def bring_up_to_date(files: Iterable[Output], *, dry_run: bool) -> None:
    """Write, one after another, those that are not as they should be, then say what became of each; raise Failure.

    A reader that leaves early must not leave half of them, so nothing is said before all are there.
    """
    states = {file.path: _brought_up_to_date(file, dry_run) for file in files}
    for path, state in states.items():
        click.echo(f"{state}: {path}")


def _brought_up_to_date(file: Output, dry_run: bool) -> str:
    with writing(file.path):
        state = _state(file)
        if state == "unchanged":
            return state
        if dry_run:
            return f"would be {state}"
        _write(file)
    return state


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell an OSError of what writes a file as a Failure: which file, why, and what to do."""
    try:
        yield
    except OSError as error:
        reason = f"{error.filename or path}: cannot be written: {error.strerror}"
        remedy = remedy_for(error, "choose another --output, or mend that")
        raise Failure(f"{reason}; {remedy}", EXIT_UNAVAILABLE) from None


def _state(file: Output) -> str:
    """What has to become of a file: `made`, `changed` or nothing (`unchanged`); raise OSError."""
    try:
        found = file.path.lstat()
    except FileNotFoundError:
        return "made"
    whose = (found.st_uid, found.st_gid)
    wanted = (stat.S_IFREG | (_PRIVATE if file.owner else _READABLE), file.owner or whose, len(file.content))
    same = wanted == (found.st_mode, whose, found.st_size) and file.path.read_bytes() == file.content
    return "unchanged" if same else "changed"


def _write(file: Output) -> None:
    """Write a file, which is its owner's before there is anything in it."""
    with _passable(file.path.parent):
        if file.owner is None:
            atomic_write(file.path, file.content, mode=_READABLE)
            return
        with atomic_stream(file.path, mode=_PRIVATE) as stream:
            try:
                os.fchown(stream.fileno(), *file.owner)
            except PermissionError:
                raise Failure(
                    f"{file.path}: only root can give it to another user: run this as root", EXIT_UNAVAILABLE
                ) from None
            stream.write(file.content)


@contextmanager
def _passable(directory: Path) -> Iterator[None]:
    """Make a directory, where there is none, that others can enter, whatever the caller's umask.

    Where what it is made for fails, it goes again, and so do those above it that were made for it.
    """
    if directory.is_dir():
        yield
        return
    with _passable(directory.parent):
        directory.mkdir()
        try:
            directory.chmod(0o755)
            yield
        except BaseException:
            with suppress(OSError):  # there is something in it by now, as files written before
                directory.rmdir()
            raise
