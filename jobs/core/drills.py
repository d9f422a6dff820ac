"""What a restore drill proved: the restored database compared with what the manifest says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from jobs.core.backups import Manifest
from jobs.core.model import FiniteFloat, Text, Value

MAX_DIFFERENCES = 50


class DrillState(StrEnum):
    """What came of a drill. Unknown: it could not be made, or there was nothing to compare with."""

    RESTORED = "restored"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Drill(Value):
    """One drill. `source` is the database, `backup` the file below `backups/`, `created` when it was made.

    `restore_seconds` is what loading took, `seconds` all of it; `where` is the place it was restored in.
    """

    source: Text
    backup: Text
    created: datetime
    at: datetime
    state: DrillState
    reason: Text = ""
    where: Text = ""
    restore_seconds: FiniteFloat | None = None
    seconds: FiniteFloat = 0.0


def differences(manifest: Manifest, fingerprint: str, row_counts: Mapping[str, int]) -> list[str]:
    """How a restored database differs from its manifest, one line each, the tables by name."""
    found = []
    if fingerprint != manifest.schema_fingerprint:
        found.append("its schema is another one than when it was dumped")
    for table in sorted(manifest.row_counts.keys() | row_counts.keys()):
        had, has = manifest.row_counts.get(table), row_counts.get(table)
        if has is None:
            found.append(f"table {table} is missing")
        elif had is None:
            found.append(f"table {table} was not there when it was dumped")
        elif had != has:
            found.append(f"table {table} has {has} rows and had {had}")
    return found[:MAX_DIFFERENCES]


def major_of(version: str) -> int | None:
    """Given a server's version in words, return its major version: 15 for `15.18 (Debian …)`; None for no number."""
    match = re.match(r"(\d{1,3})\b", version)
    return int(match[1]) if match else None
