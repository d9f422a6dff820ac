"""A report as a person reads it at a terminal, whatever job wrote it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from exporter.commandline.console import out, print_json, said, when
from exporter.failure import EXIT_UNAVAILABLE, Failure
from exporter.views.shapes import ReportEntry
from jobs.core.model import CONTROL

MAX_ITEMS = 20
"""Of a longer list so much is shown; `--json` has it all."""
MAX_DEPTH = 4
_NAMES = ("name", "agent", "subject", "rule", "file", "check", "title")
"""Keys by which an item of a list is called, where it has one of them."""


def print_report(entry: ReportEntry, content: bytes) -> None:
    """What a report says; raise Failure where it is not JSON."""
    document = _document(entry, content)
    mode = f", mode {entry['mode']}" if entry["mode"] else ""
    out.print(f"[bold]{said(entry['task'])}[/]{said(mode)}, {when(entry['at'])}  [dim]{said(entry['id'])}[/]")
    for line in lines_of(document):
        out.print(line)


def print_document(entry: ReportEntry, content: bytes) -> None:
    """The whole report as JSON, in which what is not ASCII is escaped; raise Failure where it is none."""
    print_json(_document(entry, content))


def print_as_it_is(content: bytes) -> None:
    """The file, byte for byte; on a terminal without what would command it."""
    if sys.stdout.isatty():
        content = CONTROL.sub("\ufffd", content.decode(errors="replace")).encode()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def _document(entry: ReportEntry, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise Failure(f"{entry['id']}: is damaged; --raw json prints what there is", EXIT_UNAVAILABLE) from None


def lines_of(value: Any, depth: int = 0) -> Iterator[str]:
    """A document as indented lines, with names for its lists' items."""
    pad = "  " * depth
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _pair(str(key), inner, depth)
    elif isinstance(value, list):
        for item in value[:MAX_ITEMS]:
            yield from _item(item, depth)
        if len(value) > MAX_ITEMS:
            yield f"{pad}[dim]and {len(value) - MAX_ITEMS} more (--json has them)[/]"
    else:
        yield f"{pad}{_plain(value)}"


def _pair(key: str, value: Any, depth: int) -> Iterator[str]:
    pad, name = "  " * depth, f"[cyan]{said(key.replace('_', ' '))}[/]"
    if not isinstance(value, Mapping | list):
        yield f"{pad}{name}: {_plain(value)}"
    elif not value:
        yield f"{pad}{name}: none"
    elif isinstance(value, list) and not any(isinstance(item, Mapping | list) for item in value):
        more = f" [dim]and {len(value) - MAX_ITEMS} more[/]" if len(value) > MAX_ITEMS else ""
        yield f"{pad}{name}: {', '.join(map(_plain, value[:MAX_ITEMS]))}{more}"
    elif depth >= MAX_DEPTH:
        yield f"{pad}{name}: [dim]{len(value)} entries (--json has them)[/]"
    else:
        yield f"{pad}{name}:"
        yield from lines_of(value, depth + 1)


def _item(item: Any, depth: int) -> Iterator[str]:
    pad = "  " * depth
    if not isinstance(item, Mapping):
        yield f"{pad}- {_plain(item)}"
        return
    name = next((key for key in _NAMES if isinstance(item.get(key), str)), None)
    plain = {
        key: inner for key, inner in item.items() if not isinstance(inner, Mapping | list) and inner not in (None, "")
    }
    rest = ", ".join(f"{said(key.replace('_', ' '))} {_plain(inner)}" for key, inner in plain.items() if key != name)
    yield f"{pad}- {f'[bold]{said(item[name])}[/]: ' if name else ''}{rest}"


def _plain(value: Any) -> str:
    if value is None:
        return "[dim]not known[/]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return said(f"{value:g}" if isinstance(value, float) else value)
