"""The table behind a chart: the same figures, to be read."""

from __future__ import annotations

import math

from jobs.pages import figures, moments
from jobs.pages.page import BarChart, Cell, Column, Line, LineChart, Table


def table(chart: LineChart | BarChart) -> Table:
    """Every figure of a chart: a row for each moment or bar, UNKNOWN where it was not measured; empty if none was."""
    columns, rows = _of_lines(chart) if isinstance(chart, LineChart) else _of_bars(chart)
    measured = any(cell != figures.UNKNOWN for row in rows for cell in row[1:])
    return Table(chart.title, columns, tuple(rows) if measured else ())


def _of_lines(chart: LineChart) -> tuple[tuple[Column, ...], list[tuple[Cell | str, ...]]]:
    # By the second: in the night when clocks go back, two moments look alike, and are alike to a comparison.
    moment_at = {at.timestamp(): at for line in chart.lines for at, _ in line.points}
    by_line = [{at.timestamp(): value for at, value in line.points} for line in chart.lines]
    in_words = moments.short if len({at.year for at in moment_at.values()}) == 1 else moments.text
    rows: list[tuple[Cell | str, ...]] = []
    for second, at in sorted(moment_at.items()):
        values = (figures.text(points.get(second), chart.unit) for points in by_line)
        rows.append((Cell(in_words(at), at=at), *values))
    return (Column("Time"), *(Column(line.name, numeric=True) for line in chart.lines)), rows


def _of_bars(chart: BarChart) -> tuple[tuple[Column, ...], list[tuple[Cell | str, ...]]]:
    rows: list[tuple[Cell | str, ...]] = [(name, figures.text(value, chart.unit)) for name, value in chart.bars]
    return (Column("Name"), Column("Figure", numeric=True)), rows


def in_short(line: Line, unit: str) -> str:
    """A line's range and its last figure: "12 % to 88 %, last 61 %"."""
    in_order = sorted(line.points, key=lambda point: point[0].timestamp())
    values = [value for _, value in in_order if value is not None and math.isfinite(value)]
    if not values:
        return "nothing measured"
    least, most, last = (figures.text(value, unit) for value in (min(values), max(values), values[-1]))
    return f"{least} to {most}, last {last}" if least != most else f"always {last}"
