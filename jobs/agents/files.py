"""The agent monitor's files: what it remembers of each agent, who is at work on it, and evidence of failures.

data/agent-monitor/NAME.json                 memory; NAME.json.corrupt-TS once it could not be read
data/agent-monitor/NAME.lock                 held by the run that decides about the agent and acts on it
data/agent-monitor/evidence/NAME_TS.json     what was found before a restart
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from jobs.core.agents.record import AgentRecord, parse_record, render_record
from jobs.core.containers import clean
from jobs.core.files import UnfitFile, atomic_create, atomic_write, read_small, set_aside, timestamped
from jobs.core.settings import AGENT_NAME

MAX_STATE_BYTES = 65536
_SUFFIX = ".json"


class CorruptState(Exception):
    """A state file that does not hold a state; the message says why."""


class AgentFiles:
    """The files below `base_dir`. All methods but `names` raise OSError where the file system refuses."""

    def __init__(self, base_dir: Path) -> None:
        self.directory = base_dir / "data" / "agent-monitor"

    def names(self) -> list[str]:
        """The agents that something is remembered of; none where that cannot be read (`lock` will say why)."""
        try:
            found = [entry.name for entry in self.directory.iterdir()]
        except OSError:
            return []
        names = (name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX))
        return sorted(name for name in names if AGENT_NAME.fullmatch(name))

    def load(self, name: str) -> AgentRecord | None:
        """What is remembered of an agent, None before its first run; CorruptState where it cannot be understood."""
        try:
            content = read_small(self._state(name), MAX_STATE_BYTES)
        except FileNotFoundError:
            return None
        except UnfitFile as error:
            raise CorruptState(str(error)) from error
        try:
            return parse_record(content, name)
        except (ValueError, RecursionError) as error:
            raise CorruptState(clean(" ".join(str(error).split()), 200)) from error

    def save(self, record: AgentRecord) -> None:
        """Remember a record in place of the one before."""
        atomic_write(self._state(record.agent_name), render_record(record))

    def set_aside(self, name: str, now: datetime) -> Path:
        """Keep a corrupt state file under a name that says so, and return it."""
        return set_aside(self._state(name), now)

    @contextmanager
    def lock(self, name: str) -> Iterator[bool]:
        """Whether this run is the only one that is at work on the agent, for as long as the context lasts.

        The kernel lets go of it when the process ends, however it ends.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self.directory / f"{name}.lock", flags, 0o600)
        try:
            yield _try_lock(descriptor)
        finally:
            os.close(descriptor)

    def save_evidence(self, name: str, now: datetime, evidence: Mapping[str, Any], keep: int) -> Path:
        """Write evidence to a file of its own, keep the newest `keep` of this agent, and return the new one.

        It holds whatever a container wrote to its log, so only the owner may read it.
        """
        directory = self.directory / "evidence"
        # ASCII only: control characters and what was not UTF-8 come out as JSON escapes.
        content = json.dumps(evidence, indent=1, ensure_ascii=True, default=str).encode() + b"\n"
        written = atomic_create(directory, timestamped(name, now, _SUFFIX), content, mode=0o600)
        for old in _evidence_of(directory, name)[:-keep]:
            if old != written:
                old.unlink(missing_ok=True)
        return written

    def _state(self, name: str) -> Path:
        return self.directory / f"{name}{_SUFFIX}"


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _evidence_of(directory: Path, name: str) -> list[Path]:
    """The evidence files of one agent, oldest first."""
    pattern = re.compile(re.escape(name) + r"_(\d{8}_\d{6})(?:_(\d{1,9}))?\.json")
    found = [(match, entry) for entry in directory.iterdir() if (match := pattern.fullmatch(entry.name))]
    return [entry for _, entry in sorted(found, key=lambda pair: (pair[0][1], int(pair[0][2] or 1)))]
