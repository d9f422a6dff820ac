"""The reports on the disk, found by an index and never by joining a name to a path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.runs import report_index
from exporter.runs.report_index import Kept
from exporter.store import ledger
from exporter.views.moments import told
from exporter.views.sources import Sources
from jobs.core.files import UnfitFile, read_small
from jobs.core.job import Job
from jobs.core.registry import all_jobs

if TYPE_CHECKING:
    from exporter.views.shapes import ReportEntry

MAX_BYTES = 64 << 20
"""No report is longer: a run may answer no more."""
_ORDER = {"json": 0, "html": 1}


def reports(sources: Sources, task: str | None = None) -> list[ReportEntry]:
    """Every report (of one task, if it is given), newest first. Raise OSError, StoreError."""
    base_dir = sources.configuration.settings.base_dir
    found: list[ReportEntry] = []
    for job in all_jobs().values():
        if task in (None, job.name):
            latest = report_index.newest_of(job, base_dir)
            latest_id = latest.id if latest else None
            kept = report_index.reports_of(job, base_dir)
            found += [_entry(sources, one, latest=one.id == latest_id) for one in kept]
    return sorted(found, key=lambda entry: entry["at"], reverse=True)


def newest(sources: Sources) -> list[ReportEntry]:
    """The newest report of each task that has one, by task. Raise OSError, StoreError."""
    return [entry for job in all_jobs().values() if (entry := newest_of(sources, job))]


def newest_of(sources: Sources, job: Job) -> ReportEntry | None:
    """A task's newest report."""
    kept = report_index.newest_of(job, sources.configuration.settings.base_dir)
    return _entry(sources, kept, latest=True) if kept else None


def content(sources: Sources, report_id: str, form: str = "json") -> bytes:
    """A report in one of its forms (`json`, `html`, `sarif`); raise KeyError where there is no such report or form.

    Raise OSError where it cannot be read.
    """
    kept = report_index.find(all_jobs().values(), sources.configuration.settings.base_dir, report_id)
    try:
        return read_small(kept.forms[form], MAX_BYTES)
    except (FileNotFoundError, UnfitFile):
        raise KeyError(report_id) from None


def _entry(sources: Sources, kept: Kept, *, latest: bool) -> ReportEntry:
    # Where the clock was put back, it showed the time of the name twice.
    times = [kept.began.replace(tzinfo=sources.now.tzinfo, fold=fold) for fold in (0, 1)]
    stamps = dict.fromkeys(at.timestamp() for at in times)
    return {
        "id": kept.id,
        "task": kept.task,
        "mode": kept.mode or ledger.mode_of_run(sources.store, kept.task, stamps),
        "at": told(sources, times[0]),
        "formats": sorted(kept.forms, key=lambda form: (_ORDER.get(form, len(_ORDER)), form)),
        "bytes": kept.bytes,
        "latest": latest,
    }
