"""What a scanner is: it looks at one kind of thing and tells what it saw, what is weak, and what it could not see.

A scanner tells as it goes, so that what it had reached when its time was over is kept. It returns when it is through.
It raises NothingHere where there is nothing of what it looks at, Absent where a program that it needs is not installed,
ClientError where it failed. Whoever runs it decides what that means: a scanner that failed, was ended, is not installed
or has seen nothing is unknown, and unknown is never well.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from jobs.clients.errors import ClientError
from jobs.core.model import Severity
from jobs.security.texts import plain_line

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.security.settings import Settings


MAX_WEAKNESSES = 20_000
"""Of what one scanner finds so much is kept; the rest is counted, and the scanner is through only in part."""
MAX_MISSED = 1000
MAX_PLACES = 10_000
"""Of more places than these that were missed it is only known that there are some: they may be anywhere."""
RANK = {severity: rank for rank, severity in enumerate(Severity)}
"""How bad a severity is; more is worse."""


class Area(StrEnum):
    """The areas of a scan, as the report names them."""

    CONTAINERS = "containers"
    FILESYSTEM = "filesystem"
    NETWORK = "network"
    CODE = "code"
    CONFIGURATION = "configuration"


class NothingHere(ClientError):
    """There is nothing here of what the scanner looks at, and nobody has configured any (no Docker engine).

    `sure`: whoever would know has said so (an engine without a container). Else what was there lately may still be.
    """

    def __init__(self, message: str, *, sure: bool = False) -> None:
        super().__init__(message)
        self.sure = sure


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

    def in_plain_text(self) -> Weakness:
        """This with every text in one harmless line of bounded length."""
        return replace(
            self,
            rule=plain_line(self.rule, 200),
            subject=plain_line(self.subject, 2000),
            message=plain_line(self.message, 2000),
            remedy=plain_line(self.remedy, 1000),
            path=plain_line(self.path, 4096),
            url=plain_line(self.url, 2000),
        )


@dataclass
class Seen:
    """What a scanner has told so far: how many things it looked at, what is weak, and what it could not look at.

    `places` are the paths and the beginnings of subjects that what it missed is about. `dropped` is how many more
    weaknesses there were than are kept, `more_missed` the same of `missed`.
    """

    unit: str
    scanned: int = 0
    weaknesses: list[Weakness] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    places: set[str] = field(default_factory=set)
    dropped: int = 0
    more_missed: int = 0

    def keep_the_worst(self) -> None:
        """Drop the mildest of more weaknesses than are kept."""
        if (beyond := len(self.weaknesses) - MAX_WEAKNESSES) > 0:
            self.weaknesses = sorted(self.weaknesses, key=lambda weakness: -RANK[weakness.severity])[:MAX_WEAKNESSES]
            self.dropped += beyond

    def may_hide(self, weakness: Weakness) -> bool:
        """Whether a weakness may be there although it was not seen, as something was missed."""
        return self.dropped > 0 or any(_about(place, weakness) for place in self.places)

    def gaps(self) -> list[str]:
        """Everything that was missed, in words."""
        told = list(self.missed)
        told += [f"{self.more_missed} more things were missed"] if self.more_missed else []
        told += [f"{self.dropped} findings beyond the worst {MAX_WEAKNESSES} are left out"] if self.dropped else []
        return told


def _about(place: str, weakness: Weakness) -> bool:
    if not place.startswith("/"):
        return weakness.subject.startswith(place)
    below = f"{place.rstrip('/')}/"
    return any(name == place or name.startswith(below) for name in (weakness.path, weakness.subject))


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
            self._seen.weaknesses.append(weakness.in_plain_text())
            if len(self._seen.weaknesses) >= 2 * MAX_WEAKNESSES:
                self._seen.keep_the_worst()

    def missed(self, what: str, *about: str) -> None:
        """Something could not be looked at, and why: the scan is incomplete, and says so.

        `about` are its paths, or the beginnings of its subjects: only what was found there before may still be there
        unseen. Without them, that holds for everything.
        """
        with self._lock:
            if len(self._seen.missed) < MAX_MISSED:
                self._seen.missed.append(plain_line(what, 2000))
            else:
                self._seen.more_missed += 1
            self._seen.places.update(plain_line(place, 4096) for place in about or ("",))
            if len(self._seen.places) > MAX_PLACES:
                self._seen.places = {""}

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
            seen.keep_the_worst()
            return replace(
                seen,
                weaknesses=list(seen.weaknesses),
                missed=list(seen.missed),
                details=dict(seen.details),
                places=set(seen.places),
            )


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
