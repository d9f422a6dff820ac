"""What wants a person: matters from every view, of which those that have one cause become one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from exporter.bridge.outgoing.problems import RANK
from jobs.core.model import Severity

if TYPE_CHECKING:
    from exporter.views.shapes import RemediationEntry, ToDo

Kind = Literal["problem", "approval", "task", "alert", "daemon"]
Causes = frozenset[str]
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@dataclass(frozen=True)
class Matter:
    """A thing to do, and what makes it the same as another one.

    `group` is the sort that it is counted in (`agent`), `said` a clause that tells of it alone. Two matters with a
    common cause are one. `tags` say what it is about; one that is `covered_by` a cause or a tag of another (or by any
    that begins so, where it ends in a slash) only tells of that again. `repair` is one of it that is under way.
    """

    todo: ToDo
    group: str
    said: str
    causes: Causes = frozenset()
    tags: Causes = frozenset()
    covered_by: tuple[str, ...] = ()
    repair: RemediationEntry | None = None

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return Severity(self.todo["severity"])

    def with_(self, other: Matter) -> Matter:
        """This matter, as bad as the other and as old, which is another view of it."""
        worst = max(self.severity, other.severity, key=RANK.__getitem__)
        since = min(filter(None, (self.todo["since"], other.todo["since"])), default=None)
        told: ToDo = {**self.todo, "severity": worst.value, "since": since}
        return replace(self, todo=told, repair=self.repair or other.repair)


def number(count: int) -> str:
    """A number as a sentence has it."""
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def todo(
    severity: Severity,
    kind: Kind,
    subject: str,
    what: str,
    remedy: str = "",
    command: str = "",
    since: str | None = None,
) -> ToDo:
    """A thing to do."""
    return {
        "severity": severity.value,
        "kind": kind,
        "subject": subject,
        "what": what,
        "remedy": remedy,
        "command": command,
        "since": since,
    }


def joined(matters: Iterable[Matter]) -> list[Matter]:
    """One matter for each cause, the most urgent first; of those with one cause, the first says what to do.

    What only tells again comes after all that it could tell of, wherever it stands.
    """
    found: list[Matter] = []
    causes: dict[str, int] = {}
    tags: dict[str, int] = {}
    for matter in sorted(matters, key=lambda matter: bool(matter.covered_by)):
        place = _known(matter, causes, tags)
        if place is None:
            place = len(found)
            found.append(matter)
        else:
            found[place] = found[place].with_(matter)
        for names, places in ((matter.causes, causes), (matter.tags, tags)):
            for name in names:
                places.setdefault(name, place)
    return sorted(found, key=lambda matter: -RANK[matter.severity])


def _known(matter: Matter, causes: Mapping[str, int], tags: Mapping[str, int]) -> int | None:
    """The place of the matter that this one is another view of."""
    for cause in matter.causes:
        if cause in causes:
            return causes[cause]
    for wanted in matter.covered_by:
        for places in (causes, tags):
            if wanted in places:
                return places[wanted]
            if wanted.endswith("/"):
                for name, place in places.items():
                    if name.startswith(wanted):
                        return place
    return None
