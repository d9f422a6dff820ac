"""The backups below `backups/` of the base directory, each with its manifest and the proof that it is good.

backups/database/sutazai_backup_TIME.dump                  a backup, mode 0600
backups/database/sutazai_backup_TIME.dump.manifest.json    what it must be
backups/database/sutazai_backup_TIME.dump.verified.json    that it was proven to be so
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from jobs.core.backups import (
    MANIFEST_SUFFIX,
    MAX_MANIFEST_BYTES,
    VERIFIED_SUFFIX,
    Backup,
    Format,
    Kind,
    Manifest,
    Verified,
)
from jobs.core.files import LEFTOVER, UnfitFile, atomic_write, read_small, sync_directory, timestamped
from jobs.core.model import Value

SECRET_MODE = 0o600

_T = TypeVar("_T", bound=Value)


class Unreadable(Exception):
    """A file beside a backup that does not say what it should; the message says why."""


class BackupFiles:
    """The backups of a base directory. Methods raise OSError where the file system refuses."""

    def __init__(self, base_dir: Path) -> None:
        self.directory = base_dir / "backups"

    def of(self, kind: Kind) -> Path:
        """Where backups of a kind stand."""
        return self.directory / kind

    def list(self, kind: Kind, zone: tzinfo | None = None) -> list[Backup]:
        """The backups of a kind, newest first; none where the directory is not there.

        Links, directories and files of other names are no backups. A manifest that cannot be read makes a `problem`.
        """
        found = [self._backup(path, status, kind, zone) for path, status in self._files(kind)]
        return sorted(found, key=lambda backup: (backup.created.timestamp(), backup.path.name), reverse=True)

    def sizes(self, kind: Kind) -> Sequence[int]:
        """The size of each backup of a kind, without a look at what is known of it."""
        return [status.st_size for _, status in self._files(kind)]

    def new_path(self, kind: Kind, stem: str, at: datetime, form: Format) -> Path:
        """A name that no backup has. Only one run at a time makes backups, so it stays free."""
        name = timestamped(stem, at, form)
        paths = (self.of(kind) / name(attempt) for attempt in itertools.count())
        return next(path for path in paths if not os.path.lexists(path))

    def write_manifest(self, path: Path, manifest: Manifest) -> None:
        """Write a backup's manifest beside it. Where it comes first, the backup is complete once it has its name."""
        atomic_write(_beside(path, MANIFEST_SUFFIX), _text(manifest), mode=SECRET_MODE)

    def discard(self, path: Path) -> None:
        """Take back a new backup that could not be completed, with its manifest."""
        path.unlink(missing_ok=True)
        _beside(path, MANIFEST_SUFFIX).unlink(missing_ok=True)

    def write_verified(self, path: Path, verified: Verified) -> None:
        """Write beside a backup that it was proven good."""
        atomic_write(_beside(path, VERIFIED_SUFFIX), _text(verified), mode=SECRET_MODE)

    def forget_verified(self, path: Path) -> None:
        """Take back that a backup was proven good."""
        _beside(path, VERIFIED_SUFFIX).unlink(missing_ok=True)
        sync_directory(path.parent)

    def remove(self, backup: Backup) -> None:
        """Remove a backup and what stands beside it; cut off in between, what is left is no complete backup."""
        for path in (_beside(backup.path, VERIFIED_SUFFIX), _beside(backup.path, MANIFEST_SUFFIX), backup.path):
            path.unlink(missing_ok=True)
        sync_directory(backup.path.parent)

    def leftovers(self, kind: Kind) -> Sequence[Path]:
        """What a run that was killed has left: parts of backups, and what stands beside a backup that never came.

        Only whoever makes backups may call them that, and only before it makes one.
        """
        directory = self.of(kind)
        names = {path.name for path in directory.iterdir()} if directory.is_dir() else set()
        return sorted(directory / name for name in names if _is_part(name) or _stands_alone(name, names))

    def remove_leftover(self, path: Path) -> None:
        """Remove one of these."""
        path.unlink(missing_ok=True)
        sync_directory(path.parent)

    def _files(self, kind: Kind) -> Iterator[tuple[Path, os.stat_result]]:
        """Every file of a kind that is a backup."""
        directory = self.of(kind)
        for path in directory.iterdir() if directory.is_dir() else ():
            # One that is removed just now is none any more.
            with contextlib.suppress(FileNotFoundError):
                if _is_named(path.name) and stat.S_ISREG((status := path.lstat()).st_mode):
                    yield path, status

    def _backup(self, path: Path, status: os.stat_result, kind: Kind, zone: tzinfo | None) -> Backup:
        problem = ""
        manifest: Manifest | None = None
        verified: Verified | None = None
        try:
            manifest = _load(_beside(path, MANIFEST_SUFFIX), Manifest)
            if manifest is None:
                problem = "it has no manifest: it was made by something else, or its making was cut off"
            elif manifest.file != path.name or manifest.kind is not kind:
                problem, manifest = f"its manifest is of another backup ({manifest.kind}/{manifest.file})", None
            verified = _load(_beside(path, VERIFIED_SUFFIX), Verified)
        except Unreadable as error:
            problem = str(error)
        return Backup(
            path=path,
            kind=kind,
            bytes=status.st_size,
            modified=datetime.fromtimestamp(status.st_mtime, zone).astimezone(zone),
            manifest=manifest,
            verified=verified,
            problem=problem,
        )


def _is_named(name: str) -> bool:
    """Whether it is the name of a backup; what a killed write left begins with a dot."""
    return name.endswith(tuple(Format)) and not name.startswith(".")


def _is_part(name: str) -> bool:
    """Whether a name is that of a backup or manifest under way; proofs are written by others, at any time."""
    match = LEFTOVER.fullmatch(name)
    return match is not None and match[1].removesuffix(MANIFEST_SUFFIX).endswith(tuple(Format))


def _stands_alone(name: str, names: set[str]) -> bool:
    """Whether it is a manifest or proof without its backup."""
    ends = [suffix for suffix in (MANIFEST_SUFFIX, VERIFIED_SUFFIX) if name.endswith(suffix)]
    backup = name.removesuffix(ends[0]) if ends else ""
    return _is_named(backup) and backup not in names


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _text(value: Value) -> bytes:
    return value.model_dump_json(indent=1).encode() + b"\n"


def _load(path: Path, kind: type[_T]) -> _T | None:
    """The value in a file, None where there is no file; Unreadable where it does not hold one."""
    try:
        content = read_small(path, MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read: {error.strerror}") from None
    except UnfitFile as error:
        raise Unreadable(f"{path.name} cannot be read: {error}") from None
    try:
        return kind.model_validate_json(content)
    except (ValidationError, RecursionError):
        raise Unreadable(f"{path.name} does not hold what it should") from None
