"""Renews certificates before they end, and watches those that are served.

Our own pair is `ssl/cert.pem` with `ssl/key.pem`; what somebody else issued is only ever renewed by the command that
the configuration names for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.certificates.metrics import FAMILIES, Problem
from jobs.certificates.settings import FORCE, MODES, STANDARD, WATCH, Settings
from jobs.core.cadence import Cadence
from jobs.core.job import Flag, Job, JobError, ReportFiles
from jobs.core.model import Request, Result, Severity
from jobs.core.sight import ALL, SAME, Sight

if TYPE_CHECKING:
    from jobs.clients import Clients

_WATCHED = "|".join((*Problem, "due", "unknown", "endpoint_down", "not_served", "not_looked_at", "state_unreadable"))
"""What a run that only looks can find as well."""


def run(settings: Settings, clients: Clients, request: Request) -> Result:
    """Take the inventory and renew what is due; with `dry_run` say what would be done, in mode `watch` only look."""
    if request.target:
        raise JobError(f"certificate-renewal looks at everything and takes no target (given: {request.target!r})")
    # Here, as they load cryptography, which the daemon does not need.
    from jobs.certificates.conclusion import conclude
    from jobs.certificates.running import Run

    mode = request.mode or MODES[0]
    one = Run(settings, clients, mode, request.dry_run)
    one.carry_out()
    wants_report = mode != WATCH and not request.dry_run
    return conclude(one, settings.schedule or JOB.cadences, wants_report=wants_report)


JOB = Job(
    name="certificate-renewal",
    summary="Renews certificates, and compares what is served with what is on disk",
    cadences=(Cadence.parse("every 60 minutes: watch"), Cadence.parse("daily at 04:00: standard")),
    settings=Settings,
    metrics=FAMILIES,
    modes=MODES,
    report=ReportFiles(directory="logs", stem="certificate_renewal_report", link="logs/latest_certificate_report.json"),
    run=run,
    event="certificate",
    tells_from=Severity.MEDIUM,
    sight=Sight(
        looks_at={STANDARD: ALL, FORCE: ALL, WATCH: f"({_WATCHED}) .*"},
        blind={
            "endpoint_down": ".* (endpoint|certificate)/{name}",
            "not_looked_at": ".* certificate/.*",
            "key_unusable": "key_.* {subject}",
            "postponed": "renewal_failed {subject}",
            "clock_set": "(renewal_failed|not_removed) .*",
            **dict.fromkeys((Problem.UNREADABLE, Problem.MISSING), SAME),
        },
    ),
    flags=(Flag("--force-renew", "Renew what can be renewed now, whether it is due or not.", mode=FORCE),),
    mode_notes={
        STANDARD: "renews what is due, and looks at what is served",
        FORCE: "renews whether it is due or not",
        WATCH: "only looks at what is on disk and at what is served",
    },
    verdicts={
        0: "all is well",
        1: "something to look at",
        2: "something is wrong",
        3: "a certificate is unusable, or a renewal failed",
    },
)
