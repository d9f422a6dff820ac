"""The report as JSON, in the shape of the script that this job replaces and with what that one did not know."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jobs.core.model import Severity
from jobs.security.advice import advice
from jobs.security.findings import expiry
from jobs.security.listing import Listing
from jobs.security.looking import Looked, State
from jobs.security.memory import Known
from jobs.security.scan import Scan
from jobs.security.scanner import Area, Weakness
from jobs.security.settings import AcceptedRisk
from jobs.security.standing import Found, Standing

MAX_DETAILS_BYTES = 256 << 10


def report(scan: Scan, listed: Listing) -> dict[str, Any]:
    """The whole report."""
    lapsed = scan.judged.lapsed()
    return {
        "scan_info": _info(scan, listed),
        "results": {area: _area(scan, listed, area, lapsed) for area in Area},
        "accepted_risks": {
            "findings": [{**_found(one), **_acceptance(entry)} for one, entry in listed.accepted],
            "expired": [{**_acceptance(entry), "said": expiry(entry)} for entry, _ in scan.judged.expired],
            "not_found": [_acceptance(entry) for entry in scan.judged.unmatched],
        },
        "fixed": [_known(known) for known in listed.fixed],
        "summary": _summary(scan),
    }


def _info(scan: Scan, listed: Listing) -> dict[str, Any]:
    settings, baseline = scan.settings, scan.baseline
    return {
        "timestamp": _time(scan.began),
        "hostname": scan.host,
        "base_directory": str(scan.base_dir),
        "scan_type": scan.mode,
        "duration_seconds": round(scan.seconds, 3),
        "severity_threshold": settings.severity_threshold,
        "max_scan_seconds": settings.max_scan_seconds,
        "max_scanner_seconds": settings.max_scanner_seconds,
        "left_out_below_threshold": {severity: scan.compared.below[severity] for severity in scan.compared.below},
        "findings_not_listed": listed.left_out,
        "compared_with": _time(baseline.at) if baseline else None,
        "problems": list(scan.problems),
    }


def _area(scan: Scan, listed: Listing, area: Area, lapsed: Mapping[str, AcceptedRisk]) -> dict[str, Any]:
    counts = Counter(one.severity for one in scan.of_area(area))
    return {
        "looked": scan.knows(area),
        "scanners": [_scanner(scan, one) for one in scan.looked if one.scanner.area is area],
        # That there is nothing is said only by who has looked.
        "counts": {one: counts[one] for one in Severity if counts[one] or scan.knows(area)} or None,
        "findings": [
            {**_found(one), **({"note": expiry(entry)} if (entry := lapsed.get(one.known.identity)) else {})}
            for one in listed.open
            if one.known.area is area
        ],
    }


def _scanner(scan: Scan, one: Looked) -> dict[str, Any]:
    fared = scan.memory.scanners.get(one.scanner.name)
    last = fared.last_success if fared else None
    return {
        "name": one.scanner.name,
        "summary": one.scanner.summary,
        "state": one.state,
        **({"reason": one.reason} if one.reason else {}),
        **({"remedy": one.remedy} if one.remedy else {}),
        "unit": one.seen.unit,
        "scanned": one.seen.scanned,
        "found": len(one.seen.weaknesses) + one.seen.dropped,
        "missed": one.seen.gaps(),
        "seconds": None if one.seconds is None else round(one.seconds, 3),
        "last_success": _time(last) if last else None,
        "last_success_age_days": _days(last, scan.began) if last and one.state is not State.OK else None,
        "details": _details(one),
    }


def _details(one: Looked) -> Any:
    """What a scanner tells of itself as plain JSON: figures that are none, and values that JSON has not, do no harm."""
    try:
        text = json.dumps(one.seen.details, default=str)
    except (ValueError, TypeError, RecursionError):
        return "they cannot be written down"
    if len(text) > MAX_DETAILS_BYTES:
        return f"they are longer than {MAX_DETAILS_BYTES} bytes"
    return json.loads(text, parse_constant=lambda _: None)


def _found(one: Found) -> dict[str, Any]:
    unseen = {"not_looked_at": one.why} if one.standing is Standing.UNSEEN else {}
    return {**_known(one.known), "standing": one.standing, **unseen}


def _known(known: Known) -> dict[str, Any]:
    return {
        "id": known.identity,
        "scanner": known.scanner,
        **_weakness(known.weakness),
        "first_seen": _time(known.first_seen),
        "last_seen": _time(known.last_seen),
    }


def _weakness(weakness: Weakness) -> dict[str, Any]:
    told = {
        "rule": weakness.rule,
        "severity": weakness.severity,
        "subject": weakness.subject,
        "message": weakness.message,
        "remedy": weakness.remedy,
        "path": weakness.path,
        "line": weakness.line,
        "url": weakness.url,
    }
    return {key: value for key, value in told.items() if value not in ("", None)}


def _acceptance(entry: AcceptedRisk) -> dict[str, Any]:
    return {
        "accepted_rule": entry.rule,
        "accepted_subject": entry.subject,
        "reason": entry.reason,
        "until": entry.until.isoformat(),
    }


def _summary(scan: Scan) -> dict[str, Any]:
    return {
        "overall_risk": scan.risk.name,
        "security_score": scan.score,
        "deductions": [taken.model_dump() for taken in scan.deductions],
        "vulnerability_summary": {
            "critical": scan.counts.get(Severity.CRITICAL, 0),
            "high": scan.counts.get(Severity.HIGH, 0),
            "medium": scan.counts.get(Severity.MEDIUM, 0),
            "low": scan.counts.get(Severity.LOW, 0),
            "info": scan.counts.get(Severity.INFO, 0),
            "total": len(scan.open),
            "new": len(scan.of_standing(Standing.NEW)),
            "not_looked_at": len(scan.of_standing(Standing.UNSEEN)),
            "fixed": len(scan.compared.fixed),
            "accepted": len(scan.judged.accepted),
        },
        "scanners": {state: [one.scanner.name for one in scan.of_state(state)] for state in State},
        "recommendations": [f"{one.text}: {one.remedy}" for one in advice(scan)],
    }


def _time(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def _days(then: datetime, now: datetime) -> float:
    return max(0.0, round((now - then).total_seconds() / 86400, 1))
