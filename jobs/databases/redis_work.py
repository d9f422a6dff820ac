"""Does what is due for a Redis: defragments, gives memory back, saves. It touches no key and no file of settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.clients.errors import ClientError, Refused
from jobs.core.model import Action, Finding, Severity
from jobs.core.redis import Figures
from jobs.databases.redis_judgement import SUBJECT, Step, Verb, finding
from jobs.databases.redis_reading import read_figures
from jobs.databases.redis_settings import RedisMaintenance
from jobs.databases.state import Corrupt, Memory

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.clients.redis_session import Session

ACTIVE_DEFRAG = "activedefrag"
_RESTART = "a restart gives the memory back"
_LOOK_SECONDS = 0.5
_SETTLED_RATIO = 1.1
"""What Redis itself aims at (active-defrag-threshold-lower); stopping at our own limit would begin anew each day."""
_IDLE_LOOKS = 20
"""A server that has not begun after ten seconds (it decides once a second) finds by its own settings nothing to do."""


@dataclass
class Work:
    """What came of the steps. `pause` is how to wait; `save_seconds` is None unless a save was made."""

    session: Session
    clients: Clients
    settings: RedisMaintenance
    pause: Callable[[float], None] = time.sleep
    actions: list[Action] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    save_seconds: float | None = None
    failed: bool = False

    def do(self, step: Step) -> None:
        """Do one step; what the server refuses or fails at is a finding, and the next step is not its business."""
        doing = {
            Verb.PUT_BACK: self._put_back,
            Verb.DEFRAGMENT: self._defragment,
            Verb.PURGE: self._purge,
            Verb.SAVE: self._save,
        }[step.verb]
        self.clients.report.log("info", f"Redis at {self.session.where}: {step.verb}: {step.reason}")
        try:
            done = doing()
        except Refused as error:
            self.findings.append(finding(f"{step.verb}_refused", Severity.MEDIUM, str(error)))
        except (ClientError, OSError) as error:
            self.failed = True
            self.findings.append(finding(f"{step.verb}_failed", Severity.HIGH, str(error)))
        else:
            if done:
                self.actions.append(Action(verb=step.verb, subject=SUBJECT, detail=done, done=True))
                self.clients.report.log("info", f"Redis at {self.session.where}: {step.verb}: {done}")

    # Defragmentation

    def _put_back(self) -> str:
        former = left_changed(self.clients.base_dir, self.session.where)
        self.session.configure(ACTIVE_DEFRAG, former)
        _memory(self.clients.base_dir).save({})
        return f"{ACTIVE_DEFRAG} {former}"

    def _defragment(self) -> str:
        former = self.session.configured(ACTIVE_DEFRAG)
        if former not in ("yes", "no"):
            raise Refused(f"Redis at {self.session.where} knows no active defragmentation; {_RESTART}")
        if former == "yes":
            message = f"Redis at {self.session.where} is fragmented although it defragments by itself"
            remedy = "look at its active-defrag-* settings: thresholds, cycles"
            self.findings.append(finding("defrag_by_itself", Severity.LOW, message, remedy))
            return ""
        before = read_figures(self.session)
        with self._switched_on(former):
            after = self._watch()
        freed = _fragmented(before) - _fragmented(after)
        return f"{_megabytes(_fragmented(before))} were lost between data, {_megabytes(freed)} of them no longer"

    @contextmanager
    def _switched_on(self, former: str) -> Iterator[None]:
        """Active defragmentation, then the former setting: a file remembers that, should this run be killed."""
        memory = _memory(self.clients.base_dir)
        memory.save({self.session.where: former})
        try:
            self.session.configure(ACTIVE_DEFRAG, "yes")
        except Refused as error:
            memory.save({})
            if "cannot be enabled" in str(error):
                why = f"it was not built with its own jemalloc; {_RESTART}"
                raise Refused(f"Redis at {self.session.where} cannot defragment: {why}") from None
            raise
        try:
            yield
        finally:
            # The connection may be what failed.
            with self.clients.redis.session() as fresh:
                fresh.configure(ACTIVE_DEFRAG, former)
            memory.save({})

    def _watch(self) -> Figures:
        """Look on until memory is in order, the time is over, or the server finds nothing more to do."""
        began, idle = self.clients.clock.monotonic(), 0
        limit = self.settings.redis_defrag_seconds
        while True:
            figures = read_figures(self.session)
            spent = self.clients.clock.monotonic() - began
            self.clients.report.progress(int(min(spent, limit)), int(limit) or 1, "defragmenting Redis")
            idle = 0 if figures.memory.defragmenting else idle + 1
            settled = (figures.memory.fragmentation_ratio or 0) <= _SETTLED_RATIO
            if settled or spent >= limit or idle >= _IDLE_LOOKS:
                return figures
            self.pause(_LOOK_SECONDS)

    # Giving memory back

    def _purge(self) -> str:
        before = read_figures(self.session).memory
        self.session.ask("MEMORY", "PURGE")
        # The server looks at its own memory ten times a second.
        self.pause(_LOOK_SECONDS)
        after = read_figures(self.session).memory
        return f"the process had {_megabytes(before.resident_bytes)} and has {_megabytes(after.resident_bytes)}"

    # Saving

    def _save(self) -> str:
        began, before = self.clients.clock.monotonic(), read_figures(self.session).persistence
        limit = self.settings.redis_save_timeout_seconds
        begun = before.saving or self._begin_save()
        while True:
            kept, spent = read_figures(self.session).persistence, self.clients.clock.monotonic() - began
            has_failed = before.save_ok and not kept.save_ok
            begun = begun or kept.saving or kept.last_save != before.last_save or has_failed
            if begun and not kept.saving:
                break
            if spent >= limit:
                raise ClientError(f"Redis at {self.session.where}: the save has not ended within {limit:g} s")
            self.clients.report.progress(int(spent), int(limit) or 1, "Redis saves")
            self.pause(_LOOK_SECONDS)
        if not kept.save_ok:
            raise ClientError(f"Redis at {self.session.where}: the save failed; its log says why")
        self.save_seconds = spent
        return f"{before.changes} changes saved in {spent:.1f} s"

    def _begin_save(self) -> bool:
        """Ask for a save; False where it is put off until an append-only file is rewritten."""
        try:
            reply = self.session.ask("BGSAVE", "SCHEDULE")
        except Refused:
            raise
        except ClientError as error:
            if "already in progress" not in str(error):
                raise
            return True
        return "scheduled" not in str(reply)


def left_changed(base_dir: Path, where: str) -> str:
    """The former value of the setting that a run which was killed has left changed; empty where none has.

    Raises ClientError where what was remembered cannot be understood.
    """
    memory = _memory(base_dir)
    try:
        former = memory.load().get(where, "")
    except (Corrupt, OSError) as error:
        raise ClientError(
            f"whether {ACTIVE_DEFRAG} must be put back is unknown ({error}); look at it and remove {memory.path}"
        ) from None
    return former if former in ("yes", "no") else ""


def _memory(base_dir: Path) -> Memory:
    return Memory(base_dir, "redis")


def _fragmented(figures: Figures) -> int:
    return figures.memory.fragmented_bytes or 0


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
