"""What an installation changes, as values: shown by a dry run, else carried out in order, and undone if one fails."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from exporter.failure import EXIT_UNAVAILABLE, Failure
from jobs.clients import commands
from jobs.clients.errors import ClientError
from jobs.core.files import atomic_create, atomic_write, sync_directory, timestamped

COMMAND_SECONDS = 120


class Step(Protocol):
    """One change. `do` and `undo` raise OSError, ClientError or Failure."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""

    @property
    def title(self) -> str:
        """What was done, to what."""

    def preview(self) -> list[str]:
        """More of what would be done, in lines."""

    def do(self) -> None:
        """Do it."""

    def undo(self) -> None:
        """Undo it."""


@dataclass(frozen=True)
class FileChange:
    """A file is made, changed or, where `after` is None, removed; `before` is what was read of it."""

    path: Path
    before: bytes | None
    after: bytes | None
    mode: int = 0o644

    @property
    def idle(self) -> bool:
        """Whether it is as it should be."""
        return self.before == self.after

    @property
    def title(self) -> str:
        """What becomes of it."""
        if self.idle:
            return f"unchanged: {self.path}"
        return f"{'made' if self.before is None else 'removed' if self.after is None else 'changed'}: {self.path}"

    def preview(self) -> list[str]:
        """The difference."""
        return difference(str(self.path), self.before, self.after)

    def do(self) -> None:
        """Write or remove it, if it still is as it was read."""
        if _content(self.path) != self.before:
            raise Failure(f"{self.path}: changed meanwhile; run this again", EXIT_UNAVAILABLE)
        self._put(self.after)

    def undo(self) -> None:
        """Put back what was there."""
        self._put(self.before)

    def _put(self, content: bytes | None) -> None:
        if content is not None:
            atomic_write(self.path, content, mode=self.mode)
        else:
            self.path.unlink(missing_ok=True)
            sync_directory(self.path.parent)


@dataclass(frozen=True)
class Kept:
    """A copy of what is about to be replaced, under a name of its own."""

    directory: Path
    stem: str
    content: bytes
    at: datetime
    idle: bool = False

    @property
    def title(self) -> str:
        """What is kept, and where."""
        return f"kept: what was there before, in {self.directory}/{self.stem}_{self.at:%Y%m%d_%H%M%S}"

    def preview(self) -> list[str]:
        """Nothing more than its title."""
        return []

    def do(self) -> None:
        """Write the copy."""
        atomic_create(self.directory, timestamped(self.stem, self.at, ""), self.content, mode=0o600)

    def undo(self) -> None:
        """Leave it: a copy harms nobody."""


@dataclass(frozen=True)
class Directory:
    """A directory is made, with this mode, for this owner."""

    path: Path
    mode: int
    owner: str = ""
    idle: bool = False

    @property
    def title(self) -> str:
        """That it is made."""
        return f"made: {self.path}/" + (f" (for {self.owner})" if self.owner else "")

    def preview(self) -> list[str]:
        """Nothing more than its title."""
        return []

    def do(self) -> None:
        """Make it, and those above it."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(self.mode)
        if self.owner:
            import shutil

            shutil.chown(self.path, self.owner, self.owner)

    def undo(self) -> None:
        """Remove it: nothing was put there."""
        self.path.rmdir()


@dataclass(frozen=True)
class Command:
    """A program is run; `reverse` is the one that undoes it. Where `may_fail`, what it says then is passed over."""

    argv: tuple[str, ...]
    reverse: tuple[str, ...] = ()
    may_fail: bool = False
    idle: bool = False

    @property
    def title(self) -> str:
        """The command."""
        return f"ran: {' '.join(self.argv)}"

    def preview(self) -> list[str]:
        """Nothing more than its title."""
        return []

    def do(self) -> None:
        """Run it."""
        commands.run(self.argv, timeout_seconds=COMMAND_SECONDS, check=not self.may_fail)

    def undo(self) -> None:
        """Run what undoes it."""
        if self.reverse:
            commands.run(self.reverse, timeout_seconds=COMMAND_SECONDS)


@dataclass(frozen=True)
class Plan:
    """What is to be done in order, what a person should know first, and what they have to do themselves."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()

    def preview(self) -> list[str]:
        """What would be done, in lines."""
        lines = []
        for step in self.steps:
            lines += [step.title if step.idle else f"would be {step.title}".replace("be ran:", "run:"), *step.preview()]
        return lines

    def carry_out(self) -> list[str]:
        """Do it and say what was done; raise Failure, which says what could not be undone."""
        done: list[Step] = []
        for step in self.steps:
            try:
                if not step.idle:
                    step.do()
            except (OSError, ClientError, Failure) as error:
                undone = _undo(done)
                raise Failure(f"{_told(step, error)}; {undone}", EXIT_UNAVAILABLE) from None
            done.append(step)
        return [step.title for step in self.steps]


def _undo(done: Sequence[Step]) -> str:
    stuck = []
    changed = [step for step in done if not step.idle]
    for step in reversed(changed):
        try:
            step.undo()
        except (OSError, ClientError, Failure) as error:
            stuck.append(f"{step.title} ({_reason(error)})")
    if stuck:
        return f"what was done before was undone, but for this: {', '.join(stuck)}"
    return "what was done before was undone" if changed else "nothing was changed"


def _told(step: Step, error: Exception) -> str:
    what = step.title.partition(": ")[2]
    reason = _reason(error)
    return reason if what in reason else f"{what}: {reason}"


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def difference(name: str, before: bytes | None, after: bytes | None) -> list[str]:
    """The lines of a unified difference; bytes that are no text are shown escaped."""
    old, new = (
        [] if content is None else content.decode(errors="backslashreplace").split("\n") for content in (before, after)
    )
    origin = os.devnull if before is None else name
    target = os.devnull if after is None else name
    return list(difflib.unified_diff(old, new, origin, target, lineterm=""))
