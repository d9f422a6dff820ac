"""What certificate renewal remembers between runs: data/certificate-renewal/state.json, and when it cannot be read.

It is how a certificate is known to be our own: one that is not in here is somebody else's, and left alone.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from jobs.clients.certificates import read_file
from jobs.clients.errors import Absent, ClientError
from jobs.core.files import atomic_write, sync_directory, timestamped
from jobs.core.model import Value

MAX_ISSUED = 50


class Issued(Value):
    """A certificate that was made here: its fingerprint and the digest of its key."""

    fingerprint: str
    key_digest: str
    at: datetime


class Switch(Value):
    """A switch that was begun: from version `previous` (empty: none) to `version`."""

    version: str
    previous: str = ""


class State(Value):
    """Everything that is remembered.

    `switching` is there from before a switch until services have taken it; `last_run` and `last_error` are of the last
    run that renews what is due.
    """

    issued: tuple[Issued, ...] = ()
    switching: Switch | None = None
    previous: str = ""
    last_renewal: datetime | None = None
    last_run: datetime | None = None
    last_error: str = ""

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
