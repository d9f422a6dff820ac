"""What a check comes to: a state, what was seen, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from exporter.config import Configuration
from exporter.settings import Settings
from jobs.clients import Clients
from jobs.clients.errors import Absent, ClientError


class State(StrEnum):
    """How a thing is, the worst last. Not configured: nobody wants it and it is not there. Unknown: nobody could tell.

    Missing: it is wanted, or something needs it, and it is not there. Broken: it is there and does not do its work.
    """

    GOOD = "good"
    NOT_CONFIGURED = "not configured"
    UNKNOWN = "unknown"
    MISSING = "missing"
    BROKEN = "broken"


FINE = (State.GOOD, State.NOT_CONFIGURED)
"""The states in which there is nothing to do."""


@dataclass(frozen=True)
class Diagnosis:
    """How one thing is. `remedy` is a command to type or a setting to set; `about` names the thing within its check."""

    state: State
    detail: str
    remedy: str = ""
    about: str = ""


@dataclass(frozen=True)
class Patient:
    """What is looked at, and as whom. `clients` have time-outs that end before the deadline of a check.

    `configuration` is None where it has errors, which are its `problems`; `root` is where this host's files begin.
    """

    configuration: Configuration | None
    problems: tuple[str, ...]
    clients: Clients
    environment: Mapping[str, str]
    limit_seconds: float
    root: Path = Path("/")

    @property
    def settings(self) -> Settings:
        """The settings; checks that need them are not made where there are none."""
        return self.known.settings

    @property
    def known(self) -> Configuration:
        """The configuration, where it is known."""
        if self.configuration is None:
            raise ValueError("this check needs a configuration")
        return self.configuration

    @property
    def base_dir(self) -> Path:
        """The base directory."""
        return self.clients.base_dir

    def is_set(self, path: str) -> bool:
        """Whether somebody has set a setting (`textfile.directory`), or one below it."""
        return any(f"{name}.".startswith(f"{path}.") for name in self.known.origins)


Look = Callable[[Patient], Iterable[Diagnosis]]


@dataclass(frozen=True)
class Check:
    """One question about one thing, asked on a thread of its own and under the deadline.

    `clients` are the modules of `jobs.clients` whose service or tool it looks at, `settings` the sections that it
    covers. With `split` every part that it gives is asked by itself, so that one that hangs hides no other.
    """

    name: str
    look: Look
    clients: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    needs_configuration: bool = True
    split: Callable[[Patient], Mapping[str, Look]] | None = None


def good(detail: str, about: str = "") -> Diagnosis:
    """It works."""
    return Diagnosis(State.GOOD, detail, about=about)


def not_configured(detail: str, remedy: str = "", about: str = "") -> Diagnosis:
    """Nobody wants it, and it is not there; the remedy is for whoever does."""
    return Diagnosis(State.NOT_CONFIGURED, detail, remedy, about)


def unknown(detail: str, remedy: str = "", about: str = "") -> Diagnosis:
    """Nobody could tell."""
    return Diagnosis(State.UNKNOWN, detail, remedy, about)


def missing(detail: str, remedy: str, about: str = "") -> Diagnosis:
    """It is wanted and not there."""
    return Diagnosis(State.MISSING, detail, remedy, about)


def broken(detail: str, remedy: str, about: str = "") -> Diagnosis:
    """It is there and does not do its work."""
    return Diagnosis(State.BROKEN, detail, remedy, about)


def failed(error: ClientError, remedy: str, *, configured: bool, about: str = "") -> Diagnosis:
    """What a client's error amounts to; an absent service is a fault only where somebody has `configured` it."""
    if isinstance(error, Absent):
        kind = missing if configured else not_configured
        return kind(str(error), remedy if configured else "", about)
    return broken(str(error), remedy, about)
