"""What a report page consists of. These are plain values: `jobs.pages.html` makes one HTML file of them.

Every text is shown as it is: nothing here is markup, and nothing needs to be escaped by whoever fills it in. Line
breaks stay, what cannot be seen is written as an escape, and what is longer than `texts.MOST_CHARACTERS` is cut.
Moments know their zone, and are shown in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Tone(StrEnum):
    """How a text is meant; shown by colour and by a word or sign, never by colour alone."""

    PLAIN = "plain"
    GOOD = "good"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Cell:
    """A text of a table. `number` is the figure and `at` the moment that it stands for, for machines to read."""

    text: str
    tone: Tone = Tone.PLAIN
    number: float | None = None
    at: datetime | None = None


@dataclass(frozen=True)
class Column:
    """A column's heading; figures stand to the right."""

    title: str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells or texts, as many in each as there are columns. `empty` is said where there is no row."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell | str, ...], ...]
    empty: str = "None."

    def __post_init__(self) -> None:
        """Raise ValueError where a row has more or fewer cells than there are columns."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.caption!r}: a row of {len(row)} cells under {len(self.columns)} columns")


@dataclass(frozen=True)
class Line:
    """One line of a chart: points in time, None where nothing was measured (a gap, never a zero)."""

    name: str
    points: tuple[tuple[datetime, float | None], ...]


@dataclass(frozen=True)
class LineChart:
    """Figures over time, drawn as SVG with their table behind it. `unit` is one of `jobs.pages.figures`."""

    title: str
    unit: str
    lines: tuple[Line, ...]
    description: str = ""


@dataclass(frozen=True)
class BarChart:
    """One figure for each of several things; None where it is not known."""

    title: str
    unit: str
    bars: tuple[tuple[str, float | None], ...]
    description: str = ""


@dataclass(frozen=True)
class Fact:
    """A figure that stands by itself, with what it is compared with (`was 61 % the day before`)."""

    title: str
    text: str
    tone: Tone = Tone.PLAIN
    note: str = ""


@dataclass(frozen=True)
class Facts:
    """Figures side by side."""

    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Notice:
    """Something to read: a finding, a recommendation, a warning; `remedy` is what to do."""

    title: str
    text: str = ""
    remedy: str = ""
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True)
class Notices:
    """Things to read, in the order given. `empty` is said where there is none."""

    notices: tuple[Notice, ...]
    empty: str = "None."


Block = Table | LineChart | BarChart | Facts | Notices


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading; it is listed in the page's contents."""

    title: str
    blocks: tuple[Block, ...]
    intro: str = ""


@dataclass(frozen=True)
class Score:
    """A score from 0 to 100, or None where it is not known, the word for it, and what was taken off and why."""

    title: str
    value: float | None
    word: str
    tone: Tone
    deductions: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    host: str
    at: datetime
    summary: str
    sections: tuple[Section, ...]
    score: Score | None = None
