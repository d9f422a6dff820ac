"""Reports and run logs on disk: a file of its own for each run, a link to the newest, and an end to old ones."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from exporter.record import Record
from exporter.settings import ReportsSettings
from jobs.core.files import atomic_create, atomic_symlink, timestamped
from jobs.core.job import Job

logger = logging.getLogger(__name__)


def write_report(record: Record, job: Job, base_dir: Path, log_lines: Sequence[str]) -> str:
    """Write a run's report and log, if it has them; return the report's path relative to the base directory.

    The file is new under all circumstances, the link changes in one step; raise OSError if either fails.
    """
    files = job.report
    if files is None or record.result is None or record.result.report is None:
        return ""
    started = record.started
    text = json.dumps(record.result.report, indent=2, ensure_ascii=False)
    name = timestamped(files.stem, started, ".json")
    report = atomic_create(base_dir / files.directory, name, text.encode() + b"\n")
    link = base_dir / files.link
    link.parent.mkdir(parents=True, exist_ok=True)
    atomic_symlink(link, str(Path(*[".."] * len(Path(files.link).parent.parts), files.directory, report.name)))
    if files.log_stem:
        log = "".join(f"{line}\n" for line in log_lines).encode()
        atomic_create(base_dir / "logs", timestamped(files.log_stem, started, ".log"), log)
    return str(report.relative_to(base_dir))


def prune_reports(job: Job, base_dir: Path, settings: ReportsSettings, now: datetime) -> list[Path]:
    """Remove a job's reports and run logs beyond their number or age; the newest of each stays. Return them."""
    if job.report is None:
        return []
    kinds = [(base_dir / job.report.directory, job.report.stem, ".json")]
    if job.report.log_stem:
        kinds.append((base_dir / "logs", job.report.log_stem, ".log"))
    removed = []
    for directory, stem, suffix in kinds:
        for file in _outdated(directory, stem, suffix, settings, now):
            file.unlink(missing_ok=True)
            logger.info("removed old report", extra={"file": str(file)})
            removed.append(file)
    return removed


def _outdated(directory: Path, stem: str, suffix: str, settings: ReportsSettings, now: datetime) -> list[Path]:
    """Files named exactly as we name them; links and everything else in the directory is left alone."""
    pattern = re.compile(rf"{re.escape(stem)}_(\d{{8}}_\d{{6}})(_\d+)?{re.escape(suffix)}")
    oldest = f"{now - timedelta(days=settings.retention_days):%Y%m%d_%H%M%S}"
    if not directory.is_dir():
        return []
    found = []
    for file in directory.iterdir():
        match = pattern.fullmatch(file.name)
        # Another process may be removing them as well.
        with suppress(FileNotFoundError):
            if match and not file.is_symlink():
                # Of one second the names tell no order: what was removed may have been written anew.
                found.append((match[1], file.lstat().st_mtime_ns, file))
    return [
        file
        for place, (stamp, _, file) in enumerate(sorted(found, reverse=True))
        if place >= settings.keep_per_task or (place > 0 and stamp < oldest)
    ]
