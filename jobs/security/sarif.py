"""The findings as SARIF 2.1.0, for editors and tools that read it: one run for each scanner that was to look.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html (sections are given where a choice was made).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jobs.core.model import Severity
from jobs.security.listing import Listing
from jobs.security.looking import Looked, State
from jobs.security.memory import Known
from jobs.security.scan import Scan
from jobs.security.scanner import RANK, Weakness
from jobs.security.settings import AcceptedRisk
from jobs.security.standing import Standing

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_BASE = "BASEDIR"
_FINGERPRINT = "sutazaiFindingId/v1"
_LEVELS: Mapping[Severity, str] = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.INFO: "note",
}
_SECURITY_SEVERITY: Mapping[Severity, str] = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.LOW: "2.0",
    Severity.INFO: "0.0",
}
"""A figure within each range that code scanning of GitHub has for severities."""
_NEW, _UNCHANGED, _ABSENT = "new", "unchanged", "absent"
_Told = tuple[Known, str, AcceptedRisk | None]


def sarif(scan: Scan, listed: Listing) -> str:
    """One SARIF log. Scanners that were not to look have a run only where former findings of theirs stand."""
    told: dict[str, list[_Told]] = {one.scanner.name: [] for one in scan.looked}
    for known, state, entry in _results(listed):
        told[known.scanner].append((known, state, entry))
    runs = [
        _run(scan, one, told[one.scanner.name])
        for one in scan.looked
        if one.state not in (State.OFF, State.LEFT_OUT) or told[one.scanner.name]
    ]
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": runs}
    return json.dumps(document, ensure_ascii=False) + "\n"  # indented it takes ten times as long


def _results(listed: Listing) -> Iterator[_Told]:
    for one in listed.open:
        yield one.known, _NEW if one.standing is Standing.NEW else _UNCHANGED, None
    for one, entry in listed.accepted:
        yield one.known, _NEW if one.standing is Standing.NEW else _UNCHANGED, entry
    for known in listed.fixed:
        yield known, _ABSENT, None


def _run(scan: Scan, looked: Looked, told: Sequence[_Told]) -> dict[str, Any]:
    rules = _worst_of_each_rule(known.weakness for known, _, _ in told)
    places = {rule: index for index, rule in enumerate(rules)}
    return {
        "tool": {
            "driver": {
                "name": f"sutazai-exporter/{looked.scanner.name}",
                "fullName": f"SutazAI security scan: {looked.scanner.name} ({looked.scanner.area})",
                "shortDescription": {"text": looked.scanner.summary or looked.scanner.name},
                "rules": [_rule(weakness) for weakness in rules.values()],
            }
        },
        "automationDetails": {"id": f"security-scan/{looked.scanner.name}/"},
        "originalUriBaseIds": {_BASE: {"uri": f"{_uri(scan.base_dir)}/"}},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(scan, looked)],
        "results": [_result(scan, one, places, baseline=scan.baseline is not None) for one in told],
    }


def _worst_of_each_rule(weaknesses: Iterable[Weakness]) -> dict[str, Weakness]:
    worst: dict[str, Weakness] = {}
    for one in weaknesses:
        if one.rule not in worst or RANK[one.severity] > RANK[worst[one.rule].severity]:
            worst[one.rule] = one
    return worst


def _rule(weakness: Weakness) -> dict[str, Any]:
    return {
        "id": weakness.rule,
        **({"helpUri": _link(weakness.url)} if _link(weakness.url) else {}),
        **({"help": {"text": weakness.remedy}} if weakness.remedy else {}),
        "defaultConfiguration": {"level": _LEVELS[weakness.severity]},
        "properties": {"tags": ["security"], "security-severity": _SECURITY_SEVERITY[weakness.severity]},
    }


def _invocation(scan: Scan, looked: Looked) -> dict[str, Any]:
    """3.20: whether the scanner did its work, and what it says about it."""
    said = [looked.reason] if looked.reason and looked.state is not State.PARTIAL else []
    level = "error" if looked.state is State.UNKNOWN else "warning"
    notifications = [{"level": level, "message": {"text": text}} for text in (*said, *looked.seen.gaps())]
    return {
        "executionSuccessful": looked.looked,
        "startTimeUtc": f"{scan.began.astimezone(tz=UTC):%Y-%m-%dT%H:%M:%SZ}",
        "workingDirectory": {"uri": f"{_uri(scan.base_dir)}/"},
        **({"toolExecutionNotifications": notifications} if notifications else {}),
    }


def _result(scan: Scan, told: _Told, places: Mapping[str, int], *, baseline: bool) -> dict[str, Any]:
    known, state, entry = told
    weakness = known.weakness
    remedy = f" Remedy: {weakness.remedy}" if weakness.remedy else ""
    return {
        "ruleId": weakness.rule,
        "ruleIndex": places[weakness.rule],
        "level": _LEVELS[weakness.severity],
        "message": {"text": _linkless(f"{weakness.subject}: {weakness.message}{remedy}")},
        "locations": [_location(scan.base_dir, weakness)],
        "partialFingerprints": {_FINGERPRINT: known.identity},
        # 3.27.24: either every result has it or none, so there is none before there is anything to compare with.
        **({"baselineState": state} if baseline else {}),
        **({"suppressions": [_suppression(entry)]} if entry else {}),
        "properties": {
            "severity": weakness.severity,
            "firstSeen": known.first_seen.isoformat(timespec="seconds"),
            "lastSeen": known.last_seen.isoformat(timespec="seconds"),
        },
    }


def _linkless(text: str) -> str:
    """3.11.6: a message may hold links; what came from elsewhere must not make one."""
    return text.replace("](", "] (")


def _suppression(entry: AcceptedRisk) -> dict[str, Any]:
    said = f"{entry.reason} (until {entry.until})"
    return {"kind": "external", "status": "accepted", "justification": said}


def _location(base_dir: Path, weakness: Weakness) -> dict[str, Any]:
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": weakness.subject}]}
    if weakness.path.startswith("/"):
        region = {"region": {"startLine": weakness.line}} if weakness.line and weakness.line > 0 else {}
        location["physicalLocation"] = {"artifactLocation": _artifact(base_dir, weakness.path), **region}
    return location


def _artifact(base_dir: Path, path: str) -> dict[str, Any]:
    """3.4.3: below the base directory relative to it, else an absolute URI."""
    file = Path(path)
    if ".." not in file.parts and file.is_relative_to(base_dir) and file != base_dir:
        return {"uri": quote(str(file.relative_to(base_dir))), "uriBaseId": _BASE}
    return {"uri": _uri(file)}


def _uri(path: Path) -> str:
    return f"file://{quote(str(path))}"


def _link(url: str) -> str:
    return quote(url, safe=":/?#[]@!$&'()*+,;=%~") if url.startswith(("https://", "http://")) else ""
