"""Charts as inline SVG, drawn by leather: shapes and plain texts only, coloured by the page's style sheet.

There is no script, style, link or id in them, so any number of them can stand on one page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from unicodedata import east_asian_width
from xml.etree import ElementTree

import leather
from leather import theme

from jobs.pages import figures, moments
from jobs.pages.page import BarChart, Line, LineChart
from jobs.pages.scales import Linear, Places, round_marks
from jobs.pages.texts import visible

COLOURS, DASHES = 6, ("none", "7 4", "2 3", "10 3 2 3")
"""Lines take turns in both; the style sheet has `--series-1` and so on, and the same dashes for the legend."""

_WIDTH, _HEIGHT, _BAR_HEIGHT = 480, 190, 28
_EDGE = 14  # room around the drawing for what stands half over the edge
_NO_MARKS = 22  # what leather leaves below a chart for the marks of its axis
_LARGEST = 1e30  # a figure beyond it is a mistake of whoever measured it; it is in the table
_NAME_WIDTH = 24  # of a bar's name, in small letters

# leather's only way of setting these. Colours and fonts are the style sheet's, which goes before.
theme.margin = 0.0
theme.background_color = "none"
theme.tick_font_char_width = 7


def drawing(chart: LineChart | BarChart) -> str:
    """The chart as an `<svg>` without a name; empty where there is nothing to draw.

    Every text in it is escaped, and every attribute is a number or a word of this module's.
    """
    return _line_chart(chart) if isinstance(chart, LineChart) else _bar_chart(chart)


def _line_chart(chart: LineChart) -> str:
    lines = [_points(line) for line in chart.lines]
    known = [value for points in lines for _, value in points if value is not None]
    if not known:
        return ""
    # What was not measured at either end is a gap as well.
    moment_at = {at.timestamp(): at for line in chart.lines for at, _ in line.points}
    first, last = min(moment_at), max(moment_at)
    times = moments.marks(moment_at[first], moment_at[last].astimezone(moment_at[first].tzinfo))
    marks = round_marks(known, chart.unit)
    drawn = leather.Chart()
    x = Linear(first, last if last > first else first + 1, tuple(at.timestamp() for at, _ in times))
    y = Linear(marks[0], marks[-1], tuple(marks))
    _axes(drawn, x, [name for _, name in times], y, [figures.text(mark, chart.unit) for mark in marks])
    for number, points in enumerate(lines):
        _add_line(drawn, number, points)
    return _svg(drawn, _HEIGHT, _HEIGHT + _EDGE)


def _points(line: Line) -> list[tuple[float, float | None]]:
    return sorted(((at.timestamp(), _drawable(value)) for at, value in line.points), key=lambda point: point[0])


def _drawable(value: float | None) -> float | None:
    """The value, or None where it cannot be placed."""
    return value if value is not None and math.isfinite(value) and abs(value) <= _LARGEST else None


def _add_line(drawn: leather.Chart, number: int, points: Sequence[tuple[float, float | None]]) -> None:
    if all(value is None for _, value in points):
        return
    colour = f"var(--series-{number % COLOURS + 1})"
    shape = leather.Line(stroke_color=colour, width=2, stroke_dasharray=DASHES[number % len(DASHES)])
    _add(drawn, points, shape)
    # Between two gaps there is no line, yet something was measured.
    if alone := [point for before, point, after in _neighbours(points) if before is None and after is None]:
        _add(drawn, alone, leather.Dots(fill_color=colour, radius=2.5))


def _neighbours(
    points: Sequence[tuple[float, float | None]],
) -> list[tuple[float | None, tuple[float, float | None], float | None]]:
    """Each known point with the values before and after it."""
    values = [None, *(value for _, value in points), None]
    return [(values[i], point, values[i + 2]) for i, point in enumerate(points) if point[1] is not None]


def _bar_chart(chart: BarChart) -> str:
    values = [_drawable(value) for _, value in chart.bars]
    known = [value for value in values if value is not None]
    if not known:
        return ""
    marks = round_marks(known, chart.unit, from_zero=True)
    places = Places(tuple(str(number) for number in range(len(chart.bars))))
    names = [_beside_bar(name) for name, _ in chart.bars]
    drawn = leather.Chart()
    # A fifth of the width is for the figure that stands behind the longest bar.
    _axes(drawn, Linear(marks[0], marks[-1] + (marks[-1] - marks[0]) / 4), [], places, names)
    rows = [(value or 0.0, place) for value, place in zip(values, places.names, strict=True)]
    _add(drawn, rows, leather.Bars(fill_color="var(--series-1)"))
    height = _BAR_HEIGHT * len(rows)
    return _svg(drawn, height + _NO_MARKS, height + _EDGE, [figures.text(value, chart.unit) for _, value in chart.bars])


def _beside_bar(name: str) -> str:
    """A bar's name, cut where it is too long for its place.

    leather reserves room for as many small letters as there are characters: spaces, which SVG does not draw at the
    beginning, stand for what wider ones need beyond that.
    """
    kept, width = "", 0.0
    for character in visible(name):
        width += _width(character)
        if width > _NAME_WIDTH:
            kept += "…"
            break
        kept += character
    return " " * round(min(width, _NAME_WIDTH) - len(kept)) + kept


def _width(character: str) -> float:
    return 2 if east_asian_width(character) in "WF" else 1.35 if character.isupper() else 1


def _axes(drawn: leather.Chart, x: Linear, x_marks: list[str], y: Linear | Places, y_marks: list[str]) -> None:
    drawn.set_x_scale(x)
    drawn.set_y_scale(y)
    drawn.set_x_axis(leather.Axis(tick_formatter=lambda _mark, number, _count: x_marks[number]))
    drawn.set_y_axis(leather.Axis(tick_formatter=lambda _mark, number, _count: y_marks[number]))


def _add(drawn: leather.Chart, rows: Sequence[tuple[object, object]], shape: object) -> None:
    # The legend is on the page: it can be read aloud and breaks where it must.
    shape.legend_to_svg = lambda _series, _palette: []  # type: ignore[attr-defined]
    drawn.add_series(leather.Series(rows), shape)


def _svg(drawn: leather.Chart, height: int, shown_height: int, bar_figures: Sequence[str] = ()) -> str:
    root = ElementTree.Element("svg", viewBox=f"0 0 {_WIDTH} {shown_height}")
    group = drawn.to_svg_group(_WIDTH - 2 * _EDGE, height)
    group.set("transform", f"translate({_EDGE} {_EDGE / 2:g})")
    root.append(group)
    _write_beside(group, bar_figures)
    return ElementTree.tostring(root, encoding="unicode")


def _write_beside(group: ElementTree.Element, bar_figures: Sequence[str]) -> None:
    """Write each bar's figure behind it, which leather does not."""
    for bars in group.iterfind(".//g[@class='series bars']"):
        for bar, words in zip(bars.findall("rect"), bar_figures, strict=True):
            x, y, width, height = (float(bar.get(name, "0")) for name in ("x", "y", "width", "height"))
            label = ElementTree.SubElement(
                bars, "text", x=f"{x + width + 6:.1f}", y=f"{y + height / 2:.1f}", dy="0.35em"
            )
            label.text = words
