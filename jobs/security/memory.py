"""What the scan remembers from run to run: findings, how each scanner fared, and the scores of former scans.

data/security/findings.json    the memory; findings.json.corrupt-TIME once it could not be read
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime

from jobs.core.files import atomic_write, read_small, set_aside
from jobs.core.model import FiniteFloat, Severity, Value
from jobs.security.scanner import RANK, Area, Weakness

MAX_STATE_BYTES = 64 << 20
MAX_KNOWN = 50_000
MAX_CHARACTERS = 24 << 20
"""Texts of all findings together: together with the limit of their number it keeps the file below its own limit."""
MAX_SCANS = 400


class Known(Value):
    """A finding as it is remembered. `standard`: a standard scan has seen it, so one that does not see it counts."""

    area: Area
    scanner: str
    weakness: Weakness
    first_seen: AwareDatetime
    last_seen: AwareDatetime
    standard: bool

    @property
    def identity(self) -> str:
        """What it is known by."""
        return self.weakness.identity(self.area)

    @property
    def characters(self) -> int:
        """How long its texts are."""
        one = self.weakness
        return sum(map(len, (one.rule, one.subject, one.message, one.remedy, one.path, one.url)))


class ScannerMemory(Value):
    """How a scanner fared when it last looked."""

    area: Area
    success: bool
    at: AwareDatetime
    last_success: AwareDatetime | None = None
    seconds: FiniteFloat | None = None
    scanned: int = 0
    missed: int = 0
    database: FiniteFloat | None = None


class PastScan(Value):
    """What a scan came to."""

    at: AwareDatetime
    mode: str
    score: FiniteFloat
    counts: Mapping[Severity, int]


class Memory(Value):
    """Everything that is remembered. Of findings at `cut_at` and below it not all are, for there were too many."""

    version: Literal[1] = 1
    known: tuple[Known, ...] = ()
    scanners: Mapping[str, ScannerMemory] = {}
    scans: tuple[PastScan, ...] = ()
    cut_at: Severity | None = None

    def with_known(self, known: Iterable[Known]) -> Memory:
        """This with these findings instead, of too many the worst."""
        kept: list[Known] = []
        characters, cut_at = 0, None
        for one in sorted(known, key=lambda one: -RANK[one.weakness.severity]):
            characters += one.characters
            if len(kept) == MAX_KNOWN or characters > MAX_CHARACTERS:
                cut_at = one.weakness.severity
                break
            kept.append(one)
        return self.model_copy(update={"known": tuple(kept), "cut_at": cut_at})

    def with_scan(self, scan: PastScan) -> Memory:
        """This and one more scan, without what a clock that ran ahead has left, and without the oldest."""
        past = [one for one in self.scans if one.at < scan.at]
        return self.model_copy(update={"scans": (*past, scan)[-MAX_SCANS:]})


class MemoryFile:
    """The file below `base_dir`."""

    def __init__(self, base_dir: Path) -> None:
        self.path = base_dir / "data" / "security" / "findings.json"
        self._readable = True

    def load(self, now: datetime, *, dry_run: bool) -> tuple[Memory, str]:
        """What is remembered, and what was wrong with the file: then nothing is, and what it holds is kept aside."""
        try:
            return Memory.model_validate_json(read_small(self.path, MAX_STATE_BYTES)), ""
        except FileNotFoundError:
            return Memory(), ""
        except OSError as error:
            self._readable = False
            return Memory(), f"{self.path} cannot be read ({error.strerror}): what was found before is not known"
        except (ValueError, RecursionError):  # pydantic's ValidationError, UnfitFile
            problem = f"{self.path} does not hold what it should: what was found before is forgotten"
            return Memory(), f"{problem}{'' if dry_run else self._aside(now)}"

    def save(self, memory: Memory) -> None:
        """Remember this, unless there is something that could not be read; raise OSError where that is refused."""
        if self._readable:
            atomic_write(self.path, memory.model_dump_json().encode() + b"\n", mode=0o600)

    def _aside(self, now: datetime) -> str:
        try:
            return f"; it is kept as {set_aside(self.path, now).name}"
        except OSError as error:
            return f"; it cannot be put aside ({error.strerror})"
