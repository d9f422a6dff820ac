"""What sampling remembers from one time to the next: a small file, `data/performance/counters.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobs.core.files import UnfitFile, atomic_write, read_small, set_aside
from jobs.core.model import Finding, FiniteFloat, Severity
from jobs.performance.sampling import part
from jobs.performance.sampling.part import Probe, Reading

_MAX_BYTES = 16 << 20
_MAX_AGE_SECONDS = 3600.0
_SEEN_SECONDS = 48 * 3600.0
_MAX_MODELS = 1000


class _Reading(BaseModel):
    at_seconds: FiniteFloat
    counters: dict[str, dict[str, FiniteFloat]]


class _Probe(BaseModel):
    at: FiniteFloat
    first_token_seconds: FiniteFloat | None = None
    tokens_per_second: FiniteFloat | None = None
    error: Annotated[str, Field(max_length=2000)] = ""


class _Document(BaseModel):
    model_config = ConfigDict(extra="ignore")

    version: Annotated[int, Field(ge=1, le=1)] = 1
    boot_id: str = ""
    readings: dict[str, _Reading] = {}
    probes: dict[str, _Probe] = {}
    seen: dict[str, FiniteFloat] = {}


@dataclass(frozen=True)
class Memory:
    """The last readings by source, the last probes by model, and when (Unix time) each source last answered.

    `not_read` says why the file could not be used; one that is `corrupt` is kept beside.
    """

    path: Path
    boot_id: str
    now_seconds: float
    readings: Mapping[str, Reading] = field(default_factory=dict)
    probes: Mapping[str, Probe] = field(default_factory=dict)
    sources_seen: Mapping[str, float] = field(default_factory=dict)
    not_read: str = ""
    corrupt: bool = False

    def reading(self, source: str) -> Reading | None:
        """The last reading of a source, if there is one that is neither too old nor of this very moment."""
        reading = self.readings.get(source)
        if reading is None or not part.WINDOW_SECONDS <= self._age_seconds(reading) <= _MAX_AGE_SECONDS:
            return None
        return reading

    def rest_of_window_seconds(self) -> float:
        """How long to wait until every reading is old enough to tell a rate since."""
        ages = [age for age in map(self._age_seconds, self.readings.values()) if 0 <= age < part.WINDOW_SECONDS]
        return part.WINDOW_SECONDS - min(ages) if ages else 0.0

    def _age_seconds(self, reading: Reading) -> float:
        return self.now_seconds - reading.at_seconds

    def was_seen(self, source: str, now: datetime) -> bool:
        """Whether it answered within the last two days."""
        return now.timestamp() - self.sources_seen.get(source, 0.0) <= _SEEN_SECONDS

    def finding(self) -> Finding | None:
        """What people should know of a file that could not be used."""
        if not self.not_read:
            return None
        return Finding(
            kind="state_not_read",
            subject="performance-report",
            severity=Severity.LOW,
            message=f"the counters of the last sample are not known: {self.path.name}: {self.not_read}",
            remedy="nothing is lost: rates were measured over a second, and the file is written anew",
        )

    def not_saved(self, error: OSError) -> Finding:
        """What people should know where nothing could be remembered."""
        return Finding(
            kind="state_not_written",
            subject="performance-report",
            severity=Severity.MEDIUM,
            message=f"what the next sample needs is not remembered: {self.path}: {error.strerror or error}",
            remedy="see whether the disk is full, or may not be written by this user",
        )

    def save(
        self, readings: Mapping[str, Reading], probes: Mapping[str, Probe], seen: Mapping[str, float], now: datetime
    ) -> None:
        """Remember what is new beside what still counts; raise OSError where the file system refuses."""
        if self.corrupt:
            set_aside(self.path, now)
        oldest, seconds = now.timestamp() - _SEEN_SECONDS, self.now_seconds - _MAX_AGE_SECONDS
        all_readings = {**self.readings, **readings}
        all_probes = sorted({**self.probes, **probes}.items(), key=lambda item: -item[1].at)[:_MAX_MODELS]
        document = {
            "version": 1,
            "boot_id": self.boot_id,
            "readings": {name: asdict(one) for name, one in all_readings.items() if one.at_seconds >= seconds},
            "probes": {name: asdict(one) for name, one in all_probes if one.at >= oldest},
            "seen": {name: at for name, at in {**self.sources_seen, **seen}.items() if at >= oldest},
        }
        atomic_write(self.path, json.dumps(document).encode() + b"\n")


def remembered(base_dir: Path, boot_id: str, now_seconds: float) -> Memory:
    """What the last sampling left; its readings only where the machine was not started anew since."""
    path = base_dir / "data" / "performance" / "counters.json"
    empty = Memory(path, boot_id, now_seconds)
    try:
        document = _Document.model_validate(json.loads(read_small(path, _MAX_BYTES)))
    except FileNotFoundError:
        return empty
    except OSError as error:
        return replace(empty, not_read=error.strerror or str(error))
    except UnfitFile as error:
        return replace(empty, not_read=str(error), corrupt=True)
    except ValidationError:
        return replace(empty, not_read="it does not hold what it should", corrupt=True)
    except (ValueError, RecursionError):
        return replace(empty, not_read="it does not hold JSON", corrupt=True)
    same_start = document.boot_id == boot_id
    readings = {name: Reading(**one.model_dump()) for name, one in document.readings.items()} if same_start else {}
    probes = {name: Probe(**one.model_dump()) for name, one in document.probes.items()}
    return Memory(path, boot_id, now_seconds, readings, probes, document.seen)
