"""Locks between processes: a file that says who holds it, locked as long as somebody lives who does."""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path


class Busy(Exception):
    """Somebody else holds the lock; `holder` is what they wrote about themselves."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


class FileLock:
    """An flock(2) on a file. The lock goes with the last process that has `descriptor` open."""

    def __init__(self, file: Path, holder: str) -> None:
        """Take the lock and write `holder` into the file; raise Busy if it is taken, OSError if it cannot be."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self.descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _said(self.descriptor)
            os.close(self.descriptor)
            raise Busy(holder) from None
        self.say(holder)

    def say(self, holder: str) -> None:
        """Change what others are told."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, holder.encode(), 0)

    def release(self) -> None:
        """Give our hold up; a child that was handed the descriptor keeps its own."""
        os.close(self.descriptor)


def is_held(file: Path) -> bool:
    """Whether somebody holds the lock on a file. While we look, for microseconds, nobody else can take it."""
    return bool(holder_of(file))


def holder_of(file: Path) -> str:
    """What who holds the lock on a file wrote about himself; empty where nobody does. As for `is_held`."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _said(descriptor)
    finally:
        os.close(descriptor)
    return ""


def _said(descriptor: int) -> str:
    text = os.pread(descriptor, 200, 0).decode(errors="replace")
    return re.sub(r"[^ -~]", "", text) or "another process"


def run_lock(base_dir: Path, task: str, target: str) -> Path:
    """The file whose lock a run of a task holds; one that is narrowed to a target has its own."""
    return base_dir / "data" / "locks" / f"{f'{task}.{target}' if target else task}.lock"
