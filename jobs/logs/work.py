"""Carries out what was planned for a log: its bytes are in an archive, proven and synced, before they leave it."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from jobs.clients import commands
from jobs.clients.errors import ClientError
from jobs.clients.open_files import FileId, Opener
from jobs.core.files import timestamped
from jobs.logs.archives import Archives, Written, safe_stem, stem_of
from jobs.logs.cut import Cut, blanks
from jobs.logs.memory import Memory, Pending
from jobs.logs.places import Refused, identity, idle, remove_idle
from jobs.logs.plan import Step, cut_of
from jobs.logs.scan import Log
from jobs.logs.syscalls import cut_head, first_block, rename_new
from jobs.logs.words import How

REOPEN_WAIT_SECONDS = 10.0
_COMMAND_SECONDS = 60.0


@dataclass(frozen=True)
class Rotated:
    """Bytes of a log that are now in an archive and no longer in the log."""

    log: Log
    how: How
    written: Written
    whole_lines: bool = True


class Work:
    """Does steps. Each part that is done is handed to `done` at once, so that it counts whatever comes after it."""

    def __init__(
        self,
        archives: Archives,
        memory: Memory,
        own_directory: Path,
        now: Callable[[], datetime],
        is_late: Callable[[], bool],
        progress: Callable[[Log, int], None],
        done: Callable[[Rotated], None],
    ) -> None:
        self._archives, self._memory, self._own_directory = archives, memory, own_directory
        self._now, self._is_late, self._progress, self._done = now, is_late, progress, done

    def do(self, step: Step, writers: Mapping[FileId, list[Opener]], keep_above: int) -> None:
        """Do one step; raise OSError, Refused or Changed where it, or the rest of it, cannot be done.

        A live log that is not above `keep_above` any more is cut no further.
        """
        if step.how is How.CUT:
            self._cut(step, keep_above)
        elif step.how is How.MOVE:
            self._move(step.log, writers.get(step.log.key, []))
        elif step.log.moved_from:
            self._retire_moved(step.log, writers.get(step.log.key, []))
        else:
            self._retire(step.log, step.log.name, archived=True)

    def _cut(self, step: Step, keep_above: int) -> None:
        log, left = step.log, step.size
        descriptor = log.place.open(log.name, os.O_RDWR)
        try:
            _check_same(log, descriptor)
            while left > 0:
                cut = cut_of(log, descriptor, left)
                if cut is None:
                    return
                written = self._cut_once(log, descriptor, cut)
                self._done(Rotated(log, How.CUT, written, cut.whole_lines))
                left -= cut.size
                if os.fstat(descriptor).st_size <= keep_above:
                    return
                if self._is_late():
                    raise Refused("out_of_time", f"{log.path}: the rest of it is left to the next run")
        finally:
            os.close(descriptor)

    def _cut_once(self, log: Log, descriptor: int, cut: Cut) -> Written:
        filler = blanks(cut.blank, json=log.whole_lines_only)
        pending = Pending(
            kind="cut",
            directory=str(log.place.path),
            names=(log.name,),
            inode=log.key[1],
            size=cut.archived,
            archive="",
            first_block=first_block(descriptor),
            filler=filler.decode(),
        )

        def remember(name: str) -> None:
            self._memory.remember(replace(pending, archive=name))

        written = self._write(log, descriptor, cut.archived, remember, archived=False)
        try:
            cut_head(descriptor, cut.size)
        except OSError as error:
            self._archives.withdraw(written.name)
            raise Refused("cannot_cut", f"{log.path}: {error.strerror}; its archive was taken back") from error
        os.pwrite(descriptor, filler, 0)
        os.fsync(descriptor)
        self._memory.settle()
        return written

    def _retire(self, log: Log, name: str, *, archived: bool) -> None:
        with idle(log.place, name) as held:
            _check_same(log, held.descriptor)
            before = os.fstat(held.descriptor)
            aside = name if name != log.name or log.moved_from else self._aside(log)

            def remember(archive: str) -> None:
                names = tuple(dict.fromkeys((name, aside)))
                directory = str(log.place.path)
                self._memory.remember(Pending("remove", directory, names, before.st_ino, before.st_size, archive))

            def progress(done: int) -> None:
                # Whoever wants to write to it waits for us.
                if not held.undisturbed():
                    raise Refused("in_use", f"{log.place.path / name}: a process wants to write to it again")
                self._progress(log, done)

            written = self._write(log, held.descriptor, before.st_size, remember, archived=archived, progress=progress)
            try:
                remove_idle(log.place, name, aside, held, before)
            except (OSError, Refused):
                self._archives.withdraw(written.name)
                self._memory.settle()
                raise
            log.place.sync()
            self._memory.settle()
        self._done(Rotated(log, How.MOVE if name != log.name else How.RETIRE, written))

    def _move(self, log: Log, writers: list[Opener]) -> None:
        aside = self._aside(log)
        descriptor = log.place.open(log.name, os.O_RDONLY)
        try:
            _check_same(log, descriptor)
            rename_new(log.place.descriptor, log.name, aside)
            if not log.place.holds(aside, descriptor):
                rename_new(log.place.descriptor, aside, log.name)
                raise Refused("changed", f"{log.path}: another file took its place")
        finally:
            os.close(descriptor)
        _make_empty(log)
        log.place.sync()
        self._have_reopened(log, writers)
        self._await_idle(log, aside)
        self._retire(log, aside, archived=False)

    def _retire_moved(self, log: Log, writers: list[Opener]) -> None:
        """What an earlier run has put aside; perhaps it was ended before it had told the writers."""
        if writers and log.source.reopen:
            self._have_reopened(log, writers)
            self._await_idle(log, log.name)
        self._retire(log, log.name, archived=False)

    def _have_reopened(self, log: Log, writers: list[Opener]) -> None:
        how = log.source.reopen
        if how.signal:
            for opener in writers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(opener.pid, signal.Signals[f"SIG{how.signal}"])
        if how.command:
            try:
                commands.run(how.command, timeout_seconds=_COMMAND_SECONDS)
            except ClientError as error:
                raise Refused("reopen_failed", f"{log.path}: moved aside, but {error}") from error

    def _await_idle(self, log: Log, aside: str) -> None:
        deadline = time.monotonic() + REOPEN_WAIT_SECONDS
        while True:
            try:
                with idle(log.place, aside):
                    return
            except Refused as error:
                if error.reason != "in_use" or time.monotonic() > deadline:
                    message = f"{log.place.path / aside}: still written to; it is archived once that is over"
                    raise Refused("not_reopened", message) from None
            time.sleep(0.05)

    def _write(
        self,
        log: Log,
        descriptor: int,
        size: int,
        remember: Callable[[str], None],
        *,
        archived: bool,
        progress: Callable[[int], None] | None = None,
    ) -> Written:
        own_stem = stem_of(log.place.path, log.moved_from or log.name, self._own_directory)
        stem = safe_stem(log.stem) if log.stem else own_stem
        return self._archives.write(
            f"{stem}_archived" if archived else stem,
            self._now(),
            descriptor,
            size,
            before_publishing=remember,
            progress=progress or (lambda done: self._progress(log, done)),
        )

    def _aside(self, log: Log) -> str:
        return timestamped(f"{log.name}.rotated", self._now(), "")(0)


def _make_empty(log: Log) -> None:
    """A new log under the old name, with the owner and mode of the old one; the writer may have made it already."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(log.name, flags, 0o600, dir_fd=log.place.descriptor)
    except FileExistsError:
        return
    try:
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, log.status.st_uid, log.status.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(log.status.st_mode) & 0o777)
    finally:
        os.close(descriptor)


def _check_same(log: Log, descriptor: int) -> None:
    if identity(os.fstat(descriptor)) != log.key:
        raise Refused("changed", f"{log.path}: another file took its place")
