"""One backup, from nothing to its name: written aside with its manifest, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jobs.backups.failure import BackupFailed
from jobs.backups.files import SECRET_MODE, BackupFiles
from jobs.backups.settings import BackupMaking
from jobs.backups.sink import Sink
from jobs.backups.space import explained
from jobs.backups.targets import Facts, Target
from jobs.clients.errors import Absent, ClientError, Refused
from jobs.core.backups import Backup, Manifest
from jobs.core.files import atomic_stream


@dataclass(frozen=True)
class Made:
    """A backup that was made, and how long that took."""

    path: Path
    manifest: Manifest
    seconds: float
    facts: Facts


class Writer:
    """Makes backups. `existing` are those that were there before, which tell how large a new one will be."""

    def __init__(
        self, files: BackupFiles, settings: BackupMaking, existing: Sequence[Backup], monotonic: Callable[[], float]
    ) -> None:
        self._files, self._settings, self._existing, self._monotonic = files, settings, existing, monotonic

    def make(self, target: Target, now: datetime, left_seconds: float) -> Made:
        """Make the backup of a target within the time that is left; raise BackupFailed, with nothing of it left."""
        began = self._monotonic()
        if left_seconds <= 0:
            raise BackupFailed("there is no time left for it in this run", "raise max_run_seconds of this job")
        try:
            path = self._files.new_path(target.kind, target.stem, now, target.form)
            facts, manifest = self._write(target, path, now, min(left_seconds, self._settings.backup_timeout_seconds))
        except OSError as error:
            raise explained(error, self._files.of(target.kind)) from None
        except ClientError as error:
            raise BackupFailed(str(error), _remedy(error)) from None
        return Made(path, manifest, self._monotonic() - began, facts)

    def _write(self, target: Target, path: Path, now: datetime, timeout_seconds: float) -> tuple[Facts, Manifest]:
        try:
            with atomic_stream(path, mode=SECRET_MODE) as file:
                sink = Sink(
                    file,
                    path.parent,
                    min_free_bytes=self._settings.backup_min_free_mb << 20,
                    expected_bytes=self._size_before(target),
                )
                facts = target.make(sink, timeout_seconds)
                manifest = _manifest(target, path, now, sink, facts)
                # Before the backup has its name: there is none without a manifest, whenever this process ends.
                self._files.write_manifest(path, manifest)
        except BaseException:
            self._files.remove_manifest(path)
            raise
        return facts, manifest

    def _size_before(self, target: Target) -> int | None:
        """How large the newest backup of the same source is, and of the same form: others are larger or smaller."""
        same = (b for b in self._existing if (b.kind, b.source) == (target.kind, target.source))
        sizes = {b.created: b.bytes for b in same if b.manifest and b.manifest.format is target.form}
        return sizes[max(sizes)] if sizes else None


def _manifest(target: Target, path: Path, now: datetime, sink: Sink, facts: Facts) -> Manifest:
    return Manifest(
        kind=target.kind,
        format=target.form,
        file=path.name,
        source=target.source,
        created=now,
        bytes=sink.bytes,
        sha256=sink.sha256,
        tool=facts.tool,
        server_version=facts.server_version,
        database=facts.database,
        schema_fingerprint=facts.schema_fingerprint,
        row_counts=facts.row_counts,
        members=facts.members,
        keys=facts.keys,
    )


def _remedy(error: ClientError) -> str:
    if isinstance(error, Refused):
        return "give the exporter's user the rights that reading everything takes"
    return "" if isinstance(error, Absent) else "see what the server's log says; the next run tries again"
