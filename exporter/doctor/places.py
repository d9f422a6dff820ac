"""Where the exporter keeps everything: base directory, file system, the store in it; and the clock it goes by."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from zoneinfo import ZoneInfo

from exporter import app
from exporter.doctor.diagnosis import Diagnosis, Patient, broken, good, missing, not_configured, unknown
from exporter.store.schema import open_to_examine
from exporter.users import name_of
from jobs.core.registry import all_jobs
from jobs.logs.syscalls import can_cut

MIN_FREE_BYTES = 2 << 30
"""What the installation guide asks for: logs, reports and backups grow."""
MIN_FREE_INODES = 10_000
_CUT_REMEDY = "keep logs on ext4 or XFS, or have their writers open them anew (docs/log-rotation.md)"


def base_directory(patient: Patient) -> Iterator[Diagnosis]:
    """It is there, ours to write, and has room left."""
    base = patient.base_dir
    if base.exists() and not base.is_dir():
        yield broken(f"{base} is no directory", "set base_dir (or SUTAZAI_BASE_DIR) to one")
        return
    if not base.is_dir():
        make = f"sudo install -d -o {name_of(os.geteuid())} {quote(str(base))}, or set base_dir to another directory"
        yield missing(f"{base} is not there", make)
        return
    status = base.stat()
    if _is_read_only(base):
        yield _read_only(base)
    elif not os.access(base, os.W_OK | os.X_OK):
        take = f"sudo chown -R {name_of(os.geteuid())} {quote(str(base))}, or run as {name_of(status.st_uid)}"
        yield broken(f"{base} belongs to {name_of(status.st_uid)}; {name_of(os.geteuid())} cannot write it", take)
    else:
        yield good(f"{base}, which belongs to {name_of(status.st_uid)}")
    yield from _strangers(base, status.st_uid)
    yield from _room(base)


def _is_read_only(directory: Path) -> bool:
    """Asked by a file without a name: a file system that has given up its disk need not say so of itself."""
    try:
        os.close(os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        return error.errno == errno.EROFS
    return False


def _read_only(path: Path) -> Diagnosis:
    """The kernel mounts a file system so when its disk fails: nobody's rights are the matter."""
    there = path.resolve()
    mounted = next(place for place in (there, *there.parents) if place.is_mount())
    remedy = f"see why (dmesg), then: sudo mount -o remount,rw {quote(str(mounted))}"
    return broken(f"{path} is on a file system that is read-only", remedy)


def _strangers(base: Path, owner: int) -> Iterator[Diagnosis]:
    """What was made by another user, root mostly, cannot be written by the one who serves."""
    kept = [base / name for name in ("data", "data/sutazai.db", "logs", "reports", "backups", "config")]
    others = [path for path in kept if path.exists() and path.stat().st_uid != owner]
    if others:
        named = ", ".join(str(path) for path in others)
        yield broken(
            f"they belong to another user than the base directory does: {named}",
            f"sudo chown -R {name_of(owner)} {quote(str(base))}",
            "owner",
        )


def _room(base: Path) -> Iterator[Diagnosis]:
    room = os.statvfs(base)
    free_bytes = room.f_bavail * room.f_frsize
    told = f"{free_bytes / 2**30:.1f} GiB and {room.f_favail} inodes free"
    if free_bytes < MIN_FREE_BYTES:
        yield broken(f"{told}; {MIN_FREE_BYTES >> 30} GiB are needed", f"make room: du -xh {quote(str(base))}", "room")
    elif room.f_files and room.f_favail < MIN_FREE_INODES:
        yield broken(f"{told}; {MIN_FREE_INODES} inodes are needed", f"find who made so many files in {base}", "room")
    else:
        yield good(told, "room")


def file_system(patient: Patient) -> Iterator[Diagnosis]:
    """Whether a log that is written to can be cut where it is (FALLOC_FL_COLLAPSE_RANGE)."""
    base = patient.base_dir
    if not base.is_dir():
        return
    try:
        # A file without a name: nothing in the directory changes, and it is gone when it is closed.
        descriptor = os.open(base, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        yield unknown(f"no file can be opened in {base} to try it: {error.strerror}", "see the check base-directory")
        return
    try:
        if can_cut(descriptor, os.fstatvfs(descriptor).f_bsize):
            yield good("a log that is written to can be cut where it is")
        else:
            yield missing("logs that a program has open cannot be cut where they are; they are left", _CUT_REMEDY)
    finally:
        os.close(descriptor)


def store(patient: Patient) -> Iterator[Diagnosis]:
    """The store is whole, of a format that is known here, and can be written."""
    file = app.store_file(patient.known)
    if not file.exists():
        yield not_configured(f"{file} is not there yet; the first run makes it")
        return
    remedy = f"move it aside: mv {quote(str(file))} {quote(str(file))}.broken (history and counters begin anew)"
    try:
        with contextlib.closing(open_to_examine(file)) as connection:
            problems = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.OperationalError as error:
        start = "run this as its owner; or start the daemon, which puts its log in order"
        yield unknown(f"{file} cannot be read without changing it: {error}", start)
        return
    except sqlite3.DatabaseError as error:
        yield broken(f"{file}: {error}", remedy)
        return
    if problems != ["ok"]:
        yield broken(f"{file} is damaged: {'; '.join(problems)}", remedy)
    elif _is_read_only(file.parent):
        yield _read_only(file)
    elif not os.access(file, os.W_OK):
        yield broken(f"{file} cannot be written", f"sudo chown {name_of(os.geteuid())} {quote(str(file))}")
    else:
        yield good(f"{file}: whole, format {version}, {file.stat().st_size / 2**20:.1f} MiB")


def clock(patient: Patient) -> Iterator[Diagnosis]:
    """The time zone is one, and the clock was not set since a task last acted."""
    now, name = patient.clients.clock.now(), patient.environment.get("TZ", "").removeprefix(":")
    try:
        zone = str(ZoneInfo(name)) if name else now.strftime("%Z")
    except (ValueError, KeyError, OSError):
        yield broken(f"TZ={name!r} is no time zone that is known here", "unset TZ, or apt-get install tzdata", "zone")
    else:
        yield good(f"{now:%Y-%m-%d %H:%M:%S %z} ({zone})", "zone")
    jumps = {task: patient.clients.clock_marks.jump(task, now) for task in all_jobs()}
    told = [f"{task}: {jump.total_seconds() / 3600:+.1f} h" for task, jump in jumps.items() if jump]
    if told:
        yield broken(
            f"it was set since these tasks last acted, so they delete and renew nothing: {', '.join(told)}",
            "see whether the date is right (timedatectl); their next run goes by it",
            "jump",
        )
