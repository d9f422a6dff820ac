"""The metrics of a scan, and what is worth remembering of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from jobs.core.checks import sample
from jobs.core.model import Observation, Sample, Severity
from jobs.core.scoring import deduction_samples
from jobs.security import families
from jobs.security.looking import State
from jobs.security.risk import Risk
from jobs.security.scan import Scan
from jobs.security.scanner import Area
from jobs.security.standing import Standing

SCORE_NAME = "security"


def samples(scan: Scan) -> Iterator[Sample]:
    """Every series of this scan."""
    yield sample(families.SCORE, scan.score)
    yield from (sample(families.RISK, scan.risk is one, risk=one.name.lower()) for one in Risk)
    yield from deduction_samples(SCORE_NAME, scan.deductions)
    yield from _of_findings(scan)
    yield from _of_scanners(scan)


def observations(scan: Scan) -> list[Observation]:
    """Score and findings, for whoever looks at them over time."""
    counts = [Observation(series=f"security/findings/{one}", value=scan.counts.get(one, 0)) for one in Severity]
    return [Observation(series="security/score", value=scan.score), *counts]


def _of_findings(scan: Scan) -> Iterator[Sample]:
    counts = Counter((one.known.area, one.severity) for one in scan.open)
    for area in Area:
        for severity in Severity:
            # What is known to be there counts; that there is nothing is said only by who has looked.
            if counts[area, severity] or scan.knows(area):
                yield sample(families.FINDINGS, counts[area, severity], area=area, severity=severity)
    new = Counter(one.severity for one in scan.of_standing(Standing.NEW))
    yield from (sample(families.NEW_FINDINGS, new[severity], severity=severity) for severity in Severity)
    yield sample(families.UNSEEN_FINDINGS, len(scan.of_standing(Standing.UNSEEN)))
    yield sample(families.FIXED_FINDINGS, len(scan.compared.fixed))
    yield sample(families.ACCEPTED, len(scan.judged.accepted))
    yield sample(families.EXPIRED, len(scan.judged.expired))


def _of_scanners(scan: Scan) -> Iterator[Sample]:
    """Of a scanner that is left out this time, how it fared when it last looked."""
    for looked in scan.looked:
        scanner = scan.memory.scanners.get(looked.scanner.name)
        if looked.state in (State.OFF, State.NOTHING_HERE) or scanner is None:
            continue
        name = looked.scanner.name
        yield sample(families.SCANNER_SUCCESS, scanner.success, scanner=name, area=looked.scanner.area)
        yield sample(families.SCANNER_SCANNED, scanner.scanned, scanner=name)
        yield sample(families.SCANNER_MISSED, scanner.missed, scanner=name)
        last_success = scanner.last_success.timestamp() if scanner.last_success else None
        for family, value in (
            (families.SCANNER_LAST_SUCCESS, last_success),
            (families.SCANNER_DURATION, scanner.seconds),
            (families.SCANNER_DATABASE, scanner.database),
        ):
            if value is not None:
                yield sample(family, value, scanner=name)
