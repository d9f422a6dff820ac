"""Looks after the databases: takes their statistics, backs them up, and cleans them where their figures call for it.

Each server is a part of its own, as are Redis and the backups: where one fails the others go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.core.cadence import Cadence
from jobs.core.job import Flag, Job, JobError, ReportFiles
from jobs.core.model import Request, Result
from jobs.core.sight import ALL, SAME, Sight
from jobs.databases.families import FAMILIES
from jobs.databases.part import BACKUP, FULL, MODES, STANDARD, STATISTICS, VACUUM
from jobs.databases.settings import Settings

if TYPE_CHECKING:
    from jobs.clients import Clients

_WITHOUT_MAINTENANCE = (
    "down|unreachable|loading|missing|connections_high|wraparound|freezing_late|long_transaction|prepared_transaction"
    "|replica_lag|slot_retains_wal|full|memory_high|fragmented|rejecting|clients_high|aof_failed|save_failed|not_saved"
    "|link_down|replica_behind"
)
"""What a run that only takes statistics can find as well."""
_WATCHED = f"({_WITHOUT_MAINTENANCE}) .*"


def run(settings: Settings, clients: Clients, request: Request) -> Result:
    """Do every part; `statistics` only looks, `full` cleans what is not due yet as well.

    `backup` makes the backups, `vacuum` does what is due in PostgreSQL; either only looks at the rest.
    """
    if request.target:
        raise JobError(f"database-maintenance looks after everything and takes no target (given: {request.target!r})")
    from jobs.databases.maintenance import maintain

    request = request.model_copy(update={"mode": request.mode or STANDARD})
    return maintain(settings, clients, request, settings.schedule or JOB.cadences)


JOB = Job(
    name="database-maintenance",
    summary="Backs up the databases, and cleans them where they need it",
    cadences=(Cadence.parse(f"every 5 minutes: {STATISTICS}"), Cadence.parse(f"daily at 03:00: {STANDARD}")),
    settings=Settings,
    run=run,
    metrics=FAMILIES,
    modes=MODES,
    report=ReportFiles(
        directory="logs", stem="database_maintenance_report", link="logs/latest_db_maintenance_report.json"
    ),
    per_node=False,
    sight=Sight(
        looks_at={
            **{STANDARD: ALL, FULL: ALL, STATISTICS: _WATCHED},
            BACKUP: rf"{_WATCHED}|.* (backups?(/.*)?|host/clock)",
            VACUUM: rf"{_WATCHED}|.* postgres/.*",
        },
        blind={
            **dict.fromkeys(("down", "unreachable", "loading", "failed"), SAME),
            "not_permitted": "(long_transaction|replica_lag) {subject}",
            "postponed": "maintenance_failed {subject}",
            "slow_log_unknown": "slow_commands {subject}",
            "saving_unknown": "not_saved {subject}",
        },
    ),
    flags=(Flag("--full-maintenance", "Do everything, whether it is due or not.", mode=FULL),),
    mode_notes={
        STANDARD: "backs up, and does what is due",
        FULL: "the same, and everything else whether it is due or not",
        STATISTICS: "only takes the statistics",
        BACKUP: "backs up, and takes the statistics",
        VACUUM: "cleans PostgreSQL where that is due, and takes the statistics",
    },
    verdicts={
        0: "all is well",
        1: "a warning",
        2: "something failed, or a finding is serious",
        3: "a finding is critical",
    },
)
