"""Proves backups good: every file every day, and once a week the newest dump of each database by restoring it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.core.cadence import Cadence
from jobs.core.job import Flag, Job, JobError, ReportFiles
from jobs.core.model import Request, Result
from jobs.core.sight import ALL, SAME, Sight
from jobs.verification.families import FAMILIES
from jobs.verification.settings import Settings

if TYPE_CHECKING:
    from jobs.clients import Clients


def run(settings: Settings, clients: Clients, request: Request) -> Result:
    """Check every backup; in mode `full` also restore the newest dump of each database, and compare it."""
    if request.target:
        raise JobError(f"backup-verification checks everything and takes no target (given: {request.target!r})")
    from jobs.verification.running import Run

    return Run(settings, clients, request, settings.schedule or JOB.cadences).result()


JOB = Job(
    name="backup-verification",
    summary="Proves backups good, and restores the newest dumps",
    cadences=(Cadence.parse("daily at 05:00: standard"), Cadence.parse("sunday at 05:30: full")),
    settings=Settings,
    run=run,
    metrics=FAMILIES,
    modes=("standard", "full"),
    report=ReportFiles(
        directory="logs",
        stem="backup_verification_report",
        link="logs/latest_backup_verification_report.json",
        log_stem="backup_verification",
    ),
    per_node=False,
    event="backup",
    # A standard run makes no drills.
    sight=Sight(
        looks_at={"full": ALL, "standard": "(?!drill_).*"},
        blind={
            "backup_unknown": SAME,
            "drill_unknown": "drill_failed {subject}",
            "sources_unknown": "backup_missing .*",
        },
    ),
    flags=(
        Flag(
            "--verify-all", "Restore every dump, not only each newest.", mode="full", setting="verify_all", value=True
        ),
    ),
    mode_notes={"standard": "reads every backup", "full": "the same, and restores the newest dump of each database"},
    verdicts={
        0: "every backup is good",
        1: "something is not known, too old, or the disk too full",
        2: "a backup is bad or missing",
    },
)
