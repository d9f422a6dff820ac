"""Directories and files, held by their descriptors: nobody who moves names about can lead us elsewhere.

A path is resolved once, then walked from the root without following a link. As root, a place where somebody else
could change names is refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from jobs.core.privileges import overrides_permissions
from jobs.logs.syscalls import rename_new

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Refused(Exception):
    """A place or file that is left alone; `reason` is one word for the metrics, the message one line for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Place:
    """An open directory: `path` names it to people, `descriptor` is what is worked on."""

    path: Path
    descriptor: int

    @property
    def by_descriptor(self) -> Path:
        """A path that leads to this very directory, whatever becomes of its name (proc_pid_fd(5))."""
        return Path(f"/proc/self/fd/{self.descriptor}")

    def names(self) -> list[str]:
        """The names in it."""
        return os.listdir(self.descriptor)  # noqa: PTH208 (a descriptor is no path)

    def status(self, name: str) -> os.stat_result:
        """What stands under a name, without following it."""
        return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)

    def open(self, name: str, flags: int) -> int:
        """A descriptor for a regular file with no other name; Refused for anything else."""
        descriptor = os.open(name, flags | _FILE, dir_fd=self.descriptor)
        try:
            _check_file(os.fstat(descriptor), self.path / name)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def holds(self, name: str, descriptor: int) -> bool:
        """Whether the name stands for the file that is open under this descriptor."""
        try:
            return identity(self.status(name)) == identity(os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def sync(self) -> None:
        """Make changes of names survive a power cut."""
        os.fsync(self.descriptor)


def identity(status: os.stat_result) -> tuple[int, int]:
    """What makes a file itself: device and inode."""
    return status.st_dev, status.st_ino


def open_place(path: Path, stack: ExitStack) -> Place:
    """Open a directory by walking to it; FileNotFoundError where it is missing, Refused where it is not safe."""
    shown, path = path, Path(os.path.realpath(path))
    descriptor = os.open("/", _DIRECTORY)
    try:
        for depth, name in enumerate(path.parts[1:], 2):
            inner = os.open(name, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
            _check_directory(os.fstat(descriptor), Path(*path.parts[:depth]), last=depth == len(path.parts))
    except NotADirectoryError:
        os.close(descriptor)
        raise Refused("not_a_directory", f"{shown}: not a directory, or a symbolic link on the way to it") from None
    except BaseException:
        os.close(descriptor)
        raise
    stack.callback(os.close, descriptor)
    return Place(path, descriptor)


def open_below(parent: Place, name: str, stack: ExitStack) -> Place:
    """Open a directory inside an open one."""
    try:
        descriptor = os.open(name, _DIRECTORY, dir_fd=parent.descriptor)
    except NotADirectoryError:
        raise Refused("not_a_directory", f"{parent.path / name}: a symbolic link, or not a directory") from None
    stack.callback(os.close, descriptor)
    _check_directory(os.fstat(descriptor), parent.path / name, last=True)
    return Place(parent.path / name, descriptor)


@contextlib.contextmanager
def idle(place: Place, name: str) -> Iterator[Idle]:
    """Hold a file that no process has open for writing, for as long as the context lasts; Refused where one has.

    It is the kernel that answers, by a read lease (fcntl(2), F_SETLEASE): it sees every process, in containers
    too, and whoever wants to write meanwhile waits until we let go or are told to.
    """
    descriptor = place.open(name, os.O_RDONLY)
    # The signal that tells of somebody waiting would end this process; we ask instead.
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        _lease(descriptor, place.path / name)
        yield Idle(descriptor)
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGIO, before)


@dataclass(frozen=True)
class Idle:
    """A file under our lease."""

    descriptor: int

    def undisturbed(self) -> bool:
        """Whether nobody is waiting to write to it."""
        return fcntl.fcntl(self.descriptor, fcntl.F_GETLEASE) == fcntl.F_RDLCK


def remove_idle(place: Place, name: str, aside: str, held: Idle, before: os.stat_result) -> None:
    """Remove a file that nobody has touched since `before`; what is in doubt stays, under its name.

    It is put aside first: from then on a writer makes a file of its own. One that came just before waits for our
    lease, which then says so.
    """
    if name != aside:
        rename_new(place.descriptor, name, aside)
    after = os.fstat(held.descriptor)
    same = (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    if not (same and place.holds(aside, held.descriptor) and held.undisturbed()):
        if name != aside:
            rename_new(place.descriptor, aside, name)
        raise Refused("changed", f"{place.path / name}: it was written to or replaced while it was archived")
    try:
        os.unlink(aside, dir_fd=place.descriptor)
    except OSError:
        if name != aside:
            rename_new(place.descriptor, aside, name)
        raise


def _lease(descriptor: int, path: Path) -> None:
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        raise Refused("in_use", f"{path}: a process has it open for writing") from None
    except OSError as error:
        message = f"{path}: it cannot be told whether a process writes to it: {error.strerror}"
        raise Refused("use_unknown", message) from None


def _check_file(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Refused("not_a_file", f"{path}: not a regular file")
    if status.st_nlink != 1:
        raise Refused("hard_link", f"{path}: it has {status.st_nlink} names (hard links), of which only one is known")


def _check_directory(status: os.stat_result, path: Path, *, last: bool) -> None:
    """With root's rights to files: only the owner may change names here. On the way a sticky one will do (/tmp)."""
    if not overrides_permissions() or not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return
    if last or not status.st_mode & stat.S_ISVTX:
        raise Refused("unsafe_directory", f"{path}: others than its owner can change names in it")
