"""What commands that tell about the past and the present print with: tables, texts from outside, JSON when asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from jobs.core.model import clean_message

T = TypeVar("T")

_WIDEST = 1000
_NARROWEST = 78
"""Columns that a screen takes at least; on a terminal with fewer its lines wrap."""
_LEAST_TEXT = 24
_SPANS = ((90, 1, "s"), (90 * 60, 60, "min"), (48 * 3600, 3600, "h"), (float("inf"), 86400, "d"))
"""Up to so many seconds a time is told in units of so many, called so."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let `main` hear of a reader that left, for which it is no error: rich would end with 1."""
        raise  # what rich has caught


out = _Console(highlight=False, soft_wrap=True)
if not out.is_terminal:
    out.width = _WIDEST  # whoever reads this later has no edge to wrap at
elif out.is_dumb_terminal:
    out.height = 25  # without one rich holds to 80 columns, whatever width is set, and leaves columns out
OUTCOME_STYLES: Mapping[str, str] = {
    "ok": "green",
    "skipped": "yellow",
    "error": "red",
    "timeout": "red",
    "stopped": "yellow",
}
SEVERITY_STYLES: Mapping[str, str] = {
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "low": "cyan",
    "info": "dim",
}
VERDICT_STYLES: Mapping[str, str] = {
    "good": "bold green",
    "attention": "bold yellow",
    "critical": "bold red",
    "unknown": "bold magenta",
}
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def show(entries: Sequence[T], table: Callable[[Sequence[T]], RenderableType], nothing: str, *, as_json: bool) -> None:
    """Print what a view returned: as JSON, as a table, or `nothing` where there is none."""
    if as_json:
        print_json(entries)
    else:
        print_whole(table(entries) if entries else nothing)


def print_whole(what: RenderableType) -> None:
    """Print something so that nothing of it is cut: a table that is too wide for a terminal, that wraps."""
    if isinstance(what, Table):
        wide = out.options.update(max_width=_WIDEST)
        for column in what.columns:
            if column.no_wrap:
                texts = [column.header, *column.cells]
                column.min_width = max(Measurement.get(out, wide, text).maximum for text in texts)
        out.width = max(out.width, min(Measurement.get(out, wide, what).minimum, _WIDEST))
    _print_trimmed(what, soft_wrap=not isinstance(what, Table))


def print_screen(what: RenderableType) -> None:
    """Print several things of which each takes the width that there is."""
    out.width = max(out.width, _NARROWEST)
    _print_trimmed(what, soft_wrap=False)


def _print_trimmed(what: RenderableType, *, soft_wrap: bool) -> None:
    """Print without the blanks that fill the last column: where lines wrap they would be lines of their own."""
    with out.capture() as captured:
        out.print(what, soft_wrap=soft_wrap)
    out.file.write("\n".join(map(_trimmed, captured.get().split("\n"))))
    out.file.flush()


def _trimmed(line: str) -> str:
    """A line without the blanks at its end, styled or not. (A pattern for all would begin at every blank within.)"""
    kept, end = line.rstrip(" "), ""
    while kept.endswith("m") and _STYLE.fullmatch(kept, start := max(0, kept.rfind("\x1b"))):
        kept, end = kept[:start].rstrip(" "), "\x1b[0m"
    return kept + end


def print_json(content: Any) -> None:
    """JSON, indented, as other programs read it."""
    out.print(json.dumps(content, indent=2, default=list), markup=False)


def table_of(*columns: str, wraps: Collection[str] = ()) -> Table:
    """An empty table in the manner of all tables here; the columns in `wraps` may have cells of several lines."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in columns:
        least = _LEAST_TEXT if column in wraps else None
        table.add_column(column, no_wrap=column not in wraps, overflow="fold", min_width=least)
    return table


def said(text: Any) -> str:
    """A text from outside in one line: neither commands to the terminal nor markup."""
    return escape(" ".join(str(clean_message(str(text))).split()))


def styled(text: str, style: str) -> str:
    """A text of ours or from outside, in a style."""
    return f"[{style}]{said(text)}[/]" if style else said(text)


def when(at: str | None) -> str:
    """A time of a view, as the clock on the wall here has it."""
    return f"{datetime.fromisoformat(at).astimezone():%Y-%m-%d %H:%M:%S}" if at else ""


def from_now(at: str | None, now: datetime) -> str:
    """A time of a view as seen from now, in few words: `3 min ago`, `in 2 h`."""
    if not at:
        return ""
    seconds = (datetime.fromisoformat(at) - now).total_seconds()
    least = next((one for one in _SPANS if abs(seconds) < one[0]), _SPANS[-1])
    span = f"{abs(seconds) / least[1]:.0f} {least[2]}"
    return f"in {span}" if seconds > 0 else f"{span} ago"


def how_long(seconds: float) -> str:
    """A duration in its two greatest units."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {seconds % 60:.0f} s"
    hours = minutes // 60
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def how_large(size_bytes: int) -> str:
    """A size in the unit that suits it."""
    size, unit = float(size_bytes), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or size >= 100 else f"{size:.1f} {_UNITS[unit]}"
