"""The table behind a chart: the same figures, to be read."""

from __future__ import annotations

from jobs.pages import figures, moments
from jobs.pages.page import BarChart, Cell, Column, Line, LineChart, Table


def table(chart: LineChart | BarChart) -> Table:
    """Every figure of a chart: a row for each moment or bar, UNKNOWN where there is none."""
    return _of_lines(chart) if isinstance(chart, LineChart) else _of_bars(chart)


def _of_lines(chart: LineChart) -> Table:
    columns = (Column("Time"), *(Column(line.name, numeric=True) for line in chart.lines))
    by_line = [dict(line.points) for line in chart.lines]
    rows: list[tuple[Cell | str, ...]] = []
    for at in sorted({at for points in by_line for at in points}):
        values = (figures.text(points.get(at), chart.unit) for points in by_line)
        rows.append((Cell(moments.text(at), at=at), *values))
    return Table(chart.title, columns, tuple(rows), empty="Nothing was measured.")


def _of_bars(chart: BarChart) -> Table:
    columns = (Column("Name"), Column("Figure", numeric=True))
    rows = tuple((name, figures.text(value, chart.unit)) for name, value in chart.bars)
    return Table(chart.title, columns, rows, empty="Nothing was measured.")


def in_short(line: Line, unit: str) -> str:
    """A line's range and its last figure: "12 % to 88 %, last 61 %"."""
    values = [value for _, value in sorted(line.points, key=lambda point: point[0]) if value is not None]
    if not values:
        return "nothing measured"
    least, most, last = (figures.text(value, unit) for value in (min(values), max(values), values[-1]))
    return f"{least} to {most}, last {last}" if least != most else f"always {last}"
