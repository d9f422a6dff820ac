"""A request becomes a Record: claimed by a lock, done in a process of its own, entered into the ledger."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from datetime import datetime

from exporter.bridge.outgoing.announcing import news_of
from exporter.config import Configuration
from exporter.locks import Busy, FileLock, run_lock
from exporter.metrics import counters_of
from exporter.plan import cadences_of
from exporter.processes.process import OwnProcess
from exporter.record import CUT_OFF, Record
from exporter.redaction import Redactor
from exporter.retention import may_remove
from exporter.runs.answer import Answer, Watcher, judge
from exporter.runs.asking import check
from exporter.runs.reports import prune_reports, write_report
from exporter.runs.stopping import Stop
from exporter.runs.tickets import Claim
from exporter.slots import give_back
from exporter.store import Store, StoreError
from jobs.core.job import Job
from jobs.core.model import Outcome, Request
from jobs.core.ports import Clock
from jobs.core.registry import all_jobs

logger = logging.getLogger(__name__)
_LOCK_POLL_SECONDS = 0.1
_INSIDE = "exporter.runs.child"
"""The module that a run's process is made of."""


class NothingToRun(Exception):
    """What was to be run was claimed by somebody else meanwhile."""


class LedgerError(StoreError):
    """The run was done, but its record could not be entered; it is here."""

    def __init__(self, message: str, record: Record) -> None:
        super().__init__(message)
        self.record = record


class Runner:
    """Runs requests with one configuration; safe to use from many threads.

    With `fork` its runs are copies of this process where that is safe (see OwnProcess), and the store is closed
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
        claim: Claim | None = None,
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
            return self._enter_skipped(request, started, error, stop, claim)
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

    def _begin(self, request: Request, started: datetime, claim: Claim | None) -> tuple[Request, int]:
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

    def _enter_skipped(
        self, request: Request, started: datetime, error: Busy | OSError, stop: Stop, claim: Claim | None
    ) -> Record:
        if stop.by:
            return self.enter(request, Outcome.STOPPED, f"{stop.reason} before it began", started, claim)
        if isinstance(error, Busy):
            outcome, reason = Outcome.SKIPPED, f"{request.task} is running already: {error.holder}"
        else:
            outcome, reason = Outcome.ERROR, f"{error.filename}: cannot be locked: {error.strerror}"
        return self.enter(request, outcome, reason, started)

    def enter(
        self, request: Request, outcome: Outcome, reason: str, started: datetime, claim: Claim | None = None
    ) -> Record:
        """Enter a run into the ledger that came to nothing; with `claim` what it was for is claimed with it."""
        with self._store.transaction():
            if claim:
                claim()
            # In one with its end: without a lock it would be taken for one that was cut off.
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
        """Enter the record and what is news of it, and give its slot back where it was cut short: all, or nothing."""
        news = news_of(record, self.configuration.settings)

        def also(db: sqlite3.Connection) -> None:
            news(db)
            if record.is_cut_short:
                self._give_back(record)

        self._store.finish_run(record, counters_of(record), record.finished, also=also)

    def _give_back(self, record: Record) -> None:
        task = record.request.task
        cadences = cadences_of(self.configuration, task) if task in all_jobs() else ()
        if give_back(self._store, record.request, cadences, record.finished):
            logger.warning("its slot is free again", extra={"task": task, "slot": record.request.reason})

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
        answer = Answer(Redactor(self.configuration.secrets), request, watcher)
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
            process = OwnProcess(order, run_id, _INSIDE, keep_open, fork=self._fork)
            watcher.under_way()
            ended = process.listen(
                answer.line, limit_seconds=limit, stop=stop, stop_grace_seconds=settings.runs.stop_grace_seconds
            )
            outcome, reason = judge(ended, answer, limit, process.pid, stop)
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
