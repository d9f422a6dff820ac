"""Which reports are on the disk: the files of a job's directory that are named exactly as we name them.

Whoever asks for a report names it by its `id`, which is looked up here and never joined to a path.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path

from exporter.runs.reports import JSON, MODE, STAMP
from jobs.core.job import Job, ReportFiles


@dataclass
class Kept:
    """A report: `forms` are its files by their suffix without the dot, `mode` is empty where the name has none.

    `began` is when its run began, by the local clock, without a zone.
    """

    id: str
    task: str
    mode: str
    began: datetime
    forms: dict[str, Path] = field(default_factory=dict)
    bytes: int = 0


def reports_of(job: Job, base_dir: Path) -> list[Kept]:
    """A job's reports, newest first; links and everything else in their directory are none. Raise OSError."""
    if job.report is None:
        return []
    found: dict[str, Kept] = {}
    for file in _files(base_dir / job.report.directory):
        if kept := _named(job, file.name):
            _add(found.setdefault(kept.id, kept), file)
    reports = [kept for kept in found.values() if kept.forms]
    return sorted(reports, key=lambda kept: (kept.began, len(kept.id), kept.id), reverse=True)


def newest_of(job: Job, base_dir: Path) -> Kept | None:
    """The report that a job's link names, without a look at the others; None where there is none."""
    if job.report is None:
        return None
    for suffix in _suffixes(job.report):
        try:
            name = (base_dir / job.report.link).with_suffix(suffix).readlink().name
        except OSError:
            continue
        if kept := _named(job, name):
            for form in _suffixes(job.report):
                _add(kept, base_dir / job.report.directory / f"{kept.id}{form}")
            if kept.forms:
                return kept
    return None


def find(jobs: Iterable[Job], base_dir: Path, report_id: str) -> Kept:
    """The report of an id; raise KeyError where there is none, OSError."""
    for job in jobs:
        # The name says whose it could be; that it is there is for the directory to say.
        if job.report and _named(job, f"{report_id}{JSON}"):
            for kept in reports_of(job, base_dir):
                if kept.id == report_id:
                    return kept
    raise KeyError(report_id)


def _named(job: Job, name: str) -> Kept | None:
    """What a file of this name would be a form of."""
    match = _pattern(job.report, job.modes).fullmatch(name) if job.report else None
    if match is None:
        return None
    try:
        began = datetime.strptime(match["stamp"], "%Y%m%d_%H%M%S")  # noqa: DTZ007  # the zone is whoever's looks
    except ValueError:
        return None
    return Kept(match["id"], job.name, match.groupdict().get("mode") or "", began)


@cache
def _pattern(files: ReportFiles, modes: tuple[str, ...]) -> re.Pattern[str]:
    """The names of a job's reports."""
    any_mode = f"(?P<mode>{'|'.join(map(re.escape, modes))})"
    stem = any_mode.join(map(re.escape, files.stem.split(MODE)))
    return re.compile(f"(?P<id>{stem}_{STAMP})({'|'.join(map(re.escape, _suffixes(files)))})", re.ASCII)


def _suffixes(files: ReportFiles) -> tuple[str, ...]:
    return (JSON, *files.renderings)


def _files(directory: Path) -> Iterator[Path]:
    try:
        with os.scandir(directory) as entries:
            yield from (Path(entry.path) for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return


def _add(kept: Kept, file: Path) -> None:
    """Add a file to a report, if it is one: it may be gone by now."""
    try:
        status = file.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISREG(status.st_mode):
        kept.forms[file.suffix.removeprefix(".")] = file
        kept.bytes += status.st_size
