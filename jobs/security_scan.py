"""Scans containers, files, network, code and configuration for what is weak, and says what is new.

The risk is not LOW while a scanner is unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.core.cadence import Cadence
from jobs.core.job import Flag, Job, JobError, ReportFiles
from jobs.core.model import Request, Result
from jobs.core.sight import ALL, Sight
from jobs.security.families import FAMILIES
from jobs.security.settings import FULL, MODES, STANDARD, Settings

if TYPE_CHECKING:
    from jobs.clients import Clients


def run(settings: Settings, clients: Clients, request: Request) -> Result:
    """Scan; in mode `full` also with the scanners that take long. Changes nothing, with and without dry_run."""
    if request.target:
        raise JobError(f"security-scan scans everything and takes no target (given: {request.target!r})")
    from jobs.security.running import Run

    return Run(settings, clients, request).result()


JOB = Job(
    name="security-scan",
    summary="Scans for vulnerabilities and weak settings",
    cadences=(Cadence.parse("daily at 01:00: standard"), Cadence.parse("saturday at 23:00: full")),
    settings=Settings,
    run=run,
    metrics=FAMILIES,
    modes=MODES,
    report=ReportFiles(
        directory="reports/security",
        stem="security_scan_report",
        link="reports/security/latest_security_report.json",
        log_stem="security_scan",
        renderings=(".html", ".sarif"),
    ),
    score_name="security",
    event="security",
    # A scan goes on telling of what it found before and could not look at now, as long as it remembers it. Of the
    # scanners themselves a standard scan leaves out some.
    sight=Sight(
        looks_at={FULL: ALL, STANDARD: "(?!scanner_).*"},
        blind={"scan_problem": ALL, "nothing_scanned": ALL},
        cut="more_findings",
    ),
    flags=(
        Flag("--full-scan", "Use the scanners that take long as well.", mode=FULL),
        Flag("--report-format", "Forms of the report.", setting="report_format"),
        Flag("--severity", "Findings below it are counted, and not scored.", setting="severity_threshold"),
    ),
    mode_notes={STANDARD: "what is quick to scan", FULL: "the scanners that take long as well"},
    verdicts={0: "the risk is LOW", 1: "MEDIUM", 2: "HIGH", 3: "CRITICAL"},
)
