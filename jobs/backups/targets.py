"""What is to be backed up, and what is learned of it while that is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jobs.backups.sink import Sink
from jobs.core.backups import Format, Kind
from jobs.core.model import Finding


@dataclass(frozen=True)
class Facts:
    """What a manifest says of a backup beyond its file; see `Manifest`. `findings` are about what was left out."""

    tool: str = ""
    server_version: str = ""
    database: str = ""
    schema_fingerprint: str | None = None
    row_counts: Mapping[str, int] = field(default_factory=dict)
    members: Mapping[str, str] = field(default_factory=dict)
    keys: int | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Target:
    """One thing that gets one backup.

    `make` writes the backup to a sink within so many seconds and returns the facts; it raises ClientError, OSError or
    BackupFailed, and then nothing that it wrote counts. `parts` is what is to be in it, in words.
    """

    kind: Kind
    source: str
    form: Format
    stem: str
    make: Callable[[Sink, float], Facts]
    parts: str = ""
