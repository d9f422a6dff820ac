"""One run: look, plan, do what was planned, and tell what came of it."""

from __future__ import annotations

import contextlib
import os
import resource
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from jobs.clients.open_files import OpenFiles, look
from jobs.core.cadence import Cadence
from jobs.core.job import JobError
from jobs.core.model import Action, Result, clean_message
from jobs.logs import figures
from jobs.logs.archives import Archive, Archives, remove_archive
from jobs.logs.containers import LABEL, ContainerLogs, read_containers
from jobs.logs.memory import Memory, State
from jobs.logs.places import Place, Refused, identity
from jobs.logs.plan import Rules, Step, is_due, plan_cap, plan_logs, plan_retention
from jobs.logs.recovery import recover
from jobs.logs.scan import Found, Log, Reopen, Source, scan, skip
from jobs.logs.settings import LogDirectory, Settings
from jobs.logs.telling import Outcome, Seen, Telling
from jobs.logs.work import Rotated, Work

if TYPE_CHECKING:
    from jobs.clients import Clients

TASK = "log-rotation"
_MB, _GB = 1 << 20, 1 << 30
_RESERVE_SECONDS = 30.0


class Rotation:
    """A run in one of its modes: `rotates` says whether logs are touched at all."""

    def __init__(
        self,
        settings: Settings,
        clients: Clients,
        *,
        cadences: Sequence[Cadence],
        mode: str,
        rotates: bool,
        enforces_cap: bool,
        dry_run: bool,
    ) -> None:
        self.settings, self.clients, self.cadences = settings, clients, cadences
        self.mode, self.rotates, self.enforces_cap, self.dry_run = mode, rotates, enforces_cap, dry_run
        self.began = clients.clock.monotonic()
        self.own_directory = clients.base_dir.resolve() / "logs"
        self.memory = Memory(clients.base_dir)
        self.rules = Rules(
            settings.max_log_size_mb * _MB, settings.max_container_log_size_mb * _MB, settings.max_log_age_days * 86400
        )
        self.cap_bytes = int(settings.max_total_log_size_gb * _GB)
        self.outcome = Outcome(rotates=rotates, enforces_cap=enforces_cap, dry_run=dry_run, cap_bytes=self.cap_bytes)

    def result(self) -> Result:
        """Look at everything, do what is to be done, and say so."""
        _allow_many_files()
        with ExitStack() as stack:
            self.archives = Archives(self.clients.base_dir, stack, self.settings.min_free_mb * _MB)
            self.places = self._archive_places()
            if self.rotates:
                self._recover()
            found, containers = self._look(stack)
            logs = [*found.logs, *containers.logs]
            due = [(log, why) for log in logs if (why := is_due(log, self.rules, self.clients.clock.now()))]
            open_files = look({log.key for log, _ in due} if self.rotates else ())
            if self.rotates:
                self.outcome.skips += [*found.skips, *containers.skips]
                self._rotate(due, logs, open_files)
                logs = _refreshed(logs)
            labels = [source.label for source in self._sources() if source.label not in found.unseen_labels]
            labels += [LABEL] if containers.asked else []
            archives = self.archives.listed(self.places)
            return self._conclude(Seen(found, containers, logs, labels, open_files, archives))

    # Looking

    def _archive_places(self) -> list[Place]:
        try:
            return self.archives.places()
        except (OSError, Refused) as error:
            raise JobError(f"the archives cannot be used: {error}; {skip(self.archives.path, error).remedy}") from None

    def _look(self, stack: ExitStack) -> tuple[Found, ContainerLogs]:
        avoid = {identity(os.fstat(place.descriptor)) for place in self.places}
        found = scan(self._sources(), avoid, stack)
        containers = ContainerLogs()
        if self.settings.docker_logs:
            containers = read_containers(self.clients.docker, stack)
        return found, containers

    def _sources(self) -> list[Source]:
        entries = self.settings.directories
        if entries is None:
            own = self.clients.base_dir / "logs"
            return [Source(own, ("*.log",), str(own), required=False)]
        return [self._source(entry) for entry in entries]

    def _source(self, entry: LogDirectory) -> Source:
        path = self.clients.base_dir / entry.directory
        reopen = Reopen(entry.signal or "", entry.command or ())
        return Source(path, entry.patterns, str(path), entry.recursive, reopen)

    # Doing

    def _recover(self) -> None:
        if self.dry_run:
            if self.memory.pending():
                self._act("finish", "the run that was cut off", "", done=False)
            return
        try:
            self.archives.remove_leftovers(self.clients.clock.now())
            self.outcome.recovered = recover(self.archives, self.memory)
        except (OSError, Refused) as error:
            raise JobError(f"nothing can be archived: {skip(self.archives.path, error).message}") from error
        if self.outcome.recovered:
            self._say("warning", f"the last run was cut off; {self.outcome.recovered}")

    def _rotate(self, due: Sequence[tuple[Log, str]], logs: Sequence[Log], open_files: OpenFiles) -> None:
        steps, skips = plan_logs(due, self.rules, open_files.writers)
        self.outcome.skips += skips
        archives = self.archives.listed(self.places)
        old = self._old_archives(archives)
        if self.dry_run:
            self._plan_only(steps, archives, old, sum(log.size for log in logs))
            return
        work = self._work(sum(step.size for step in steps))
        for step in steps:
            self._do(work, step, open_files)
        self._delete(old, figures.AGE)
        if self.enforces_cap:
            left = self.archives.listed(self._archive_places())
            self._delete(plan_cap(left, sum(log.size for log in _refreshed(logs)), self.cap_bytes), figures.CAP)
        self.places = self._archive_places()

    def _plan_only(self, steps: Sequence[Step], archives: list[Archive], old: list[Archive], log_bytes: int) -> None:
        for step in steps:
            self._act(step.how.value, str(step.log.path), f"{step.size} bytes; {step.why}", done=False)
        self._act_deletions(old, figures.AGE)
        if self.enforces_cap:
            # What the logs will take as archives cannot be known before: the plan counts it as nothing.
            left = [archive for archive in archives if archive not in old]
            remaining = log_bytes - sum(step.size for step in steps)
            self._act_deletions(plan_cap(left, remaining, self.cap_bytes), figures.CAP)

    def _act_deletions(self, archives: Sequence[Archive], reason: str) -> None:
        for archive in archives:
            self._act("delete", str(archive.place.path / archive.name), reason, done=False)

    def _old_archives(self, archives: Sequence[Archive]) -> list[Archive]:
        now = self.clients.clock.now()
        self.outcome.clock_jump = self.clients.clock_marks.jump(TASK, now)
        if self.outcome.clock_jump is not None:
            return []
        return plan_retention(archives, self.settings.delete_archives_days * 86400, now)

    def _work(self, total_bytes: int) -> Work:
        def progress(log: Log, done: int) -> None:
            moved = sum(one.written.packed.content_bytes for one in self.outcome.rotated)
            self.clients.report.progress((moved + done) // _MB, max(1, total_bytes // _MB), log.name)

        def done(rotated: Rotated) -> None:
            self.outcome.rotated.append(rotated)
            packed = rotated.written.packed
            inside = "" if rotated.whole_lines else ", cut inside a line"
            detail = f"{packed.content_bytes} bytes to {rotated.written.name}{inside}; sha256 {packed.sha256}"
            self._act(rotated.how.value, str(rotated.log.path), detail, done=True)

        clock = self.clients.clock
        return Work(self.archives, self.memory, self.own_directory, clock.now, self._is_late, progress, done)

    def _do(self, work: Work, step: Step, open_files: OpenFiles) -> None:
        log = step.log
        try:
            if self._is_late():
                raise Refused("out_of_time", f"{log.path}: left to the next run, this one has had its time")
            self._say("info", f"{step.how} {log.path}: {step.size} bytes, {step.why}")
            limit = self.rules.max_container_size if log.whole_lines_only else self.rules.max_size
            work.do(step, open_files.writers, limit)
        except (OSError, Refused) as error:
            self.outcome.skips.append(skip(log.path, error))
            self._say("warning", self.outcome.skips[-1].message)

    def _delete(self, archives: Sequence[Archive], reason: str) -> None:
        for archive in archives:
            path = archive.place.path / archive.name
            self._say("info", f"delete {path}: {reason}")
            try:
                remove_archive(archive)
            except OSError as error:
                self.outcome.skips.append(skip(path, error))
                continue
            self.outcome.deleted[reason] += 1
            self._act("delete", str(path), reason, done=True)

    def _act(self, verb: str, subject: str, detail: str, *, done: bool) -> None:
        self.outcome.actions.append(Action(verb=verb, subject=subject, detail=detail, done=done))

    def _say(self, level: str, message: str) -> None:
        # Names of files are other people's: no control characters, no second line.
        self.clients.report.log(level, str(clean_message(" ".join(message.split()))))

    def _is_late(self) -> bool:
        spent = self.clients.clock.monotonic() - self.began
        return spent > self.settings.max_run_seconds - min(_RESERVE_SECONDS, self.settings.max_run_seconds / 4)

    # Telling

    def _conclude(self, seen: Seen) -> Result:
        state, now = self.memory.state(), self.clients.clock_marks.at(self.clients.clock.now())
        sizes = figures.sizes(seen.logs, seen.labels)
        grown_from = figures.sizes([*seen.found.logs, *seen.containers.logs], seen.labels)
        growth = figures.growth(state, grown_from, now)
        skipped = dict(Counter(one.reason for one in self.outcome.skips)) if self.rotates else state.skipped
        if not self.dry_run:
            kept, since = figures.measured_from(state, grown_from, sizes, now)
            self._save(replace(state, sizes=kept, sizes_at=since, growth=growth, skipped=skipped))
        return Telling(self.settings, self.clients, self.mode, seen, self.outcome, sizes, growth, skipped).result(
            [source.directory for source in self._sources()], self._next()
        )

    def _save(self, state: State) -> None:
        now = self.clients.clock.now()
        try:
            if self.rotates:
                self.clients.clock_marks.set(TASK, now)
                state = replace(state, rotated_at=now.isoformat(timespec="seconds"))
            self.memory.save(state)
        except OSError as error:
            raise JobError(f"what was done cannot be put down: {error.filename}: {error.strerror}") from error

    def _next(self) -> datetime:
        cadences = [cadence for cadence in self.cadences if cadence.mode != "watch"] or self.cadences
        now = self.clients.clock.now()
        return min(cadence.next_time(now) for cadence in cadences)


def _refreshed(logs: Sequence[Log]) -> list[Log]:
    """The logs as they are now; those that are gone are left out."""
    found = []
    for log in logs:
        with contextlib.suppress(OSError):
            found.append(replace(log, status=log.place.status(log.name)))
    return found


def _allow_many_files() -> None:
    """Directories stay open for as long as their logs are worked on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1 << 16) if hard > 0 else 1 << 16, hard))
