"""What commands that tell about the past and the present print with: tables, texts from outside, JSON when asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from jobs.core.model import clean_message

if TYPE_CHECKING:
    from exporter.bridge.outgoing.outbox import Entry

T = TypeVar("T")

out = Console(highlight=False, soft_wrap=True)
if not out.is_terminal:
    out.width = 1000  # whoever reads this later has no edge to wrap at
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
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def show(entries: Sequence[T], table: Callable[[Sequence[T]], RenderableType], nothing: str, *, as_json: bool) -> None:
    """Print what a view returned: as JSON, as a table, or `nothing` where there is none."""
    if as_json:
        print_json(entries)
    else:
        out.print(table(entries) if entries else nothing)


def print_json(content: Any) -> None:
    """JSON, indented, as other programs read it."""
    out.print(json.dumps(content, indent=2, default=list), markup=False)


def table_of(*columns: str) -> Table:
    """An empty table in the manner of all tables here."""
    return Table(*columns, box=None, padding=(0, 2, 0, 0))


def said(text: Any) -> str:
    """A text from outside in one line: neither commands to the terminal nor markup."""
    return escape(" ".join(str(clean_message(str(text))).split()))


def styled(text: str, style: str) -> str:
    """A text of ours or from outside, in a style."""
    return f"[{style}]{said(text)}[/]" if style else said(text)


def when(at: str | None) -> str:
    """A time of a view, as the clock on the wall here has it."""
    return f"{datetime.fromisoformat(at).astimezone():%Y-%m-%d %H:%M:%S}" if at else ""


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


def print_messages(entries: Sequence[Entry], nothing: str) -> None:
    """Messages of the outbox, the newest first; `nothing` is said where there are none."""
    table = table_of("written", "channel", "what", "attempts", "tried again", "why it was not taken")
    for entry in entries:
        again = _when(datetime.fromtimestamp(entry.due).astimezone()) if entry.state == "pending" else "no"
        cells = (_when(entry.message.at), entry.channel, entry.message.summary, str(entry.attempts), again, entry.error)
        table.add_row(*map(said, cells))
    out.print(table if entries else nothing)


def _when(at: datetime) -> str:
    return when(at.isoformat())
