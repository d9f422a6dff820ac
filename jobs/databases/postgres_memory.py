"""Which indexes were rebuilt when: an index that grows back at once is not rebuilt every night."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jobs.databases.state import Corrupt, Memory

Key = tuple[str, str]


class Rebuilt:
    """The indexes of all servers. `problem` says why what was remembered could not be read."""

    def __init__(self, base_dir: Path) -> None:
        self._memory, self.problem, self._corrupt = Memory(base_dir, "reindexed"), "", False
        self._times: dict[tuple[str, str, str, str], datetime] = {}
        try:
            self._times = _parsed(self._memory.load().get("indexes", []))
        except (Corrupt, ValueError, TypeError) as error:
            self._corrupt, self.problem = True, f"{self._memory.path.name}: {error}"
        except OSError as error:
            self.problem = str(error)

    def of(self, server: str, database: str) -> Mapping[Key, datetime]:
        """When the indexes of a database were rebuilt, by schema and name."""
        return {key[2:]: at for key, at in self._times.items() if key[:2] == (server, database)}

    def remember(self, server: str, database: str, key: Key, now: datetime, keep_days: float) -> None:
        """Remember that an index was rebuilt, and forget what is too old to matter. Raises OSError."""
        if self._corrupt:
            self._memory.set_aside(now)
            self._corrupt = False
        self._times[server, database, *key] = now
        oldest = now - timedelta(days=keep_days)
        self._times = {name: at for name, at in self._times.items() if at >= oldest}
        rows = [[*name, at.isoformat()] for name, at in self._times.items()]
        self._memory.save({"version": 1, "indexes": rows})


def _parsed(rows: Any) -> dict[tuple[str, str, str, str], datetime]:
    found = {}
    for server, database, schema, name, at in rows:
        time = datetime.fromisoformat(at)
        if time.tzinfo is None:
            raise ValueError("a time without its zone")
        found[str(server), str(database), str(schema), str(name)] = time
    return found
