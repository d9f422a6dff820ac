"""Everything that one scan has come to: what the report, the page, SARIF, metrics and findings are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from jobs.core.model import Deduction, Severity
from jobs.core.scoring import score
from jobs.security import risk
from jobs.security.acceptance import Judged
from jobs.security.looking import Looked, State
from jobs.security.memory import Memory, PastScan
from jobs.security.scanner import Area
from jobs.security.settings import Settings
from jobs.security.standing import Compared, Found, Standing
from jobs.security.texts import counted


@dataclass(frozen=True)
class Scan:
    """One scan. `before` is the memory that it began with, `memory` the one that it leaves."""

    settings: Settings
    mode: str
    host: str
    base_dir: Path
    began: datetime
    seconds: float
    looked: Sequence[Looked]
    compared: Compared
    judged: Judged
    before: Memory
    memory: Memory
    problems: Sequence[str] = field(default=())

    @property
    def open(self) -> list[Found]:
        """The findings that count, the worst first."""
        return self.judged.open

    @cached_property
    def counts(self) -> Mapping[Severity, int]:
        """How many open findings there are of each severity."""
        return Counter(one.severity for one in self.open)

    @cached_property
    def deductions(self) -> list[Deduction]:
        """What is taken off the score."""
        return risk.deductions(self.counts, self.looked)

    @property
    def score(self) -> float:
        """From 0 to 100."""
        return score(self.deductions)

    @property
    def risk(self) -> risk.Risk:
        """The risk as a whole."""
        return risk.risk(self.counts, self.looked)

    def of_standing(self, standing: Standing) -> list[Found]:
        """The open findings that are new, known or unseen."""
        return [one for one in self.open if one.standing is standing]

    def of_state(self, *states: State) -> list[Looked]:
        """The scanners in one of these states."""
        return [one for one in self.looked if one.state in states]

    def of_area(self, area: Area) -> list[Found]:
        """The open findings of an area."""
        return [one for one in self.open if one.known.area is area]

    def knows(self, area: Area) -> bool:
        """Whether a scanner of the area has looked: now, or where it is left out now, in a former scan."""
        here = [one for one in self.looked if one.scanner.area is area]
        former = {name for name, scanner in self.before.scanners.items() if scanner.success}
        return any(one.looked or (one.state is State.LEFT_OUT and one.scanner.name in former) for one in here)

    @property
    def baseline(self) -> PastScan | None:
        """The scan before this one."""
        return self.before.scans[-1] if self.before.scans else None

    def summary(self) -> str:
        """One line."""
        found = ", ".join(
            f"{count} {severity}" for severity in reversed(Severity) if (count := self.counts.get(severity))
        )
        words = [f"score {self.score:g}", found or "no findings"]
        new, fixed = len(self.of_standing(Standing.NEW)), len(self.compared.fixed)
        words += [", ".join([*([f"{new} new"] if new else []), *([f"{fixed} fixed"] if fixed else [])])]
        words += [counted(len(self.judged.accepted), "accepted", "accepted") if self.judged.accepted else ""]
        for state in (State.UNKNOWN, State.PARTIAL):
            names = ", ".join(one.scanner.name for one in self.of_state(state))
            words += [f"{names} {state}" if names else ""]
        return "; ".join(filter(None, words))
