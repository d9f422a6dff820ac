"""What a run collects while it works: findings, actions, and what came of each attempt to renew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobs.certificates.metrics import Outcome
from jobs.core.model import Action, Finding, Severity

if TYPE_CHECKING:
    from jobs.core.ports import Reporter


@dataclass(frozen=True)
class Step:
    """One change: what it is, for the plan, and how it is made. `do` says more about it where it has more to say."""

    verb: str
    subject: str
    detail: str
    do: Callable[[], str | None]

    def action(self, *, done: bool, detail: str = "") -> Action:
        """The step as a line of the result."""
        return Action(verb=self.verb, subject=self.subject, detail=detail or self.detail, done=done)


@dataclass
class Notes:
    """Everything that a run says, in order."""

    report: Reporter
    findings: list[Finding] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def find(self, kind: str, subject: str, severity: Severity, message: str, remedy: str = "") -> None:
        """Keep a finding."""
        self.findings.append(Finding(kind=kind, subject=subject, severity=severity, message=message, remedy=remedy))

    def plan(self, steps: Sequence[Step]) -> None:
        """Keep what would be done."""
        self.actions += [step.action(done=False) for step in steps]

    def carry_out(self, steps: Sequence[Step]) -> None:
        """Do one step after the other; the first that raises ends it."""
        for number, step in enumerate(steps):
            self.report.progress(number, len(steps), f"{step.verb} {step.subject}")
            self.report.log("info", f"{step.verb} {step.subject}: {step.detail}")
            self.actions.append(step.action(done=True, detail=step.do() or ""))
