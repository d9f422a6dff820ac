"""A run of the scan: look, compare with what is remembered, judge, remember, and say what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jobs.core.model import Request, Result
from jobs.security import figures
from jobs.security.acceptance import judge
from jobs.security.findings import findings
from jobs.security.listing import listing
from jobs.security.looking import Looked, Looking, State
from jobs.security.memory import Memory, MemoryFile, PastScan, ScannerMemory
from jobs.security.scan import Scan
from jobs.security.scanner import Scanner
from jobs.security.scanners import SCANNERS
from jobs.security.settings import FULL, STANDARD, Settings
from jobs.security.standing import Comparison

if TYPE_CHECKING:
    from jobs.clients import Clients

JSON, HTML, SARIF = ".json", ".html", ".sarif"
MAX_UNIX_TIME = 1e11


class Run:
    """One run: `result` does everything."""

    def __init__(
        self, settings: Settings, clients: Clients, request: Request, scanners: Sequence[Scanner] = SCANNERS
    ) -> None:
        self.settings, self.clients, self.request, self.scanners = settings, clients, request, scanners
        self.full = request.mode == FULL
        self.memory_file = MemoryFile(clients.base_dir)

    def result(self) -> Result:
        """Scan, remember, and say what was found. A dry run scans as well, and writes nothing."""
        now, began = self.clients.clock.now(), self.clients.clock.monotonic()
        before, problem = self.memory_file.load(now, dry_run=self.request.dry_run)
        looked = Looking(self.settings, self.clients, full=self.full, dry_run=self.request.dry_run).all(self.scanners)
        compared = Comparison(looked, before, now=now, full=self.full).compared(self.settings.severity_threshold)
        scan = Scan(
            settings=self.settings,
            mode=self.request.mode or STANDARD,
            host=self.clients.host.name(),
            base_dir=self.clients.base_dir,
            began=now,
            seconds=self.clients.clock.monotonic() - began,
            looked=looked,
            compared=compared,
            judged=judge(compared.found, self.settings.accepted_risks, now.date()),
            before=before,
            memory=before,
            problems=[*filter(None, [problem]), *self._misnamed()],
        )
        return self._result(self._remember(scan))

    def _misnamed(self) -> list[str]:
        names = {scanner.name for scanner in self.scanners}
        return [
            f"disabled_scanners names {name!r}, and there is no such scanner (there are {', '.join(sorted(names))})"
            for name in self.settings.disabled_scanners
            if name not in names
        ]

    def _remember(self, scan: Scan) -> Scan:
        """The scan with the memory that it leaves, and with what went wrong in writing it down."""
        scan = replace(scan, memory=_memory_after(scan))
        if self.request.dry_run:
            return scan
        try:
            self.memory_file.save(scan.memory)
        except OSError as error:
            problem = (
                f"{self.memory_file.path} cannot be written ({error.strerror}): the next scan knows nothing of this one"
            )
            return replace(scan, problems=[*scan.problems, problem])
        return scan

    def _result(self, scan: Scan) -> Result:
        self.clients.report.log("info", scan.summary())
        forms = {} if self.request.dry_run else self._forms(scan)
        return Result(
            status=scan.risk.name,
            verdict=scan.risk,
            summary=scan.summary(),
            score=scan.score,
            deductions=tuple(scan.deductions),
            findings=tuple(findings(scan)),
            samples=tuple(figures.samples(scan)),
            observations=tuple(figures.observations(scan)),
            report=forms.pop(JSON, None),
            renderings=forms,
        )

    def _forms(self, scan: Scan) -> dict[str, Any]:
        """The report in each form that is wanted, by the suffix of its file."""
        listed, forms = listing(scan), dict[str, Any]()
        if self.settings.report_format != "html":
            from jobs.security.report import report

            forms[JSON] = report(scan, listed)
        if self.settings.report_format != "json":
            from jobs.pages.html import render
            from jobs.security.page import page

            forms[HTML] = render(page(scan, listed))
        if self.settings.sarif:
            from jobs.security.sarif import sarif

            forms[SARIF] = sarif(scan, listed)
        return forms


def _memory_after(scan: Scan) -> Memory:
    known = [*(one.known for one in scan.compared.found), *scan.compared.dormant]
    past = PastScan(at=scan.began, mode=scan.mode, score=scan.score, counts=scan.counts)
    scanners = {one.scanner.name: fared for one in scan.looked if (fared := _fared(one, scan))}
    return scan.before.with_known(known).with_scan(past).model_copy(update={"scanners": scanners})


def _fared(one: Looked, scan: Scan) -> ScannerMemory | None:
    """How a scanner fared, now or where it was not to look when it last did."""
    before = scan.before.scanners.get(one.scanner.name)
    if one.state in (State.OFF, State.LEFT_OUT):
        return before
    last_success = scan.began if one.looked else before and before.last_success
    return ScannerMemory(
        area=one.scanner.area,
        success=one.looked,
        at=scan.began,
        last_success=last_success and min(last_success, scan.began),
        seconds=one.seconds,
        scanned=one.seen.scanned,
        missed=len(one.seen.missed) + one.seen.more_missed,
        database=_unix_time(one.seen.details.get("database_timestamp_seconds")),
    )


def _unix_time(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 < value < MAX_UNIX_TIME else None
