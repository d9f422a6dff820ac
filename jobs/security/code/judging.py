"""From places where rules match to weaknesses: one for each rule and file, however often it matches there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.clients.file_search import shown
from jobs.core.model import Severity
from jobs.security.code.catalogue import CodeRule
from jobs.security.scanner import Weakness

if TYPE_CHECKING:
    from jobs.clients.semgrep import Match

_SHOWN_LINES = 10
# As Semgrep reads it: `nosem` or `nosemgrep`, alone or with the ids of the rules that it is about.
_HIDES = re.compile(r"\bnosem(?:grep)?\b(?:\s*:\s*(?P<ids>[\w.\-]+(?:\s*,\s*[\w.\-]+)*))?", re.IGNORECASE)


@dataclass(frozen=True)
class SourceFile:
    """A file in which a rule matches: its path, what it is called in the report, and its lines."""

    path: Path
    subject: str
    lines: Sequence[str]


def judge(file: SourceFile, matches: Iterable[Match], rules: Mapping[str, CodeRule]) -> list[Weakness]:
    """What the matches in one file amount to; those that a comment hides become one remark."""
    shown_at: dict[str, list[int]] = {}
    hidden_at: list[int] = []
    for match in sorted(set(matches), key=lambda match: match.line):
        if _is_hidden(file.lines, match):
            hidden_at.append(match.line)
        else:
            shown_at.setdefault(match.rule, []).append(match.line)
    found = [_weakness(file, _known(rules, rule), lines) for rule, lines in shown_at.items()]
    return [*found, _remark(file, hidden_at)] if hidden_at else found


def _is_hidden(lines: Sequence[str], match: Match) -> bool:
    """Whether a comment of this line, or of the one before it that has nothing else, takes the match back."""
    own = lines[match.line - 1] if 0 < match.line <= len(lines) else ""
    before = lines[match.line - 2] if 1 < match.line <= len(lines) + 1 else ""
    alone = before.strip().startswith(("#", "//", "/*", "<!--"))
    comments = (_HIDES.search(line) for line in (own, before if alone else ""))
    return any(comment is not None and _is_about(comment["ids"], match.rule) for comment in comments)


def _is_about(ids: str | None, rule: str) -> bool:
    return ids is None or rule in (text.strip() for text in ids.split(","))


def _known(rules: Mapping[str, CodeRule], rule: str) -> CodeRule:
    short = rule.rpartition(".")[2]
    return rules.get(rule) or rules.get(short) or CodeRule(short, Severity.MEDIUM, "a Semgrep rule matches")


def _weakness(file: SourceFile, rule: CodeRule, lines: Sequence[int]) -> Weakness:
    return Weakness(
        rule=rule.id,
        subject=file.subject,
        severity=rule.severity,
        message=f"{shown(file.subject)}: {rule.message} ({_listed(lines)})",
        remedy=rule.remedy,
        path=str(file.path),
        line=lines[0],
        url=rule.url,
    )


def _remark(file: SourceFile, lines: Sequence[int]) -> Weakness:
    return Weakness(
        rule="hidden-by-comment",
        subject=file.subject,
        severity=Severity.INFO,
        message=f"{shown(file.subject)}: nosemgrep comments hide what rules found ({_listed(lines)})",
        remedy="Look at each, and accept the risk in the settings, where it has a reason and an end.",
        path=str(file.path),
        line=lines[0],
    )


def _listed(lines: Sequence[int]) -> str:
    more = f" and {len(lines) - _SHOWN_LINES} more" if len(lines) > _SHOWN_LINES else ""
    shown_lines = ", ".join(str(line) for line in lines[:_SHOWN_LINES])
    return f"{'line' if len(lines) == 1 else 'lines'} {shown_lines}{more}"
