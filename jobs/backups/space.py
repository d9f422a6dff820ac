"""Room on a file system: how much there is, and why a write failed that needed more."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from jobs.backups.failure import BackupFailed


@dataclass(frozen=True)
class Room:
    """What is free for this user, and how large the file system is. `inodes` is None where there are no such limits."""

    free_bytes: int
    total_bytes: int
    inodes: int | None


def room_at(directory: Path) -> Room:
    """The room where `directory` is or would be made; raise OSError."""
    there = next(path for path in (directory, *directory.parents) if path.exists())
    found = os.statvfs(there)
    return Room(
        free_bytes=found.f_bavail * found.f_frsize,
        total_bytes=found.f_blocks * found.f_frsize,
        inodes=found.f_favail if found.f_files else None,
    )


def explained(error: OSError, directory: Path) -> BackupFailed:
    """Why a backup could not be written below `directory`; bytes and inodes run out with the same error."""
    if error.errno == errno.ENOSPC:
        return _full(directory)
    if error.errno == errno.EDQUOT:
        return BackupFailed(f"the disk quota of this user on {directory} is used up", "raise it, or remove files")
    if error.errno == errno.EFBIG:
        return BackupFailed(
            "the file would be larger than this process may write (RLIMIT_FSIZE), or than the file system can hold",
            "raise LimitFSIZE or `ulimit -f` of the exporter",
        )
    where = error.filename or directory
    return BackupFailed(f"{where}: {error.strerror or error}", "look at the disk and at the permissions")


def _full(directory: Path) -> BackupFailed:
    try:
        room = room_at(directory)
    except OSError:
        return BackupFailed(f"the file system of {directory} is full", "make room on it")
    if room.inodes == 0:
        return BackupFailed(
            f"the file system of {directory} is out of inodes ({room.free_bytes >> 20} MiB are free)",
            "remove small files from it, or make it anew with more inodes",
        )
    return BackupFailed(f"the file system of {directory} is full", "make room on it, or shorten backup_retention_days")
