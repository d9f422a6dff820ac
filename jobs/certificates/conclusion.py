"""What a run says in the end: findings, verdict, metrics, summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from jobs.certificates import judging
from jobs.certificates.judging import Judged
from jobs.certificates.metrics import LAST_RENEWAL, RENEWAL_OK, RENEWALS, Outcome, Problem
from jobs.certificates.ownership import Owner
from jobs.certificates.report import report
from jobs.certificates.running import Run
from jobs.core.cadence import Cadence
from jobs.core.model import Finding, Result, Sample, Severity

_STATUS = ("VALID", "WARNING", "DEGRADED", "CRITICAL")
_VERDICTS = {Severity.CRITICAL: 3, Severity.HIGH: 2, Severity.MEDIUM: 1}


def conclude(run: Run, cadences: Sequence[Cadence], *, wants_report: bool) -> Result:
    """The result of a run that is over."""
    now = run.clients.clock.now()
    files = [run.judge(reading) for reading in run.inventory.files]
    served = _served(run, now)
    findings = _findings(run, files, served)
    verdict = max((_VERDICTS.get(finding.severity, 0) for finding in findings), default=0)
    renewed = Outcome.RENEWED in run.notes.outcomes
    document = None
    if wants_report:
        next_check = min(cadence.next_time(now) for cadence in cadences)
        wanted = run.clients.world.certificate
        document = report(run.inventory, files, run.notes, run.settings, wanted, run.mode, now, next_check)
    return Result(
        status=_status(verdict, renewed=renewed, seen=any(one.facts for one in (*files, *served))),
        verdict=verdict,
        summary=_summary(run, [*files, *served], now),
        findings=tuple(findings),
        actions=tuple(run.notes.actions),
        samples=tuple(_samples(run, files, served)),
        report=document,
    )


def _status(verdict: int, *, renewed: bool, seen: bool) -> str:
    """In a word: no certificate at all is not a valid one."""
    if verdict:
        return _STATUS[verdict]
    return "RENEWED" if renewed else _STATUS[0] if seen else "NONE_YET"


def _served(run: Run, now: datetime) -> list[Judged]:
    """Certificates that endpoints serve; one that is a file's own says nothing more, unless it is wrong there."""
    threshold = run.clients.world.certificate.renewal_threshold_days
    found = [(one, judging.judge_endpoint(one, threshold, now)) for one in run.inventory.endpoints]
    return [judged for reading, judged in found if judged and (not reading.matches or judged.troubles)]


def _findings(run: Run, files: Sequence[Judged], served: Sequence[Judged]) -> list[Finding]:
    found = [*run.notes.findings]
    found += [finding for judged in (*files, *served) for finding in _about(run, judged)]
    found += [finding for reading in run.inventory.endpoints for finding in judging.endpoint_findings(reading)]
    told = {finding.subject for finding in found}
    found += [_due(run, judged) for judged in (*files, *served) if judged.due and _subject(judged) not in told]
    for what in run.inventory.left_out:
        found.append(Finding(kind="not_looked_at", subject="inventory", severity=Severity.MEDIUM, message=what))
    return found


def _about(run: Run, judged: Judged) -> Iterator[Finding]:
    """What is to be said of one certificate; that ours was not made yet is how every installation begins."""
    own = run.inventory.own
    if judged.label == own.label and not run.state.issued and run.owner(own) is Owner.NOBODY:
        message, remedy = f"{own.error} yet", f"{judging.RENEW} (the schedule does it daily)"
        yield Finding(
            kind=Problem.MISSING, subject=_subject(judged), severity=Severity.LOW, message=message, remedy=remedy
        )
    else:
        yield from judging.findings(judged)


def _due(run: Run, judged: Judged) -> Finding:
    """That a certificate is due: no more than a note where the next run that renews will do it."""
    readings = {reading.label: reading for reading in run.inventory.files}
    reading, own = readings.get(judged.label), run.inventory.own
    ours = reading is own and run.owner(own) is Owner.OURS
    renewed = ours or (reading is not None and reading.entry.renewal_command is not None)
    until = f"{judged.facts.not_after:%Y-%m-%d}" if judged.facts else "unknown"
    return Finding(
        kind="due",
        subject=_subject(judged),
        severity=Severity.LOW if renewed else Severity.MEDIUM,
        message=f"{judged.label} is due for renewal: it is valid until {until}",
        remedy=f"{judging.RENEW} (the schedule does it daily)" if renewed else "renew it with whatever made it",
    )


def _samples(run: Run, files: Sequence[Judged], served: Sequence[Judged]) -> list[Sample]:
    found = [sample for judged in (*files, *served) for sample in judging.certificate_samples(judged)]
    found += [sample for reading in run.inventory.endpoints for sample in judging.endpoint_samples(reading)]
    for outcome in Outcome:
        labels = {"result": outcome.value}
        found.append(Sample(family=RENEWALS.name, labels=labels, value=run.notes.outcomes.count(outcome)))
    if run.state.last_renewal is not None:
        found.append(Sample(family=LAST_RENEWAL.name, value=run.state.last_renewal.timestamp()))
    if run.state.last_run is not None:
        found.append(Sample(family=RENEWAL_OK.name, value=not run.state.last_error))
    return found


def _summary(run: Run, judged: Sequence[Judged], now: datetime) -> str:
    ends = [(one.facts.not_after, one.label) for one in judged if one.facts]
    said = [f"{len(ends)} certificate(s), {len(run.inventory.endpoints)} endpoint(s)"]
    if ends:
        end, label = min(ends)
        said.append(f"next to expire: {label}, in {(end - now).total_seconds() / 86400:.0f} days")
    troubled = sum(any(t.problem is not Problem.MISSING for t in one.troubles) for one in judged)
    said += [f"{troubled} with problems"] if troubled else []
    said += [
        f"{run.notes.outcomes.count(outcome)} {outcome.value.replace('_', ' ')}"
        for outcome in Outcome
        if outcome in run.notes.outcomes
    ]
    return "; ".join(said)


def _subject(judged: Judged) -> str:
    return f"certificate/{judged.label}"
