"""The report as a page for people: what is new first, then everything by area, and how the scan itself went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from jobs.core.model import Deduction, Severity
from jobs.pages.page import (
    Cell,
    Column,
    Fact,
    Facts,
    Line,
    LineChart,
    Notice,
    Notices,
    Page,
    Score,
    Section,
    Table,
    Tone,
)
from jobs.security.advice import advice
from jobs.security.findings import expiry
from jobs.security.listing import Listing
from jobs.security.looking import Looked, State
from jobs.security.memory import Known, PastScan
from jobs.security.risk import Risk
from jobs.security.scan import Scan
from jobs.security.scanner import RANK, Area
from jobs.security.settings import AcceptedRisk
from jobs.security.standing import Found, Standing
from jobs.security.texts import beside, counted

MAX_ROWS = 1000
"""Rows of one table; the JSON report has the others."""
_TONES: Mapping[Severity, Tone] = {
    Severity.CRITICAL: Tone.CRITICAL,
    Severity.HIGH: Tone.CRITICAL,
    Severity.MEDIUM: Tone.WARNING,
    Severity.LOW: Tone.PLAIN,
    Severity.INFO: Tone.PLAIN,
}
_RISK_TONES: Mapping[Risk, Tone] = {
    Risk.CRITICAL: Tone.CRITICAL,
    Risk.HIGH: Tone.CRITICAL,
    Risk.MEDIUM: Tone.WARNING,
    Risk.LOW: Tone.GOOD,
}
_STATES: Mapping[State, tuple[str, Tone]] = {
    State.OK: ("ok", Tone.GOOD),
    State.PARTIAL: ("partial", Tone.WARNING),
    State.UNKNOWN: ("unknown", Tone.UNKNOWN),
    State.NOTHING_HERE: ("nothing here", Tone.PLAIN),
    State.LEFT_OUT: ("left out", Tone.PLAIN),
    State.OFF: ("switched off", Tone.PLAIN),
}
_FINDING = (Column("Severity"), Column("Rule"), Column("Subject"), Column("What is weak"), Column("What to do"))


def page(scan: Scan, listed: Listing) -> Page:
    """The whole page."""
    taken = [(one.points, _in_words(scan, one)) for one in scan.deductions]
    return Page(
        title=f"Security scan ({scan.mode})",
        host=scan.host,
        at=scan.began,
        summary=scan.summary(),
        score=Score("Security score", scan.score, f"{scan.risk.name} risk", _RISK_TONES[scan.risk], taken),
        sections=tuple(_sections(scan, listed)),
    )


def _in_words(scan: Scan, deduction: Deduction) -> str:
    """`critical_findings` as "2 critical findings", `scanner_trivy_unknown` as "scanner trivy unknown"."""
    severity = deduction.reason.removesuffix("_findings")
    count = scan.counts.get(Severity(severity), 0) if severity in list(Severity) else 0
    return counted(count, f"{severity} finding") if count else deduction.reason.replace("_", " ")


def _sections(scan: Scan, listed: Listing) -> Iterator[Section]:
    yield Section("At a glance", (_facts(scan), *_warnings(scan, listed)))
    yield Section("New since the last scan", (_new(scan, listed),))
    yield Section("What to do first", (_recommendations(scan),))
    lapsed = scan.judged.lapsed()
    for area in Area:
        yield _area(scan, [one for one in listed.open if one.known.area is area], area, lapsed)
    yield Section("Scanners", (_scanners(scan),))
    yield Section("Accepted risks", (_accepted(listed), *_acceptances(scan)))
    yield Section("Fixed since the last scan", (_fixed(listed.fixed),))
    # A clock that ran ahead has left scans in the future.
    scans = sorted((one for one in scan.memory.scans if one.at <= scan.began), key=lambda one: one.at)
    if len(scans) > 1:
        yield Section("Former scans", tuple(_charts(scans)))


def _facts(scan: Scan) -> Facts:
    before = scan.baseline
    facts = list[Fact]()
    for severity in (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM):
        count = scan.counts.get(severity, 0)
        note = f"{before.counts.get(severity, 0)} in the scan before" if before else ""
        facts.append(Fact(severity.capitalize(), str(count), _TONES[severity] if count else Tone.GOOD, note))
    new, fixed = len(scan.of_standing(Standing.NEW)), len(scan.compared.fixed)
    facts.append(Fact("New", str(new), Tone.WARNING if new else Tone.GOOD))
    facts.append(Fact("Fixed", str(fixed)))
    facts.append(Fact("Accepted", str(len(scan.judged.accepted))))
    through = sum(one.state is State.OK for one in scan.looked)
    asked = sum(one.asked for one in scan.looked)
    tone = Tone.GOOD if through == asked and asked else Tone.UNKNOWN
    return Facts((*facts, Fact("Scanners through", f"{through} of {asked}", tone)))


def _warnings(scan: Scan, listed: Listing) -> Iterator[Notices]:
    """What keeps this page from being the whole truth."""
    notices = [
        Notice(f"{one.scanner.name} is {_STATES[one.state][0]}", one.reason, one.remedy, _STATES[one.state][1])
        for one in scan.of_state(State.UNKNOWN, State.PARTIAL)
    ]
    notices += [Notice("The scan itself", problem, tone=Tone.WARNING) for problem in scan.problems]
    below = scan.compared.below
    if total := sum(below.values()):
        parts = ", ".join(f"{below[severity]} {severity}" for severity in reversed(Severity) if below.get(severity))
        text = f"{counted(total, 'finding')} below {scan.settings.severity_threshold} left out ({parts})."
        notices.append(Notice("Below the threshold", text))
    if listed.left_out:
        text = f"{counted(listed.left_out, 'finding')} beyond what a report holds, the mildest, not listed."
        notices.append(Notice("Too many findings", text, tone=Tone.WARNING))
    if notices:
        yield Notices(tuple(notices))


def _new(scan: Scan, listed: Listing) -> Table | Notices:
    if scan.baseline is None:
        return Notices((), empty="Nothing is remembered of scans before: all findings below are new.")
    new = [one for one in listed.open if one.standing is Standing.NEW]
    rows = tuple(_cells(one.known) for one in new[:MAX_ROWS])
    return Table(_capped("New findings", len(new)), _FINDING, rows, "Nothing is new.")


def _area(scan: Scan, found: Sequence[Found], area: Area, lapsed: Mapping[str, AcceptedRisk]) -> Section:
    here = [one for one in scan.looked if one.scanner.area is area]
    states = "; ".join(f"{one.scanner.name}: {_STATES[one.state][0]}" for one in here) or "There is no scanner."
    empty = "No findings." if scan.knows(area) else "Nobody has looked: what there is, is unknown."
    return Section(area.capitalize(), (_table(f"Findings in {area}", found, lapsed, empty=empty),), states)


def _table(caption: str, found: Sequence[Found], lapsed: Mapping[str, AcceptedRisk], *, empty: str) -> Table:
    rows = tuple((*_cells(one.known), _since(one, lapsed)) for one in found[:MAX_ROWS])
    return Table(_capped(caption, len(found)), (*_FINDING, Column("Since")), rows, empty)


def _capped(caption: str, count: int) -> str:
    return f"{caption} (the worst {MAX_ROWS} of {count}; the JSON report has all)" if count > MAX_ROWS else caption


def _cells(known: Known) -> tuple[Cell | str, ...]:
    weakness = known.weakness
    line = f":{weakness.line}" if weakness.line else ""
    place = f" ({weakness.path}{line})" if weakness.path and weakness.path not in weakness.subject else ""
    severity = Cell(weakness.severity, _TONES[weakness.severity], RANK[weakness.severity])
    return (
        severity,
        weakness.rule,
        f"{weakness.subject}{place}",
        beside(weakness.subject, weakness.message),
        weakness.remedy,
    )


def _since(one: Found, lapsed: Mapping[str, AcceptedRisk]) -> Cell:
    notes = ["new"] if one.standing is Standing.NEW else [f"{one.known.since:%Y-%m-%d}"]
    if one.standing is Standing.UNSEEN:
        notes.append(f"last looked at {one.known.last_seen:%Y-%m-%d}: {one.why}")
    if entry := lapsed.get(one.known.identity):
        notes.append(expiry(entry))
    tones = {Standing.NEW: Tone.WARNING, Standing.KNOWN: Tone.PLAIN, Standing.UNSEEN: Tone.UNKNOWN}
    return Cell("; ".join(notes), tones[one.standing], one.known.since.timestamp())


def _recommendations(scan: Scan) -> Notices:
    def tone(severity: Severity) -> Tone:
        return Tone.CRITICAL if severity is Severity.CRITICAL else Tone.WARNING

    notices = tuple(Notice(one.text, remedy=one.remedy, tone=tone(one.severity)) for one in advice(scan))
    return Notices(notices, empty="Nothing needs to be done.")


def _scanners(scan: Scan) -> Table:
    titles = ("Scanner", "Area", "State", "Why")
    figures = ("Looked at", "Missed", "Findings", "Seconds")
    columns = (
        *(Column(one) for one in titles),
        *(Column(one, numeric=True) for one in figures),
        Column("Last through"),
    )
    return Table("Scanners", columns, tuple(_scanner_row(scan, one) for one in scan.looked), "There is no scanner.")


def _scanner_row(scan: Scan, one: Looked) -> tuple[Cell | str, ...]:
    word, tone = _STATES[one.state]
    fared = scan.memory.scanners.get(one.scanner.name)
    last = f"{fared.last_success:%Y-%m-%d %H:%M}" if fared and fared.last_success else "never"
    who = (one.scanner.name, one.scanner.area, Cell(word, tone), one.reason)
    if not one.asked:  # who was not asked has not seen 0 either
        return (*who, "", "", "", "", last)
    missed = len(one.seen.gaps())
    return (
        *who,
        Cell(f"{one.seen.scanned} {one.seen.unit}", number=one.seen.scanned),
        Cell(str(missed), Tone.WARNING if missed else Tone.PLAIN, missed),
        Cell(str(one.found), number=one.found),
        Cell("" if one.seconds is None else f"{one.seconds:.1f}", number=one.seconds),
        last,
    )


def _accepted(listed: Listing) -> Table:
    rows = tuple((*_cells(one.known), entry.reason, f"{entry.until}") for one, entry in listed.accepted[:MAX_ROWS])
    caption = _capped("Accepted, and not scored", len(listed.accepted))
    return Table(caption, (*_FINDING, Column("Why it is accepted"), Column("Until")), rows, "No finding is accepted.")


def _acceptances(scan: Scan) -> Iterator[Notices]:
    notices = [
        Notice(f"{entry.rule} ({entry.subject})", f"{expiry(entry)}: it counts again", tone=Tone.WARNING)
        for entry, _ in scan.judged.expired
    ]
    notices += [
        Notice(f"{entry.rule} ({entry.subject})", "accepted, and not found", "take it out of the settings")
        for entry in scan.judged.unmatched
    ]
    if notices:
        yield Notices(tuple(notices))


def _fixed(fixed: Sequence[Known]) -> Table:
    rows = tuple((*_cells(known), f"{known.since:%Y-%m-%d}") for known in fixed[:MAX_ROWS])
    columns = (*_FINDING, Column("Was known since"))
    return Table(_capped("Findings that are gone", len(fixed)), columns, rows, "Nothing was found gone.")


def _charts(scans: Sequence[PastScan]) -> Iterator[LineChart]:
    def line(name: str, values: Sequence[float]) -> Line:
        points: list[tuple[datetime, float | None]] = [(one.at, v) for one, v in zip(scans, values, strict=True)]
        return Line(name, tuple(points))

    yield LineChart("Security score", "count", (line("score", [one.score for one in scans]),))
    severities = (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM)
    lines = tuple(line(severity, [one.counts.get(severity, 0) for one in scans]) for severity in severities)
    yield LineChart("Open findings by severity", "count", lines)
