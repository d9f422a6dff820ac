"""The one way a file of this project comes to be: written beside its place, synced, then renamed onto it."""

from __future__ import annotations

import errno
import itertools
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

LEFTOVER = re.compile(r"\.(.+)\.[0-9a-f]{16}\.tmp", re.DOTALL)
"""What a file is called until it is whole; the group is the name that it will have."""
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def atomic_write(path: Path, content: bytes, *, mode: int = 0o640) -> None:
    """Make `path` hold `content` with permission bits `mode`, or leave it as it was and raise OSError.

    Whatever happens in between, a reader finds the old file or the new one. The steps and their order are
    those of LWN's "Ensuring data reaches disk" (https://lwn.net/Articles/457667/).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _write_aside(path, content, mode)
    try:
        temporary.replace(path)
    except BaseException:  # an interrupt, too, leaves nothing behind
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


@contextmanager
def atomic_stream(path: Path, *, mode: int = 0o640) -> Iterator[IO[bytes]]:
    """Make `path` hold what is written to the file that this yields, or leave it as it was.

    For contents too big for the memory; the steps are those of `atomic_write`. When the block raises, or a write, the
    syncing or the renaming fails, nothing is left behind and the error goes on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _aside(path)
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def atomic_create(directory: Path, name: Callable[[int], str], content: bytes, *, mode: int = 0o640) -> Path:
    """Write a new file that replaces none: under `name(0)`, or if that is taken `name(1)`, and so on."""
    directory.mkdir(parents=True, exist_ok=True)
    temporary = _write_aside(directory / name(0), content, mode)
    try:
        path = _place(temporary, (directory / name(attempt) for attempt in itertools.count()))
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(directory)
    return path


def _place(temporary: Path, candidates: Iterator[Path]) -> Path:
    for path in candidates:
        try:
            try:
                path.hardlink_to(temporary)
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                # vfat and some network file systems: take the name first, then put the file onto it.
                path.touch(exist_ok=False)
                temporary.replace(path)
        except FileExistsError:
            continue
        return path
    raise AssertionError("names never end")


def atomic_symlink(link: Path, target: str) -> None:
    """Make `link` point at `target`; until it does, it points where it did."""
    temporary = _aside(link)
    temporary.symlink_to(target)
    try:
        temporary.replace(link)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(link.parent)


def timestamped(stem: str, at: datetime, suffix: str) -> Callable[[int], str]:
    """Names for `atomic_create`: STEM_YYYYmmdd_HHMMSS.SUFFIX, then with _2, _3 … for the same second."""
    base = f"{stem}_{at:%Y%m%d_%H%M%S}"
    return lambda attempt: f"{base}{'' if attempt == 0 else f'_{attempt + 1}'}{suffix}"


class UnfitFile(ValueError):
    """A file that cannot be one of ours: a link, a pipe, a directory, too long. The message says which."""


def read_small(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file of ours; raise UnfitFile where it is something else or longer, OSError else.

    It follows no link and waits for no pipe that somebody may have put there.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            raise UnfitFile("it is a symbolic link") from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnfitFile("it is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(max_bytes + 1)
    finally:
        os.close(descriptor)
    if len(content) > max_bytes:
        raise UnfitFile(f"it is longer than {max_bytes} bytes")
    return content


def set_aside(path: Path, now: datetime) -> Path:
    """Keep a file that cannot be understood as NAME.corrupt-YYYYmmdd_HHMMSS, over no other, and return it."""
    attempt, stem = 1, f"{path.name}.corrupt-{now:%Y%m%d_%H%M%S}"
    while os.path.lexists(aside := path.with_name(stem if attempt == 1 else f"{stem}_{attempt}")):
        attempt += 1
    path.rename(aside)
    sync_directory(aside.parent)
    return aside


def remove_leftovers(directory: Path, older_than: datetime) -> list[Path]:
    """Remove what writes that were killed have left below `directory`; return the files removed."""
    removed = []
    for parent, _, names in os.walk(directory):
        for file in (Path(parent, name) for name in names if LEFTOVER.fullmatch(name)):
            status = file.lstat()
            if stat.S_ISDIR(status.st_mode) or status.st_mtime >= older_than.timestamp():
                continue
            file.unlink(missing_ok=True)
            removed.append(file)
    return removed


def sync_directory(directory: Path) -> None:
    """Make a rename or removal in `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def _write_aside(path: Path, content: bytes, mode: int) -> Path:
    temporary = _aside(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary
