"""Which findings are accepted, by which entry of the settings, and which entries are out of date or for nothing."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from jobs.security.scanner import Weakness
from jobs.security.settings import AcceptedRisk
from jobs.security.standing import Found


@dataclass
class Judged:
    """Findings that count, and those that are accepted with the entry that says so.

    `expired` has each entry whose time is over with the findings that count again for it, `unmatched` those that match
    nothing.
    """

    open: list[Found] = field(default_factory=list)
    accepted: list[tuple[Found, AcceptedRisk]] = field(default_factory=list)
    expired: list[tuple[AcceptedRisk, list[Found]]] = field(default_factory=list)
    unmatched: list[AcceptedRisk] = field(default_factory=list)

    def lapsed(self) -> dict[str, AcceptedRisk]:
        """By the identity of each open finding that was accepted once, the entry whose time is over."""
        return {one.known.identity: entry for entry, matched in self.expired for one in matched}


def judge(found: Sequence[Found], entries: Sequence[AcceptedRisk], today: date) -> Judged:
    """Sort the findings by what is accepted on the day `today`; of several entries the first that holds counts."""
    patterns = [_Pattern(entry) for entry in entries]
    matched: dict[int, list[Found]] = {index: [] for index in range(len(entries))}
    judged = Judged()
    for one in found:
        matching = [index for index, pattern in enumerate(patterns) if pattern.matches(one.weakness)]
        for index in matching:
            matched[index].append(one)
        holding = [entries[index] for index in matching if entries[index].until >= today]
        if holding:
            judged.accepted.append((one, holding[0]))
        else:
            judged.open.append(one)
    still_open = {one.known.identity for one in judged.open}
    for entry, of_entry in zip(entries, matched.values(), strict=True):
        lapsed = [one for one in of_entry if one.known.identity in still_open]
        if entry.until < today and lapsed:
            judged.expired.append((entry, lapsed))
    judged.unmatched = [entry for index, entry in enumerate(entries) if not matched[index]]
    return judged


class _Pattern:
    def __init__(self, entry: AcceptedRisk) -> None:
        self._rule, self._subject = _matcher(entry.rule), _matcher(entry.subject)

    def matches(self, weakness: Weakness) -> bool:
        return bool(self._rule.fullmatch(weakness.rule) and self._subject.fullmatch(weakness.subject))


def _matcher(pattern: str) -> re.Pattern[str]:
    """A shell pattern, or the very text: `[::]:80` is a subject, and as a pattern would not match itself."""
    return re.compile(f"{re.escape(pattern)}|{fnmatch.translate(pattern)}")
