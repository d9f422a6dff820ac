"""A page's file is well-formed and says what the page says, whatever that is."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import html5lib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.pages import behind, charts, figures
from jobs.pages.html import render
from jobs.pages.page import (
    BarChart,
    Cell,
    Column,
    Fact,
    Facts,
    Line,
    LineChart,
    Notice,
    Notices,
    Page,
    Score,
    Section,
    Table,
    Tone,
)
from jobs.pages.texts import visible

TEXTS = st.text(st.characters(), max_size=12) | st.sampled_from(
    ["<b>", "&amp;", "]]>", "</style>", "{{ 7 }}", "\ud800"]
)
TONES = st.sampled_from(Tone)
UNITS = st.sampled_from(sorted(figures.UNITS))
VALUES = st.none() | st.floats() | st.floats(0, 1e6)
ZONES = st.sampled_from([UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"), ZoneInfo("Pacific/Apia")])
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=ZONES)  # noqa: DTZ001


def some(of: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(of, max_size=most).map(tuple)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    columns = draw(st.lists(st.builds(Column, TEXTS, st.booleans()), min_size=1, max_size=3))
    cells = st.builds(Cell, TEXTS, TONES, VALUES, st.none() | MOMENTS) | TEXTS
    rows = st.tuples(*(cells for _ in columns))
    return Table(draw(TEXTS), tuple(columns), draw(some(rows)), draw(TEXTS))


LINE_CHARTS = st.builds(
    LineChart, TEXTS, UNITS, some(st.builds(Line, TEXTS, some(st.tuples(MOMENTS, VALUES), 6))), TEXTS
)
BAR_CHARTS = st.builds(BarChart, TEXTS, UNITS, some(st.tuples(TEXTS, VALUES)), TEXTS)
FACTS = st.builds(Facts, some(st.builds(Fact, TEXTS, TEXTS, TONES, TEXTS)))
NOTICES = st.builds(Notices, some(st.builds(Notice, TEXTS, TEXTS, TEXTS, TONES)), TEXTS)
SECTIONS = st.builds(Section, TEXTS, some(tables() | LINE_CHARTS | BAR_CHARTS | FACTS | NOTICES), TEXTS)
SCORES = st.builds(Score, TEXTS, st.none() | st.floats(), TEXTS, TONES, some(st.tuples(st.floats(), TEXTS)))
PAGES = st.builds(Page, TEXTS, TEXTS, MOMENTS, TEXTS, some(SECTIONS, 2), st.none() | SCORES)


def parsed(page: Page) -> ElementTree.Element:
    """The file's tree; whatever is not well-formed in it raises."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(render(page))


def texts_of(value: object) -> list[str]:
    """Every text that must be on the page."""
    match value:
        case Table(caption, columns, rows, empty):
            cells = [cell if isinstance(cell, str) else cell.text for row in rows for cell in row]
            return [caption, *((*(column.title for column in columns), *cells) if rows else (empty,))]
        case LineChart(title=title, description=description) | BarChart(title=title, description=description):
            return [title, description, *(texts_of(behind.table(value)) if behind.table(value).rows else ())]
        case Facts(facts):
            return [text for fact in facts for text in (fact.title, fact.text, fact.note)]
        case Notices(notices, empty):
            return [text for notice in notices for text in (notice.title, notice.text, notice.remedy)] or [empty]
        case Section(title, blocks, intro):
            return [title, intro, *(text for block in blocks for text in texts_of(block))]
        case Page(title, host, _, summary, sections, score):
            of_score = [score.title, score.word, *(why for _, why in score.deductions)] if score else []
            return [title, host, summary, *of_score, *(text for section in sections for text in texts_of(section))]
    raise AssertionError(f"{value!r} is no part of a page")


@settings(max_examples=80)
@given(PAGES)
def test_every_page_is_well_formed_and_says_every_text(page: Page) -> None:
    tree = parsed(page)
    shown = "".join(tree.find("body").itertext())  # type: ignore[union-attr]
    assert [text for text in texts_of(page) if visible(text) not in shown] == []
    assert {element.tag for element in tree.iter() if isinstance(element.tag, str)}.isdisjoint({"script", "b", "img"})


def berlin(hour: int) -> datetime:
    """Hours from the midnight before the clocks go back; 02:00 comes twice."""
    return (datetime(2026, 10, 24, 22, tzinfo=UTC) + timedelta(hours=hour)).astimezone(ZoneInfo("Europe/Berlin"))


def test_the_hour_that_comes_twice_has_two_rows_and_two_places() -> None:
    chart = LineChart("Load", "ratio", (Line("one", tuple((berlin(hour), hour / 10) for hour in range(5))),))
    rows = behind.table(chart).rows
    assert [row[1] for row in rows] == ["0 %", "10 %", "20 %", "30 %", "40 %"]
    assert [row[0].text for row in rows if isinstance(row[0], Cell)][2:4] == ["25 Oct 02:00", "25 Oct 02:00"]
    xs = [float(x) for x in re.findall(r"[ML] (\S+)", charts.drawing(chart))]
    steps = [after - before for before, after in pairwise(xs)]
    assert steps == [pytest.approx(steps[0], abs=0.2)] * 4


def test_what_was_not_measured_at_either_end_is_a_gap_as_well() -> None:
    def first_and_last(values: tuple[float | None, ...]) -> tuple[float, float]:
        points = tuple((berlin(hour), value) for hour, value in enumerate(values))
        xs = [
            float(x) for x in re.findall(r"[ML] (\S+)", charts.drawing(LineChart("Load", "ratio", (Line("", points),))))
        ]
        return xs[0], xs[-1]

    (start, end), (first, last) = first_and_last((0, 1, 0, 1, 0)), first_and_last((None, 1, 0, 1, None))
    assert (first - start, end - last) == (pytest.approx((end - start) / 4, abs=0.2),) * 2


def test_lines_that_were_measured_at_different_times_share_a_table() -> None:
    one, other = (Line(name, ((berlin(hour), 0.5), (berlin(9), 1.0))) for name, hour in (("one", 1), ("other", 2)))
    none = figures.UNKNOWN
    assert [row[1:] for row in behind.table(LineChart("Load", "ratio", (one, other))).rows] == [
        ("50 %", none), (none, "50 %"), ("100 %", "100 %"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "chart",
    [
        LineChart("Load", "ratio", ()),
        LineChart("Load", "ratio", (Line("one", ()), Line("other", ((berlin(0), None), (berlin(1), float("nan")))))),
        BarChart("Load", "ratio", ()),
        BarChart("Load", "ratio", (("one", None),)),
    ],
)
def test_a_chart_of_nothing_says_so(chart: LineChart | BarChart) -> None:
    tree = parsed(Page("Report", "host", berlin(0), "", (Section("Section", (chart,)),)))
    assert charts.drawing(chart) == ""
    assert [element.text for element in tree.iter("p") if element.get("class") == "empty"] == ["Nothing was measured."]
    assert not list(tree.iter("table"))


def test_a_drawing_is_of_shapes_and_texts_with_plain_attributes() -> None:
    drawings = [
        charts.drawing(
            LineChart('"><x>', "count", (Line("<x>", ((berlin(0), 1), (berlin(1), None), (berlin(2), -2))),) * 9),
        ),
        charts.drawing(BarChart("x", "seconds", (("<script>\x00\udcff]]>", 1), ("name" * 25_000, -2)))),
    ]  # fmt: skip
    for element in (element for drawing in drawings for element in ElementTree.fromstring(drawing).iter()):
        assert element.tag in ("svg", "g", "rect", "path", "line", "circle", "text")
        for name, value in element.items():
            assert name not in ("style", "id", "href")
            assert re.fullmatch(r"[\w .,()#-]*", value), (name, value)
    assert all(len(drawing) < 10_000 for drawing in drawings)


def test_only_a_score_that_is_known_has_a_meter() -> None:
    def of(value: float | None) -> ElementTree.Element:
        return parsed(Page("Report", "host", berlin(0), "", (), Score("Score", value, "a word", Tone.UNKNOWN)))

    assert not list(of(None).iter("meter"))
    (meter,) = of(72.0).iter("meter")
    assert (meter.get("value"), meter.text) == ("72.0", "72 of 100")


def test_a_row_that_does_not_fit_its_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="table 'Agents': a row of 1 cells under 2 columns"):
        Table("Agents", (Column("Name"), Column("State")), (("chat",),))


def test_moments_and_figures_are_there_for_machines() -> None:
    cells = (Cell("today", at=berlin(3)), Cell("1.5 GiB", number=1.5))
    table = Table("Table", (Column("When"), Column("How much", numeric=True)), (cells,))
    tree = parsed(Page("Report", "host", berlin(0), "", (Section("Section", (table,)),)))
    assert [(time.get("datetime"), time.text) for time in tree.iter("time")] == [
        ("2026-10-25T00:00+02:00", "25 Oct 2026 00:00 CEST"), ("2026-10-25T02:00+01:00", "today"),
    ]  # fmt: skip
    assert [(data.get("value"), data.text) for data in tree.iter("data")] == [("1.5", "1.5 GiB")]
    assert [(head.get("scope"), head.text) for head in tree.iter("th")][:2] == [("col", "When"), ("col", "How much")]
