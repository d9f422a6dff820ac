"""What the maintenance of databases remembers: small JSON documents in `data/database-maintenance/`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jobs.core.files import UnfitFile, atomic_write, read_small, set_aside

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
            content = read_small(self.path, MAX_BYTES)
        except FileNotFoundError:
            return {}
        except UnfitFile as error:
            raise Corrupt(str(error)) from None
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
        return set_aside(self.path, now)
