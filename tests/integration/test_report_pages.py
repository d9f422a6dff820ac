"""Report pages as people get them: opened from the disk in Chromium, by day and night, on a phone and on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jobs.pages import figures
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
from tests.services import pages
from tests.services.chromium import Chromium, Opened

EXAMPLES = {"performance": pages.performance_page, "security": pages.security_page}
GAPS = LineChart("CPU & <friends>", "ratio", (
    Line("one", tuple(
        (datetime(2026, 11, 28, hour, tzinfo=UTC), value)
        for hour, value in enumerate([0.1, 0.2, 0.3, None, None, 0.4, None, 0.2, 0.1])
    )),
))  # fmt: skip
BARS = BarChart(
    "Memory", "bytes", (("postgres", 3 * pages.GIB), ("redis", 1.5 * pages.GIB), ("unknown-one", None), ("none", 0))
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    browser = Chromium()
    yield browser
    browser.close()


@pytest.fixture(scope="module", params=EXAMPLES)
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("pages"), EXAMPLES[request.param]())


def written(directory: Path, page: Page) -> Path:
    file = directory / "report.html"
    file.write_text(render(page), encoding="utf-8")
    return file


def page_of(*blocks: Any) -> Page:
    return Page("Report", "host", pages.AT, "", (Section("Section", blocks),))


def words(text: str) -> str:
    return " ".join(text.split())


def did_nothing(opened: Opened) -> bool:
    return opened.events == [] and opened.ask("window.violations") == []


def test_it_opens_from_the_disk_fetches_nothing_and_keeps_its_own_policy(chromium: Chromium, example: Path) -> None:
    with chromium.opened(example) as opened:
        assert did_nothing(opened)
        assert opened.ask("getComputedStyle(document.querySelector('main')).display") == "grid"
        opened.ask(
            "document.head.append(Object.assign(document.createElement('style'), {textContent: '* {color: red}'}))"
        )
        assert opened.ask("window.violations") == ["style-src-elem"]
        opened.ask("document.body.append(Object.assign(document.createElement('img'), {src: 'http://127.0.0.1:1/'}))")
        opened.page.wait_for_function("window.violations.includes('img-src')")


def test_it_is_the_same_without_script(chromium: Chromium, example: Path) -> None:
    with chromium.opened(example) as with_script, chromium.opened(example, java_script_enabled=False) as without:
        assert with_script.text() == without.text()
        assert without.events == []
    assert "<script" not in example.read_text()


def test_the_page_never_scrolls_sideways(chromium: Chromium, example: Path) -> None:
    rights = "[...document.querySelectorAll('svg, figure, .wide')].map(it => it.getBoundingClientRect().right)"
    with chromium.opened(example) as opened:
        opened.ask("document.querySelectorAll('details').forEach(details => details.open = true)")
        for width in (1280, 700, 360):
            opened.page.set_viewport_size({"width": width, "height": 900})
            assert opened.ask("document.documentElement.scrollWidth") == width
            assert max(opened.ask(rights)) <= width
        assert opened.ask("[...document.querySelectorAll('.wide')].every(box => box.tabIndex == 0)")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_everybody_can_read_it(chromium: Chromium, example: Path, scheme: str, width: int) -> None:
    with chromium.opened(example, width=width, color_scheme=scheme) as opened:
        opened.ask("document.querySelectorAll('details').forEach(details => details.open = true)")
        # One row after another is the same to axe, and each takes its time.
        opened.ask("document.querySelectorAll('details tr:nth-child(n + 4)').forEach(row => row.remove())")
        assert opened.grave_violations() == []


def test_light_and_dark_differ_in_the_page_and_in_its_charts(chromium: Chromium, tmp_path: Path) -> None:
    file = written(tmp_path, page_of(GAPS, BARS))
    colours = """[["body", "backgroundColor"], ["body", "color"], [".lines path", "stroke"], [".bars rect", "fill"],
        ["svg text", "fill"]].map(([what, which]) => getComputedStyle(document.querySelector(what))[which])"""
    with chromium.opened(file, color_scheme="light") as light, chromium.opened(file, color_scheme="dark") as dark:
        by_day, by_night = light.ask(colours), dark.ask(colours)
        assert all(one != other for one, other in zip(by_day, by_night, strict=True))
        dark.page.emulate_media(media="print")
        on_paper = dark.ask(colours)
        assert (on_paper[0], on_paper[1:]) == ("rgb(255, 255, 255)", by_day[1:])


def test_on_paper_the_tables_behind_the_charts_are_shown(chromium: Chromium, tmp_path: Path) -> None:
    file = written(tmp_path, page_of(GAPS))
    shown = "document.querySelector('details table').checkVisibility({contentVisibilityAuto: true}) && "
    shown += "document.querySelector('details td').getBoundingClientRect().height > 0"
    with chromium.opened(file) as opened:
        assert not opened.ask(shown)
        opened.page.emulate_media(media="print")
        opened.page.wait_for_function(shown)
        assert opened.ask(
            "[...document.querySelectorAll('.wide')].every(box => getComputedStyle(box).overflowX == 'visible')"
        )


def test_everything_fits_on_paper(chromium: Chromium, example: Path) -> None:
    with chromium.opened(example, width=688) as opened:  # A4 within its margins
        opened.page.emulate_media(media="print")
        assert opened.ask("document.documentElement.scrollWidth") == 688


def test_a_gap_is_a_gap_and_what_stands_alone_is_a_dot(chromium: Chromium, tmp_path: Path) -> None:
    boxes = (
        "[...document.querySelectorAll('%s')].map(it => it.getBoundingClientRect()).map(box => [box.left, box.right])"
    )
    with chromium.opened(written(tmp_path, page_of(GAPS))) as opened:
        before, _, after = opened.ask(boxes % ".lines path")
        ((dot_left, dot_right),) = opened.ask(boxes % ".dots circle")
    hour = (before[1] - before[0]) / 2
    assert dot_left - before[1] > 2 * hour
    assert after[0] - dot_right > hour


def test_every_chart_is_drawn_as_its_table_says(chromium: Chromium, tmp_path: Path) -> None:
    with chromium.opened(written(tmp_path, page_of(GAPS, BARS))) as opened:
        tables = [
            [
                [cell.text_content() for cell in row.query_selector_all("th, td")]
                for row in table.query_selector_all("tbody tr")
            ]
            for table in opened.page.query_selector_all("figure table")
        ]
        heights = [
            float(y) for path in opened.page.query_selector_all(".lines path")
            for y in re.findall(r"[ML] \S+ (\S+)", str(path.get_attribute("d")))
        ]  # fmt: skip
        widths = [float(str(bar.get_attribute("width"))) for bar in opened.page.query_selector_all(".bars rect")]
        beside = [label.text_content() for label in opened.page.query_selector_all(".bars text")]
    assert tables[0] == [
        [f"28 Nov 0{place}:00", figures.text(value, "ratio")] for place, (_, value) in enumerate(GAPS.lines[0].points)
    ]
    assert tables[1] == [["postgres", "3 GiB"], ["redis", "1.5 GiB"], ["unknown-one", figures.UNKNOWN], ["none", "0 B"]]
    assert beside == [row[1] for row in tables[1]]
    assert widths == [pytest.approx(2 * widths[1], abs=0.2), widths[1], 0, 0]
    known = [value for _, value in GAPS.lines[0].points if value is not None]
    tenth = heights[0] - heights[1]
    assert tenth > 10
    assert heights == [pytest.approx(heights[0] - (value - 0.1) * 10 * tenth, abs=0.5) for value in known]


def test_the_names_of_bars_have_room(chromium: Chromium, tmp_path: Path) -> None:
    names = ["a-container-with-a-long-name", "PRODUCTION DATABASE MAIN", "本番データベースの複製サーバー", "x"]
    file = written(tmp_path, page_of(*(BarChart(name, "bytes", ((name, 1), ("short", 2))) for name in names)))
    lefts = "[...document.querySelectorAll('%s')].map(it => it.getBoundingClientRect().left)"
    with chromium.opened(file, width=360) as opened:
        card = opened.ask(lefts % "figure")[0]
        assert min(opened.ask(lefts % ".axis.left text")) > card


def test_the_outline_is_in_order_and_the_contents_lead_to_every_section(chromium: Chromium, example: Path) -> None:
    with chromium.opened(example) as opened:
        levels = opened.ask("[...document.querySelectorAll('h1, h2, h3, h4')].map(heading => +heading.tagName[1])")
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        targets = opened.ask(
            "[...document.querySelectorAll('nav a, .skip')].map(a => !!document.querySelector(a.hash))"
        )
        assert len(targets) >= 3
        assert all(targets)
        opened.page.keyboard.press("Tab")
        assert opened.ask("document.activeElement.className") == "skip"
        assert opened.ask("document.activeElement.getBoundingClientRect().top") >= 0
        ids = opened.ask("[...document.querySelectorAll('[id]')].map(element => element.id)")
        assert len(ids) == len(set(ids))


HOSTILE = {
    "script": "<script>document.title = pwned = 1; alert(1)</script>",
    "handler": '"><img src=x onerror="pwned = 1; alert(1)"><svg/onload=alert(1)>',
    "address": "javascript:alert(document.domain)",
    "end-of-style": "</style></title></svg>]]>--><script>pwned = 1</script>",
    "template": "{{ 7 * 7 }}{% raw %}{{ page }}${7 * 7}#{7 * 7}",
    "entity": "&lt;b&gt; &amp;amp; &#x3c;script&#x3e;",
    "control": "a\x00b\x08\x1b[31mred\r\x7f\x85\ufffe",
    "surrogate": "half \ud83d of a pair \udcff",
    "direction": "photo_\u202egnp.exe \u2066\u200f",
    "quotes": "' onmouseover='alert(1)' style='x:y' \" `",
    "long": "name" * 25_000,
}


LABELS = 3
"""Names at the bars of the hostile page's chart: they are shortened."""


def hostile_page(text: str) -> Page:
    """A page in which every text is this one."""
    at = pages.AT
    points = tuple((at + timedelta(hours=hour), float(hour)) for hour in range(4))
    blocks = (
        Table(text, (Column(text), Column(text, numeric=True), Column(text)),
              ((text, Cell(text, Tone.CRITICAL, 1), Cell(text, at=at)),)),
        Table(text, (Column(text),), (), text),
        LineChart(text, "count", (Line(text, points), Line(text, points)), text),
        LineChart(text, "count", (), text),
        BarChart(text, "seconds", ((text, 1), (text, 2), (text, None)), text),
        Facts((Fact(text, text, Tone.GOOD, text),)),
        Notices((Notice(text, text, text, Tone.WARNING),), text),
        Notices((), text),
    )  # fmt: skip
    return Page(
        text, text, at, text, (Section(text, blocks, text),), Score(text, 50, text, Tone.UNKNOWN, ((50, text),))
    )


class Harmless(NamedTuple):
    """How many elements the same page has of a harmless text, and how often it says that."""

    elements: int
    times: int


ELEMENTS = "document.querySelectorAll('*').length"


@pytest.fixture(scope="module")
def harmless(chromium: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Harmless:
    with chromium.opened(written(tmp_path_factory.mktemp("harmless"), hostile_page("harmless"))) as opened:
        return Harmless(opened.ask(ELEMENTS), opened.text().count("harmless"))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_whatever_a_text_holds_is_shown_and_nothing_else_happens(
    chromium: Chromium, tmp_path: Path, text: str, harmless: Harmless
) -> None:
    with chromium.opened(written(tmp_path, hostile_page(text)), width=360) as opened:
        assert did_nothing(opened)
        assert opened.ask("window.pwned") is None
        assert opened.ask("document.documentElement.scrollWidth") == 360
        assert opened.ask(ELEMENTS) == harmless.elements
        assert opened.text().count(visible(text)) == harmless.times - LABELS
        assert opened.page.title().startswith(words(visible(text)[:50]))


def test_a_page_of_twenty_charts_is_small(tmp_path: Path) -> None:
    line = pages.line("a-container-of-some-name", pages.daily(12e6, 8e6))
    charts = [LineChart(f"Chart {number}", "bytes_per_second", (line,) * (1 + number % 2)) for number in range(20)]
    assert len(render(page_of(*charts)).encode()) < 500_000


def test_the_policy_names_the_style_sheet_and_nothing_else(example: Path) -> None:
    text = example.read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/=]{44}'; base-uri 'none'; form-action 'none'", policy[1]
    )
    assert not re.search(r"""\s(style|on\w+|src|xlink:href)=|href="[^#]|url\(|@import|https?://(?!127\.)""", text)
