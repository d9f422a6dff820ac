"""A request becomes a Record: claimed by a lock, done in a process of its own, entered into the ledger."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from exporter.bridge.outgoing.announcing import news_of
from exporter.config import Configuration
from exporter.locks import Busy, FileLock, run_lock
from exporter.metrics import counters_of
from exporter.process import MAX_ANSWER_BYTES, End, Exit, RunProcess
from exporter.record import CUT_OFF, Record
from exporter.redaction import Redactor
from exporter.reports import prune_reports, write_report
from exporter.retention import may_remove
from exporter.stopping import Stop
from exporter.store import Store, StoreError
from jobs.core.job import Job
from jobs.core.model import Outcome, Request, Result
from jobs.core.ports import Clock
from jobs.core.registry import all_jobs
from jobs.core.settings import AGENT_NAME

logger = logging.getLogger(__name__)
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_LOCK_POLL_SECONDS = 0.1
_MAX_LOG_LINES = 10_000
_MAX_LAST_WORDS = 500


class UnknownRequest(ValueError):
    """There is no such task, mode or target; the message names the nearest."""


class NothingToRun(Exception):
    """What was to be run was claimed by somebody else meanwhile."""


class LedgerError(StoreError):
    """The run was done, but its record could not be entered; it is here."""

    def __init__(self, message: str, record: Record) -> None:
        super().__init__(message)
        self.record = record


@dataclass
class Watcher:
    """Who is told about a run while it is under way; each is optional."""

    started: Callable[[Request, datetime], None] = lambda request, at: None
    progress: Callable[[Request, int, int, str], None] = lambda request, done, total, message: None


@dataclass
class _Answer:
    """What a run has said so far."""

    redactor: Redactor
    request: Request
    watcher: Watcher
    result: Result | None = None
    error: str = ""
    log_lines: list[str] = field(default_factory=list)

    def line(self, line: bytes) -> None:
        """Take one line of the answer; one that is not ours is a fault of the run."""
        try:
            ((kind, content),) = self.redactor.document(json.loads(line)).items()
            self._take(kind, content)
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
            reason = "does not fit" if isinstance(error, ValidationError) else error
            self.error = self.error or f"the run answered nonsense: {reason}"

    def _take(self, kind: str, content: Any) -> None:
        if kind == "progress":
            self.watcher.progress(self.request, content["done"], content["total"], content["message"])
        elif kind == "log":
            level = _LEVELS.get(content["level"], logging.INFO)
            logger.log(level, content["message"], extra={"task": self.request.task})
            if len(self.log_lines) < _MAX_LOG_LINES:
                self.log_lines.append(f"{content['level'].upper():7} {content['message']}")
        elif kind == "result":
            self.result = Result.model_validate(content)
        elif kind == "error":
            self.error = str(content)


def check(request: Request) -> tuple[Job, Request]:
    """The request's job, and the request with its mode filled in; raise UnknownRequest if there is none."""
    jobs = all_jobs()
    if request.task not in jobs:
        raise UnknownRequest(f"no task is called {request.task!r}{_or_rather(request.task, list(jobs))}")
    job = jobs[request.task]
    mode = request.mode or job.modes[0]
    if mode not in job.modes:
        raise UnknownRequest(f"{job.name} has no mode {mode!r}{_or_rather(mode, list(job.modes), 'it has')}")
    if mode in job.needs_target and not request.target:
        raise UnknownRequest(f"{job.name} {mode} is always about one thing: name it as the target")
    if request.target and not AGENT_NAME.fullmatch(request.target):
        raise UnknownRequest(f"{request.target!r} cannot be a target: letters, digits, '_', '.' and '-' only")
    return job, request.model_copy(update={"mode": mode})


class Runner:
    """Runs requests with one configuration; safe to use from many threads.

    With `fork` its runs are copies of this process where that is safe (see RunProcess), and the store is closed
    while one is under way: for a process that runs one thing at a time.
    """

    def __init__(self, configuration: Configuration, store: Store, clock: Clock, *, fork: bool = False) -> None:
        self.configuration = configuration
        self._store = store
        self._clock = clock
        self._fork = fork
        self.stop = threading.Event()
        """Set to end every run that is under way and to start no other."""

    def run(
        self,
        request: Request,
        watcher: Watcher | None = None,
        *,
        wait_seconds: float = 0,
        stop: Stop | None = None,
        claim: Callable[[], Request | None] | None = None,
    ) -> Record:
        """Do what is asked and return the Record, which is then in the ledger (unless it is a dry run).

        A task (with its target) runs once at a time, on all processes that share the base directory: wait
        up to `wait_seconds` for the one that is running, then give up as skipped. `stop` ends this run alone; one
        that is stopped while it waits is entered as stopped. `claim` is asked, once nobody else runs the task, for the
        request to do in place of this one: what it claims in the store is claimed if and only if the run is entered.
        Raise NothingToRun where it gives None; UnknownRequest; StoreError when the ledger cannot
        be written, so that nothing was run; LedgerError when it was.
        """
        job, request = check(request)
        watcher, stop = watcher or Watcher(), stop or Stop(self.stop)
        started = self._clock.now()
        if request.dry_run:
            return self._process(job, request, watcher, stop, 0, started, ())[0]
        try:
            lock = self._lock(request, started, wait_seconds, stop)
        except (Busy, OSError) as error:
            return self._enter_skipped(request, started, error, stop)
        try:
            started = self._clock.now()
            request, run_id = self._begin(request, started, claim)
            watcher.started(request, started)
            record, log_lines = self._process(job, request, watcher, stop, run_id, started, (lock.descriptor,))
            record = self._report(record, job, log_lines)
            try:
                self._finish(record)
            except StoreError as error:
                raise LedgerError(str(error), record) from error
            return record
        finally:
            lock.release()

    def _begin(
        self, request: Request, started: datetime, claim: Callable[[], Request | None] | None
    ) -> tuple[Request, int]:
        """Enter the run, and with it what is claimed for it."""
        with self._store.transaction():
            claimed = claim() if claim else request
            if claimed is None:
                raise NothingToRun
            request = check(claimed)[1]
            return request, self._store.begin_run(request, started, os.getpid())

    def _lock(self, request: Request, started: datetime, wait_seconds: float, stop: Stop) -> FileLock:
        file = run_lock(self.configuration.settings.base_dir, request.task, request.target)
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                return FileLock(file, f"pid {os.getpid()} since {started:%Y-%m-%d %H:%M:%S}")
            except Busy:
                if time.monotonic() >= deadline or stop.wait(_LOCK_POLL_SECONDS):
                    raise

    def _enter_skipped(self, request: Request, started: datetime, error: Busy | OSError, stop: Stop) -> Record:
        if stop.by:
            outcome, reason = Outcome.STOPPED, f"{stop.reason} before it began"
        elif isinstance(error, Busy):
            outcome, reason = Outcome.SKIPPED, f"{request.task} is running already: {error.holder}"
        else:
            outcome, reason = Outcome.ERROR, f"{error.filename}: cannot be locked: {error.strerror}"
        return self.enter(request, outcome, reason, started)

    def enter(self, request: Request, outcome: Outcome, reason: str, started: datetime) -> Record:
        """Enter a run into the ledger that came to nothing."""
        run_id = self._store.begin_run(request, started, os.getpid())
        return self.close(run_id, request, outcome, reason, started)

    def close(self, run_id: int, request: Request, outcome: Outcome, reason: str, started: datetime) -> Record:
        """Complete a run in the ledger that came to nothing."""
        record = Record(
            run_id=run_id,
            request=request,
            outcome=outcome,
            started=started,
            finished=self._clock.now(),
            duration_seconds=0,
            error=reason,
        )
        self._finish(record)
        return record

    def _finish(self, record: Record) -> None:
        """Enter the record and what is news of it: both, or neither."""
        news = news_of(record, self.configuration.settings)
        self._store.finish_run(record, counters_of(record), record.finished, also=news)

    def close_cut_off(self) -> None:
        """Complete in the ledger, as failed, the runs whose process ended before they did."""
        for run_id, request, pid, started in self._store.unfinished_runs():
            try:
                lock = self._lock(request, started, 0, Stop(self.stop))
            except (Busy, OSError):
                continue  # somebody is at it, or nobody can be
            try:
                reason = f"{CUT_OFF}the process that ran it (pid {pid}) ended before it did"
                self.close(run_id, request, Outcome.ERROR, reason, started)
                logger.warning("a run was cut off", extra={"task": request.task, "run": run_id})
            finally:
                lock.release()

    def _process(
        self,
        job: Job,
        request: Request,
        watcher: Watcher,
        stop: Stop,
        run_id: int,
        started: datetime,
        keep_open: tuple[int, ...],
    ) -> tuple[Record, list[str]]:
        settings = self.configuration.settings
        answer = _Answer(Redactor(self.configuration.secrets), request, watcher)
        began = self._clock.monotonic()
        order = {
            "request": request.model_dump(mode="json"),
            "settings": self.configuration.for_run(job.key),
            "store": str(self._store.file),
        }
        limit = float(getattr(settings.jobs, job.key).max_run_seconds)
        if self._fork:
            self._store.close()  # it opens again when the run is entered
        try:
            process = RunProcess(order, run_id, keep_open, fork=self._fork)
            ended = process.listen(
                answer.line, limit_seconds=limit, stop=stop, stop_grace_seconds=settings.runs.stop_grace_seconds
            )
            outcome, reason = _judge(ended, answer, limit, process.pid, stop)
        except OSError as error:
            outcome, reason = Outcome.ERROR, f"no process could be run: {error.strerror}"
        return Record(
            run_id=run_id,
            request=request,
            outcome=outcome,
            started=started,
            finished=self._clock.now(),
            duration_seconds=self._clock.monotonic() - began,
            error=" ".join(answer.redactor.text(reason).split())[:4096],
            result=answer.result if outcome is Outcome.OK else None,
        ), answer.log_lines

    def _report(self, record: Record, job: Job, log_lines: list[str]) -> Record:
        settings = self.configuration.settings
        try:
            report = write_report(record, job, settings.base_dir, log_lines)
            if report and may_remove(settings.base_dir, f"reports-{job.name}", record.finished):
                prune_reports(job, settings.base_dir, settings.reports, record.finished)
        except OSError as error:
            reason = f"the report could not be written: {error.filename}: {error.strerror}"
            return record.model_copy(update={"outcome": Outcome.ERROR, "error": reason})
        kept = record.result and record.result.model_copy(update={"renderings": {}})
        return record.model_copy(update={"report": report, "result": kept})


def _judge(ended: Exit, answer: _Answer, limit_seconds: float, pid: int, stop: Stop) -> tuple[Outcome, str]:
    """Whether a run worked, and if not, why."""
    stuck = f"; pid {pid} survived SIGKILL ({ended.stuck})" if ended.stuck else ""
    if ended.end is End.TIMEOUT:
        return Outcome.TIMEOUT, f"not done after {limit_seconds:g} s; killed with all its children{stuck}"
    if ended.end is End.STOPPED:
        return Outcome.STOPPED, f"{stop.reason}{stuck}"
    if ended.end is End.TOO_LONG:
        return Outcome.ERROR, f"answered more than {MAX_ANSWER_BYTES >> 20} MiB; killed{stuck}"
    if answer.error:
        return Outcome.ERROR, answer.error
    if answer.result is not None and ended.code == 0:
        return Outcome.OK, ""
    printed = answer.redactor.text(ended.output_tail).splitlines()
    last = printed[-1][-_MAX_LAST_WORDS:] if printed else "nothing"
    if ended.oom_killed:
        return Outcome.ERROR, "killed by the kernel: out of memory; give the host or the run more"
    if ended.code is not None and ended.code < 0:
        return Outcome.ERROR, f"killed by signal {-ended.code}; it last printed: {last}"
    return Outcome.ERROR, f"ended with exit code {ended.code} and no result; it last printed: {last}"


def _or_rather(name: str, known: list[str], otherwise: str = "there are") -> str:
    import difflib  # for a mistake alone

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; {otherwise} {', '.join(known)}"
