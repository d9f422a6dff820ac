"""What the maintenance of databases remembers: small JSON documents in `data/database-maintenance/`."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jobs.core.files import atomic_write, sync_directory

MAX_BYTES = 16 << 20


class Corrupt(Exception):
    """A file that does not hold what it should; the message says why."""


class Memory:
    """One document, `data/database-maintenance/NAME.json`. Methods raise OSError where the file system refuses."""

    def __init__(self, base_dir: Path, name: str) -> None:
        self.path = base_dir / "data" / "database-maintenance" / f"{name}.json"

    def load(self) -> dict[str, Any]:
        """What was remembered, nothing before the first time; raise Corrupt where it cannot be understood."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return {}
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Corrupt("it is not a regular file")
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise Corrupt(f"it is longer than {MAX_BYTES >> 20} MiB")
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            raise Corrupt("it does not hold JSON") from None
        if not isinstance(document, dict):
            raise Corrupt("it does not hold a JSON object")
        return document

    def save(self, document: Mapping[str, Any]) -> None:
        """Remember a document in place of the one before."""
        atomic_write(self.path, json.dumps(document, indent=1).encode() + b"\n")

    def set_aside(self, now: datetime) -> Path:
        """Keep a file that cannot be understood under a name that says so, and return it."""
        attempt, stem = 1, f"{self.path.name}.corrupt-{now:%Y%m%d_%H%M%S}"
        while os.path.lexists(aside := self.path.with_name(stem if attempt == 1 else f"{stem}_{attempt}")):
            attempt += 1
        self.path.rename(aside)
        sync_directory(aside.parent)
        return aside
