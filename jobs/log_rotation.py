"""Keeps logs small: what is too large or too old goes into archives, and no writer loses a line.

`jobs.logs.plan` tells what is done with which log, `jobs.logs.work` does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.core.cadence import Cadence
from jobs.core.job import Flag, Job, JobError, ReportFiles
from jobs.core.model import Request, Result
from jobs.core.sight import ALL, Sight
from jobs.logs.figures import FAMILIES
from jobs.logs.settings import Settings

if TYPE_CHECKING:
    from jobs.clients import Clients

STANDARD, FORCE, WATCH = "standard", "force", "watch"
_WATCHED = "disk_full_soon|log_growth|over_cap|deleted_held_open|no_log_limit|docker_unreachable"
"""What a run that only looks can find as well."""


def run(settings: Settings, clients: Clients, request: Request) -> Result:
    """Rotate logs and delete old archives; `force` also brings all under the cap, `watch` only looks."""
    if request.target:
        raise JobError(f"log-rotation looks after all logs and takes no target (given: {request.target!r})")
    from jobs.logs.rotation import Rotation

    mode = request.mode or STANDARD
    rotation = Rotation(
        settings,
        clients,
        cadences=settings.schedule or JOB.cadences,
        mode=mode,
        rotates=mode != WATCH,
        enforces_cap=mode == FORCE or settings.enforce_total_cap,
        dry_run=request.dry_run,
    )
    return rotation.result()


JOB = Job(
    name="log-rotation",
    summary="Rotates and archives logs, and watches how they grow",
    cadences=(Cadence.parse("every 60 minutes: watch"), Cadence.parse("daily at 02:00: standard")),
    settings=Settings,
    metrics=FAMILIES,
    modes=(STANDARD, FORCE, WATCH),
    report=ReportFiles(directory="logs", stem="log_cleanup_report", link="logs/latest_cleanup_report.json"),
    run=run,
    sight=Sight(
        looks_at={STANDARD: ALL, FORCE: ALL, WATCH: f"({_WATCHED}) .*"},
        blind={
            "docker_unreachable": ".* (container|log)/.*",
            **dict.fromkeys(("no_permission", "missing", "too_many", "out_of_time", "error"), ".* logs?/{name}(/.*)?"),
        },
    ),
    flags=(Flag("--force", "Delete the oldest archives until the total is under its cap.", mode=FORCE),),
    mode_notes={
        STANDARD: "rotates, archives, deletes archives past their time",
        FORCE: "the same, then deletes the oldest archives until the total is under its cap",
        WATCH: "only looks: sizes, growth, deleted files held open",
    },
    verdicts={
        0: "all is well",
        1: "something needs a person's attention",
        2: "a log could not be rotated, or a directory not be looked at",
    },
)
