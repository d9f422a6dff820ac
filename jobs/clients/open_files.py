"""Which processes have which files open, from /proc (proc_pid_fd(5), proc_pid_fdinfo(5))."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

# Memory under a file's name, not room on a disk.
_IN_MEMORY = ("/memfd:", "/dev/shm/", "/dev/zero", "/SYSV", "/i915", "/[aio]")  # noqa: S108 (only compared with)
_DELETED = " (deleted)"
_FLAGS = re.compile(rb"^flags:\s*([0-7]+)$", re.MULTILINE)
_INODE = re.compile(rb"^ino:\s*(\d+)$", re.MULTILINE)
_UNIT_BYTES = 512

FileId = tuple[int, int]
"""Device and inode."""


@dataclass(frozen=True)
class Opener:
    """A process that has a file open for writing; `appends` says that it always writes at the end."""

    pid: int
    process: str
    appends: bool


@dataclass(frozen=True)
class DeletedFile:
    """A file that has no name any more and still takes room, and one process that has it open."""

    path: str
    bytes: int
    pid: int
    process: str


@dataclass
class OpenFiles:
    """What was seen; `unseen` counts the processes that this user may not look at."""

    writers: dict[FileId, list[Opener]] = field(default_factory=dict)
    deleted: dict[FileId, DeletedFile] = field(default_factory=dict)
    unseen: int = 0


def look(wanted: Collection[FileId] = ()) -> OpenFiles:
    """Who writes to the wanted files, and every deleted file that is held open.

    A file is touched only where its inode is a wanted one or its name is gone, so that a dead file server
    keeps nobody waiting.
    """
    found = OpenFiles()
    inodes = {inode for _, inode in wanted}
    for pid in _pids():
        try:
            with os.scandir(f"/proc/{pid}/fd") as descriptors:
                for entry in descriptors:
                    _look_at(found, pid, entry.name, wanted, inodes)
        except PermissionError:
            found.unseen += 1
        except OSError:  # it has ended meanwhile
            continue
    return found


def _pids() -> Iterator[int]:
    with os.scandir("/proc") as entries:
        yield from (int(entry.name) for entry in entries if entry.name.isdigit())


def _look_at(found: OpenFiles, pid: int, number: str, wanted: Collection[FileId], inodes: Collection[int]) -> None:
    link = f"/proc/{pid}/fd/{number}"
    with contextlib.suppress(OSError):  # closed, or the process has ended meanwhile
        path = os.readlink(link)  # noqa: PTH115 (a Path keeps every name for ever)
        if not path.startswith("/"):
            return
        if path.endswith(_DELETED) and not path.startswith(_IN_MEMORY):
            _take_deleted(found, pid, path.removesuffix(_DELETED), _status(link))
        if inodes:
            flags, inode = _details(pid, number)
            if flags & os.O_ACCMODE != os.O_RDONLY and (inode is None or inode in inodes):
                status = _status(link)
                key = (status.st_dev, status.st_ino)
                if key in wanted:
                    found.writers.setdefault(key, []).append(Opener(pid, _name(pid), bool(flags & os.O_APPEND)))


def _take_deleted(found: OpenFiles, pid: int, path: str, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 0 and status.st_blocks:
        key = (status.st_dev, status.st_ino)
        if key not in found.deleted:
            found.deleted[key] = DeletedFile(path, status.st_blocks * _UNIT_BYTES, pid, _name(pid))


def _status(link: str) -> os.stat_result:
    return os.stat(link)  # noqa: PTH116


def _details(pid: int, number: str) -> tuple[int, int | None]:
    """The flags that it was opened with, and its inode (since Linux 5.14)."""
    # A machine has thousands of these, and a file object asks the kernel three times as much as the text takes.
    descriptor = os.open(f"/proc/{pid}/fdinfo/{number}", os.O_RDONLY)
    try:
        text = os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
    flags, inode = _FLAGS.search(text), _INODE.search(text)
    return int(flags[1], 8) if flags else os.O_RDWR, int(inode[1]) if inode else None


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:  # noqa: PTH123
            return file.read().strip()
    except OSError:
        return "?"


def writers_that_do_not_append(writers: Mapping[FileId, list[Opener]], key: FileId) -> list[Opener]:
    """Those that write where they left off: when the file gets shorter they leave a hole before their next line."""
    return [opener for opener in writers.get(key, []) if not opener.appends]
