"""Figures as a table on the screen and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.harness import Figure, Gap, Row, fraction, spread


@dataclass(frozen=True)
class Measured:
    """A row with what it gave."""

    row: Row
    results: list[Figure | Gap]


def show(console: Console, measured: Measured) -> None:
    """Print one row's table."""
    title = f"{measured.row.name}: {measured.row.summary}"
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("figure", "ours", "peer", "peer's", "ours to peer's", "goal", "met"):
        table.add_column(name, overflow="fold")
    for result in measured.results:
        table.add_row(*(_figure_cells(result) if isinstance(result, Figure) else _gap_cells(result)))
    console.print(table)


def _figure_cells(figure: Figure) -> list[str]:
    return [
        escape(figure.what),
        f"{spread(figure.ours)} {figure.unit}",
        escape(figure.peer_name),
        f"{spread(figure.peer)} {figure.unit}" if figure.peer else "",
        "" if figure.ratio is None else fraction(figure.ratio),
        figure.goal.text if figure.goal else "",
        {None: "", True: "[green]yes[/]", False: "[red]no[/]"}[figure.met],
    ]


def _gap_cells(gap: Gap) -> list[str]:
    return [escape(gap.what), "not measured", escape(gap.reason), "", "", "", "[yellow]?[/]"]


def write_json(file: Path, machine: str, rows: Iterable[Measured]) -> None:
    """Write every run of every figure, for other programs."""
    document = {
        "machine": machine,
        "rows": [{"row": m.row.name, "figures": [_plain(result) for result in m.results]} for m in rows],
    }
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _plain(result: Figure | Gap) -> dict[str, Any]:
    if isinstance(result, Gap):
        return {"what": result.what, "not_measured": result.reason}
    return {
        "what": result.what,
        "unit": result.unit,
        "ours": list(result.ours),
        "peer": result.peer_name,
        "peers": list(result.peer),
        "ratio": result.ratio,
        "goal": result.goal.text if result.goal else None,
        "met": result.met,
    }
