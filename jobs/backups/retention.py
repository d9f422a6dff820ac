"""What goes: what killed runs have left, and backups that are too old. Planned first, then told, then done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from jobs.backups.files import BackupFiles
from jobs.core.backups import Backup, Kind, outdated


@dataclass(frozen=True)
class Removal:
    """A file that is to go, why, and how. `kind` is that of a backup, None for what is none."""

    path: Path
    why: str
    remove: Callable[[], None]
    kind: Kind | None = None


def leftovers(files: BackupFiles) -> Iterator[Removal]:
    """What killed runs have left."""
    for kind in Kind:
        for path in files.leftovers(kind):
            yield Removal(path, "left by a run that was killed", partial(files.remove_leftover, path))


def too_old(files: BackupFiles, backups: Sequence[Backup], now: datetime, days: int) -> Iterator[Removal]:
    """Backups that are older than so many days and can be spared, oldest first."""
    for backup in outdated(backups, now, days):
        why = f"of {backup.created:%Y-%m-%d}, older than {days} days"
        yield Removal(backup.path, why, partial(files.remove, backup), backup.kind)
