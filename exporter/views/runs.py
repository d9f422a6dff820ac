"""Runs that are over, and runs that are under way."""

from __future__ import annotations

import os
import stat
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.record import Record
from exporter.runs.under_way import under_way as live_runs
from exporter.store import ledger
from exporter.views.moments import told
from exporter.views.sources import Sources
from jobs.core.model import Request, Trigger, clean_message

if TYPE_CHECKING:
    from exporter.views.shapes import RunEntry, RunningEntry

_BY_THE_CLOCK = (Trigger.SCHEDULE, Trigger.CATCH_UP, Trigger.START, Trigger.FOLLOW_UP)


def runs(sources: Sources, task: str | None, limit: int) -> list[RunEntry]:
    """The newest runs that are over, newest first."""
    return [run_entry(sources, record) for record in ledger.brief(sources.store, task, limit)]


def run_entry(sources: Sources, record: Record) -> RunEntry:
    """A run that is over."""
    request, result = record.request, record.result
    return {
        "run_id": record.run_id,
        "task": request.task,
        "mode": request.mode,
        "target": request.target,
        "trigger": request.trigger.value,
        "why": why(request),
        "outcome": record.outcome.value,
        "started": told(sources, record.started),
        "finished": told(sources, record.finished),
        "duration_seconds": record.duration_seconds,
        "status": result.status if result else "",
        "summary": result.summary if result else "",
        "error": record.error,
        "findings": len(result.findings) if result else 0,
        "report": _report_id(sources, record),
    }


def why(request: Request) -> str:
    """Who or what asked for a run; of the schedule the trigger says it all."""
    return str(request.trigger) if request.trigger in _BY_THE_CLOCK else request.reason or str(request.trigger)


def _report_id(sources: Sources, record: Record) -> str | None:
    """The id of a run's report, as long as that is there."""
    if not record.report:
        return None
    file = sources.configuration.settings.base_dir / record.report
    try:
        return Path(record.report).stem if stat.S_ISREG(file.lstat().st_mode) else None
    except (OSError, ValueError):
        return None


def running(sources: Sources, task: str, elsewhere: dict[str, tuple[datetime, bool]]) -> RunningEntry | None:
    """The run of a task that is under way, here or (as `under_way` found) elsewhere."""
    progress = sources.progress_of(task)
    if progress:
        return {
            "since": told(sources, progress.since),
            "done": int(progress.done),
            "total": int(progress.total),
            "ratio": progress.ratio if progress.total > 0 else None,
            "message": str(clean_message(progress.message)),
            "ours": True,
        }
    if task not in elsewhere:
        return None
    since, ours = elsewhere[task]
    return {"since": told(sources, since), "done": 0, "total": 0, "ratio": None, "message": "", "ours": ours}


def under_way(sources: Sources) -> dict[str, tuple[datetime, bool]]:
    """When the run of each task began that is under way in whatever process, and whether that is this one."""
    found = live_runs(sources.store, sources.configuration.settings.base_dir)
    return {one.request.task: (one.started, one.pid == os.getpid()) for one in found}
