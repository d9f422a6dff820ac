"""Reports and run logs on disk: files of its own for each run, a link to the newest, and an end to old ones."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from exporter.record import Record
from exporter.settings import ReportsSettings
from jobs.core.files import atomic_create, atomic_symlink, timestamped
from jobs.core.job import Job, ReportFiles
from jobs.core.model import Result

logger = logging.getLogger(__name__)
MODE = "{mode}"
"""What stands for the run's mode in the stem of a report's name."""
JSON = ".json"
STAMP = r"(?P<stamp>\d{8}_\d{6})(_\d+)?"
"""How the names of reports and run logs end, before their suffix: as `jobs.core.files.timestamped` writes it."""


def write_report(record: Record, job: Job, base_dir: Path, log_lines: Sequence[str]) -> str:
    """Write a run's report, in each form that it has, and its log; return the first file's path below `base_dir`.

    The files are new under all circumstances, each link changes in one step; raise OSError if any of it fails.
    """
    forms = _forms(record.result) if record.result else {}
    files = job.report
    if files is None or not forms:
        return ""
    stem = files.stem.replace(MODE, record.request.mode)
    written = []
    for suffix, content in forms.items():
        report = atomic_create(base_dir / files.directory, timestamped(stem, record.started, suffix), content)
        _link(files, base_dir, report)
        written.append(report)
    if files.log_stem:
        log = "".join(f"{line}\n" for line in log_lines).encode()
        atomic_create(base_dir / "logs", timestamped(files.log_stem, record.started, ".log"), log)
    return str(written[0].relative_to(base_dir))


def _forms(result: Result) -> Mapping[str, bytes]:
    forms = {suffix: text.encode() for suffix, text in result.renderings.items()}
    if result.report is None:
        return forms
    return {JSON: json.dumps(result.report, indent=2, ensure_ascii=False).encode() + b"\n", **forms}


def _link(files: ReportFiles, base_dir: Path, report: Path) -> None:
    link = (base_dir / files.link).with_suffix(report.suffix)
    link.parent.mkdir(parents=True, exist_ok=True)
    atomic_symlink(link, str(Path(*[".."] * len(Path(files.link).parent.parts), files.directory, report.name)))


def prune_reports(job: Job, base_dir: Path, settings: ReportsSettings, now: datetime) -> list[Path]:
    """Remove a job's reports and run logs beyond their number or age; the newest of each stays. Return them.

    Reports of each mode that the stem names are counted by themselves, and so is each form of the report.
    """
    files = job.report
    if files is None:
        return []
    stems = dict.fromkeys(files.stem.replace(MODE, mode) for mode in job.modes)
    kinds = [(base_dir / files.directory, stem, suffix) for stem in stems for suffix in (JSON, *files.renderings)]
    if files.log_stem:
        kinds.append((base_dir / "logs", files.log_stem, ".log"))
    removed = []
    for directory, stem, suffix in kinds:
        for file in _outdated(directory, stem, suffix, settings, now):
            file.unlink(missing_ok=True)
            logger.info("removed old report", extra={"file": str(file)})
            removed.append(file)
    return removed


def _outdated(directory: Path, stem: str, suffix: str, settings: ReportsSettings, now: datetime) -> list[Path]:
    """Files named exactly as we name them; links and everything else in the directory is left alone."""
    pattern = re.compile(f"{re.escape(stem)}_{STAMP}{re.escape(suffix)}", re.ASCII)
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
                found.append((match["stamp"], file.lstat().st_mtime_ns, file))
    return [
        file
        for place, (stamp, _, file) in enumerate(sorted(found, reverse=True))
        if place >= settings.keep_per_task or (place > 0 and stamp < oldest)
    ]
