"""What the verification remembers: the last drill of each database, what recent runs found, and evidence of drills.

data/backup-verification/state.json                  memory; state.json.corrupt-TIME once it could not be read
data/backup-verification/evidence/SOURCE_TIME.json   a drill: what was restored, where, how long it took, what was found
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from jobs.core.drills import Drill, DrillState
from jobs.core.files import atomic_create, atomic_write, read_small, set_aside, timestamped
from jobs.core.model import Value

MAX_STATE_BYTES = 16 << 20
_PRIVATE = 0o600
_MAX_HISTORY = 10_000


class PastRun(Value):
    """What a run found: how many backups were good, damaged or missing, or could not be checked."""

    at: datetime
    verified: int = Field(ge=0)
    failed: int = Field(ge=0)
    unknown: int = Field(ge=0)

    def success_ratio(self) -> float:
        """The share of its checks that found a good backup; 0 where there was nothing to check."""
        return self.verified / max(1, self.verified + self.failed + self.unknown)


class Memory(Value):
    """What is remembered. `restored` has, by database, when the newest backup that was restored was made."""

    version: Literal[1] = 1
    history: tuple[PastRun, ...] = ()
    drills: Mapping[str, Drill] = {}
    restored: Mapping[str, datetime] = {}

    def with_run(self, run: PastRun, days: int) -> Memory:
        """This and one more run, without what is older than `days`."""
        oldest = run.at - timedelta(days=days)
        kept = [past for past in self.history if past.at >= oldest][-_MAX_HISTORY:]
        return self.model_copy(update={"history": (*kept, run)})

    def with_drills(self, drills: Iterable[Drill], sources: Collection[str]) -> Memory:
        """This and new drills, in their order, without databases that are in `sources` no more."""
        last, restored = dict(self.drills), dict(self.restored)
        for drill in drills:
            last[drill.source] = drill
            if drill.state is DrillState.RESTORED:
                restored[drill.source] = max(drill.created, restored.get(drill.source, drill.created))
        return self.model_copy(
            update={
                "drills": {source: drill for source, drill in last.items() if source in sources},
                "restored": {source: created for source, created in restored.items() if source in sources},
            }
        )

    def success_ratio(self) -> float | None:
        """The share of all checks of the runs remembered that found a good backup; None without any."""
        good = sum(run.verified for run in self.history)
        all_of_them = good + sum(run.failed + run.unknown for run in self.history)
        return good / all_of_them if all_of_them else None


class StateFiles:
    """The files below `base_dir`. Methods raise OSError where the file system refuses."""

    def __init__(self, base_dir: Path) -> None:
        self.directory = base_dir / "data" / "backup-verification"
        self._state = self.directory / "state.json"

    def load(self) -> tuple[Memory, str]:
        """What is remembered, and what was wrong with the file: then nothing is remembered."""
        try:
            return Memory.model_validate_json(read_small(self._state, MAX_STATE_BYTES)), ""
        except FileNotFoundError:
            return Memory(), ""
        except OSError as error:
            return Memory(), f"{self._state} cannot be read: {error.strerror}: former runs are forgotten"
        except (ValueError, RecursionError):  # pydantic's ValidationError, UnfitFile
            return Memory(), f"{self._state} does not hold what it should: former runs are forgotten"

    def set_aside(self, now: datetime) -> None:
        """Keep a state file that cannot be read under another name."""
        set_aside(self._state, now)

    def save(self, memory: Memory) -> None:
        """Remember this in place of what was remembered."""
        atomic_write(self._state, memory.model_dump_json(indent=1).encode() + b"\n", mode=_PRIVATE)

    def save_evidence(self, source: str, now: datetime, evidence: Mapping[str, Any], keep: int) -> Path:
        """Write the evidence of a drill, keep the newest `keep` of this database, and return the file."""
        stem, directory = _stem(source), self.directory / "evidence"
        text = json.dumps(evidence, indent=1, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        written = atomic_create(directory, timestamped(stem, now, ".json"), text, mode=_PRIVATE)
        named = re.compile(rf"{re.escape(stem)}_(\d{{8}}_\d{{6}})(?:_(\d+))?\.json")
        found = [(m[1], int(m[2] or 1), path) for path in directory.iterdir() if (m := named.fullmatch(path.name))]
        for _, _, path in sorted(found)[:-keep]:
            path.unlink(missing_ok=True)
        return written


def _stem(source: str) -> str:
    """A file name for a source: `main/sutazai` is `main@sutazai`; what is in no file name is replaced, with a hash."""
    plain = source.replace("/", "@", 1)
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,100}", plain):
        return plain
    return f"{re.sub(r'[^A-Za-z0-9_@-]', '_', plain)[:60]}+{hashlib.sha256(source.encode()).hexdigest()[:8]}"
