"""What certificate renewal remembers between runs: data/certificate-renewal/state.json, and when it cannot be read.

It is how a certificate is known to be our own: one that is not in here is somebody else's, and left alone.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from jobs.clients.certificates import read_file
from jobs.clients.errors import Absent, ClientError
from jobs.core.files import atomic_write, sync_directory, timestamped
from jobs.core.model import Value

MAX_ISSUED = 50
_TOLERATED_JUMP = timedelta(hours=1)


class Issued(Value):
    """A certificate that was made here: its fingerprint and the digest of its key."""

    fingerprint: str
    key_digest: str
    at: datetime


class ClockMark(Value):
    """Both clocks at one moment of one boot, to see later whether somebody set the one that can be set."""

    wall: datetime
    monotonic_seconds: float
    boot_id: str

    def jump(self, other: ClockMark) -> timedelta:
        """How far the wall clock was set between two marks; nothing is known across a boot."""
        if self.boot_id != other.boot_id:
            return timedelta(0)
        return (other.wall - self.wall) - timedelta(seconds=other.monotonic_seconds - self.monotonic_seconds)

    def has_jumped(self, other: ClockMark) -> bool:
        """Whether the dates of one of the two are not to be trusted."""
        return abs(self.jump(other)) > _TOLERATED_JUMP


class Switch(Value):
    """A switch that was begun: from version `previous` (empty: none) to `version`."""

    version: str
    previous: str = ""


class State(Value):
    """Everything that is remembered.

    `switching` is there from before a switch until services have taken it; `last_error` says what failed in the last
    run that renews; `clock` is from the end of that run.
    """

    issued: tuple[Issued, ...] = ()
    switching: Switch | None = None
    previous: str = ""
    last_renewal: datetime | None = None
    last_error: str = ""
    clock: ClockMark | None = None

    def updated(self, **changes: object) -> State:
        """This state with some fields replaced."""
        return self.model_copy(update=changes)

    def with_issued(self, one: Issued) -> State:
        """This state, with one more certificate of our own."""
        return self.updated(issued=(*self.issued, one)[-MAX_ISSUED:])

    def made(self, fingerprint: str) -> bool:
        """Whether a certificate was made here."""
        return any(one.fingerprint == fingerprint for one in self.issued)

    def made_key(self, key_digest: str) -> bool:
        """Whether a key was made here."""
        return any(one.key_digest == key_digest for one in self.issued)


class StateFile:
    """The state on disk."""

    def __init__(self, base_dir: Path) -> None:
        self.path = base_dir / "data" / "certificate-renewal" / "state.json"

    def load(self) -> State:
        """What is remembered, a new state before the first run; ClientError where it cannot be understood."""
        try:
            content, _ = read_file(self.path)
        except Absent:
            return State()
        try:
            return State.model_validate_json(content)
        except ValidationError as error:
            reason = error.errors(include_input=False, include_url=False)[0]["msg"]
            raise ClientError(f"{self.path} cannot be understood: {reason}") from None

    def save(self, state: State) -> None:
        """Remember a state; OSError where it cannot be written."""
        atomic_write(self.path, state.model_dump_json(indent=1).encode() + b"\n", mode=0o600)

    def set_aside(self, now: datetime) -> Path:
        """Keep a file that could not be understood under another name, and return it."""
        name, attempt = timestamped("state.json.corrupt", now, ""), 0
        while (aside := self.path.with_name(name(attempt))).exists():
            attempt += 1
        self.path.rename(aside)
        sync_directory(self.path.parent)
        return aside
