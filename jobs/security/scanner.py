"""What a scanner is: it looks at one kind of thing and tells what it saw, what is weak, and what it could not see.

A scanner tells as it goes, so that what it had reached when its time was over is kept. It returns when it is through.
It raises Absent where what it needs is not there (a program, a service that nobody configured), ClientError where it
failed. Whoever runs it decides what that means: a scanner that failed, was ended, is not installed or has seen nothing
is unknown, and unknown is never well.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from jobs.clients.errors import ClientError
from jobs.core.model import Severity

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.security.settings import Settings


class Area(StrEnum):
    """The areas of a scan, as the report names them."""

    CONTAINERS = "containers"
    FILESYSTEM = "filesystem"
    NETWORK = "network"
    CODE = "code"
    CONFIGURATION = "configuration"


class OutOfTime(ClientError):
    """The scanner's time is over; what it has told so far is kept."""


@dataclass(frozen=True)
class Weakness:
    """Something weak. `rule` says what (`world_writable_file`, `CVE-2024-3094`), `subject` names the thing.

    Together they identify it from run to run, so neither holds anything that changes by itself (a process id, a time,
    a container's id, a line number). No text may hold a secret's value. `path` is the file that it stands in, absolute,
    and `line` where (1 is the first); `url` leads to more.
    """

    rule: str
    subject: str
    severity: Severity
    message: str
    remedy: str = ""
    path: str = ""
    line: int | None = None
    url: str = ""

    def identity(self, area: Area) -> str:
        """Sixteen hexadecimal digits that stay the same from run to run."""
        text = "\0".join((area, self.rule, self.subject))
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


@dataclass
class Seen:
    """What a scanner has told so far: how many things it looked at, what is weak, and what it could not look at."""

    unit: str
    scanned: int = 0
    weaknesses: list[Weakness] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


class Look:
    """What a scanner is handed, and where it tells what it sees; safe to use from several threads."""

    def __init__(
        self, settings: Settings, clients: Clients, *, full: bool, unit: str, deadline: float, dry_run: bool = False
    ) -> None:
        self.settings, self.clients, self.full, self.dry_run = settings, clients, full, dry_run
        self._seen, self._deadline = Seen(unit), deadline
        self._lock = threading.Lock()

    def scanned(self, count: int = 1) -> None:
        """So many more things were looked at."""
        with self._lock:
            self._seen.scanned += count

    def found(self, weakness: Weakness) -> None:
        """Something is weak."""
        with self._lock:
            self._seen.weaknesses.append(weakness)

    def missed(self, what: str) -> None:
        """Something could not be looked at, and why: the scan is incomplete, and says so."""
        with self._lock:
            self._seen.missed.append(what)

    def detail(self, name: str, value: Any) -> None:
        """Something for the report (JSON-like)."""
        with self._lock:
            self._seen.details[name] = value

    @property
    def left_seconds(self) -> float:
        """Time until the scanner is to be through; not above 0 when it is over."""
        return self._deadline - self.clients.clock.monotonic()

    def go_on(self) -> None:
        """Raise OutOfTime when the time is over; to be called between things that are looked at."""
        if self.left_seconds <= 0:
            raise OutOfTime("its time was over before it was through")

    def so_far(self) -> Seen:
        """A copy of what was told so far."""
        with self._lock:
            seen = self._seen
            return Seen(seen.unit, seen.scanned, list(seen.weaknesses), list(seen.missed), dict(seen.details))


@dataclass(frozen=True)
class Scanner:
    """One scanner: its name (`trivy`), area, what it counts (`images`) and the function that looks.

    `full_only`: only a full scan has it; a standard one leaves it out, and says so.
    """

    name: str
    area: Area
    summary: str
    unit: str
    scan: Callable[[Look], None]
    full_only: bool = False


