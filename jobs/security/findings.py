"""What a person is told of a scan in a few lines: the worst findings, and what is wrong with the scan itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from jobs.core.model import Finding, Severity
from jobs.security.looking import Looked, State
from jobs.security.scan import Scan
from jobs.security.settings import AcceptedRisk
from jobs.security.standing import Found, Standing
from jobs.security.texts import beside, counted, plain_line

MAX_FINDINGS = 100
"""So many open findings are told one by one, the worst of them; the report has them all."""
_UNLISTED = "see the report (reports/security/latest_security_report.json)"


def findings(scan: Scan) -> Iterator[Finding]:
    """The scan's own troubles first, then what it found."""
    yield from (_of_scanner(one) for one in scan.of_state(State.UNKNOWN, State.PARTIAL))
    if not any(one.state not in (State.OFF, State.LEFT_OUT) for one in scan.looked):
        message, remedy = "no scanner is switched on: nothing was looked at", "see jobs.security_scan in the settings"
        yield Finding(kind="nothing_scanned", subject="scan", severity=Severity.MEDIUM, message=message, remedy=remedy)
    for problem in scan.problems:
        yield Finding(kind="scan_problem", subject="scan", severity=Severity.MEDIUM, message=problem)
    yield from _of_acceptances(scan)
    lapsed = scan.judged.lapsed()
    yield from (_of_found(one, lapsed.get(one.known.identity)) for one in scan.open[:MAX_FINDINGS])
    for severity, count in Counter(one.severity for one in scan.open[MAX_FINDINGS:]).items():
        message = f"{counted(count, f'more {severity} finding')}"
        subject = f"scan/{severity}"
        yield Finding(kind="more_findings", subject=subject, severity=severity, message=message, remedy=_UNLISTED)


def expiry(entry: AcceptedRisk) -> str:
    """What is said of a finding that was accepted once."""
    return f"accepted until {entry.until}, which has passed"


def _of_scanner(one: Looked) -> Finding:
    unknown = one.state is State.UNKNOWN
    what = "what it looks for is unknown" if unknown else "it has not seen everything"
    return Finding(
        kind=f"scanner_{one.state}",
        subject=f"scanner/{one.scanner.name}",
        severity=Severity.MEDIUM if unknown else Severity.LOW,
        message=f"{what}: {one.reason}",
        remedy=one.remedy,
    )


def _of_acceptances(scan: Scan) -> Iterator[Finding]:
    for entry, matched in scan.judged.expired:
        yield Finding(
            kind="acceptance_expired",
            subject=f"accepted/{entry.rule}",
            severity=Severity.LOW,
            message=f"{_entry(entry)}: {expiry(entry)}; {counted(len(matched), 'finding')} of it counts again",
            remedy="mend it, or accept it anew with a later date (jobs.security_scan.accepted_risks)",
        )
    for entry in scan.judged.unmatched:
        yield Finding(
            kind="acceptance_unused",
            subject=f"accepted/{entry.rule}",
            severity=Severity.INFO,
            message=f"{_entry(entry)} is accepted, and was not found",
            remedy="take it out of jobs.security_scan.accepted_risks, unless a scanner that is unknown would find it",
        )


def _entry(entry: AcceptedRisk) -> str:
    return entry.rule if entry.subject == "*" else f"{entry.rule} of {entry.subject}"


def _of_found(one: Found, lapsed: AcceptedRisk | None) -> Finding:
    notes = ["new"] if one.standing is Standing.NEW else [f"known since {one.known.first_seen:%Y-%m-%d}"]
    notes += [f"not looked at this time: {one.why}"] if one.standing is Standing.UNSEEN else []
    notes += [expiry(lapsed)] if lapsed else []
    weakness = one.weakness
    return Finding(
        kind=weakness.rule,
        subject=weakness.subject,
        severity=weakness.severity,
        message=f"{plain_line(beside(weakness.subject, weakness.message), 500)} ({'; '.join(notes)})",
        remedy=plain_line(weakness.remedy, 300),
    )
