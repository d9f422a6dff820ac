"""What a run has looked at: only of that can it say that it is over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from jobs.core.model import Finding, Severity

ANY_MODE = "*"
ALL = ".*"
SAME = ".* {subject}(/.*)?"
"""Whatever is said of the finding's subject, and of what lies below it."""
_UNKNOWN: Mapping[str, str] = {"unknown": SAME}
_RANK = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True)
class Sight:
    """What runs of a job see, as regular expressions over `KIND SUBJECT`.

    `looks_at` says, by mode (`*`: any), what a run looks at besides what its own mode found before. `blind` says, by
    the kind of a finding, what a run that reports it has not looked at; `{subject}` stands for the finding's subject
    and `{name}` for what follows the first slash in it. (`unknown` is always blind to its own subject.) `cut` is the
    kind of a finding that says that others, as severe as itself or less, were left out of the list.
    """

    looks_at: Mapping[str, str] = field(default_factory=dict, hash=False)
    blind: Mapping[str, str] = field(default_factory=dict, hash=False)
    cut: str = ""

    def covers(self, mode: str, found_in: str, kind: str, subject: str) -> bool:
        """Whether a run in `mode` looks at what a run in the mode `found_in` has found."""
        wanted = (self.looks_at.get(key) for key in (mode, ANY_MODE))
        return mode == found_in or any(
            pattern and re.fullmatch(pattern, f"{kind} {subject}", re.DOTALL) for pattern in wanted
        )

    def is_hidden(self, findings: Iterable[Finding], kind: str, subject: str, severity: Severity) -> bool:
        """Whether a run with these findings could not look at something, or may have left it out."""
        return any(
            self._hides(finding, f"{kind} {subject}")
            or (finding.kind == self.cut and _RANK[severity] <= _RANK[finding.severity])
            for finding in findings
        )

    def _hides(self, finding: Finding, about: str) -> bool:
        pattern = self.blind.get(finding.kind) or _UNKNOWN.get(finding.kind)
        if not pattern:
            return False
        name = finding.subject.partition("/")[2]
        filled = pattern.replace("{subject}", re.escape(finding.subject)).replace("{name}", re.escape(name))
        return re.fullmatch(filled, about, re.DOTALL) is not None
