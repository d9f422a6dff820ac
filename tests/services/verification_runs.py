"""Runs of the backup verification in this process, on backups that the making of backups has made."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jobs.backup_verification import JOB, Settings
from jobs.core.backups import Kind, Manifest
from jobs.core.model import Request, Result
from tests.services.backup_runs import BackupRuns


class VerificationRuns(BackupRuns):
    """Backups are made with `make`, verified with `verify`; both have `settings` of their own."""

    def __init__(self, base_dir: Path, *, verification: Mapping[str, Any] | None = None, **options: Any) -> None:
        super().__init__(base_dir, **options)
        self.verification = dict(verification or {})

    def make(self, **changes: Any) -> None:
        """Make backups of everything; they must succeed."""
        part = self.run(**changes)
        assert not part.failed, part.findings

    def verify(self, mode: str = "standard", *, dry_run: bool = False, **changes: Any) -> Result:
        """One verification."""
        request = Request(task=JOB.name, mode=mode, dry_run=dry_run)
        return JOB.run(Settings(**{**self.verification, **changes}), self.clients(), request)

    def newest(self, kind: Kind = Kind.DATABASE) -> Path:
        """The newest backup of a kind."""
        return self.backups(kind)[0].path


def change(path: Path, how: Callable[[bytes], bytes], *, as_made: bool = False) -> None:
    """Change a backup's file; `as_made` writes size and sha256 into its manifest, so that only its content can tell."""
    content = how(path.read_bytes())
    path.write_bytes(content)
    if as_made:
        edit_manifest(path, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def edit_manifest(path: Path, **fields: Any) -> None:
    """Change fields of a backup's manifest."""
    file = path.with_name(f"{path.name}.manifest.json")
    text = json.dumps({**json.loads(file.read_text()), **fields})
    Manifest.model_validate_json(text)
    file.write_text(text)


def flipped(at: int) -> Callable[[bytes], bytes]:
    """One bit of one byte changed."""
    return lambda content: content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]


def resqueezed(how: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """A change to what a gzip file unpacks to."""
    return lambda content: gzip.compress(how(gzip.decompress(content)))


def value(result: Result, family: str, /, **labels: str) -> float | None:
    """The value of one series of a result; None where there is none."""
    found = [s.value for s in result.samples if s.family == family and dict(s.labels) == labels]
    return found[0] if found else None


def kinds(result: Result) -> set[tuple[str, str]]:
    """Kind and subject of each finding."""
    return {(finding.kind, finding.subject.removeprefix("backup/")) for finding in result.findings}
