"""The status page as a file: true, whole, escaped, and never a reason for a run to fail."""

from __future__ import annotations

import logging
import re
import stat
import tempfile
from pathlib import Path

import html5lib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.dashboard import file as dashboard
from exporter.dashboard.file import PAGE, DashboardFile
from exporter.dashboard.markup import element, table
from exporter.dashboard.words import seconds
from jobs.core.agents.state import State
from jobs.core.model import Outcome, Severity
from tests.services.scenery import Scene, found

ANY_TEXT = st.text(st.characters(codec=None), max_size=60)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def written(scene: Scene, *, serving: bool = True) -> str:
    assert DashboardFile().write(scene.sources(), serving=serving)
    return (scene.base_dir / PAGE).read_text("utf-8")


def parsed(page: str) -> str:
    """The text of the page's body, read strictly: a page that is no HTML raises."""
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
    return " ".join("".join(tree.find("body").itertext()).split())


def test_it_says_in_words_what_is_wrong_and_what_to_do(scene: Scene) -> None:
    scene.all_well()
    scene.agents(
        found("agent/a", Severity.CRITICAL, "quarantined", "sutazai-exporter agents release a"), a=State.QUARANTINED
    )
    text = parsed(written(scene))
    assert "Critical. Agent a is quarantined." in text
    assert "sutazai-exporter agents release a" in text
    assert "0 of 1 agents are up" in text


def test_good_is_said_only_where_it_is(scene: Scene) -> None:
    assert "Not known. Too little is known" in parsed(written(scene))
    assert "Good. Nothing is wrong" in parsed(written(scene.all_well()))
    assert "Not known. Too little is known" in parsed(written(scene.wait(hours=1)))


def test_it_says_from_when_on_it_is_out_of_date(scene: Scene) -> None:
    text = parsed(written(scene.all_well()))
    assert "Made 2 Mar 2026 12:00 UTC. The next run is due 2 Mar 2026 12:05 UTC." in text
    assert "If it is past 2 Mar 2026 12:10 UTC by your clock, this page is out of date" in text
    assert "see whether the daemon runs" in text
    assert "no daemon served" in parsed(written(scene, serving=False))


def test_links_lead_to_the_newest_reports(scene: Scene) -> None:
    parts = {"report": {"a": 1}, "renderings": {".html": "<p>", ".sarif": "{}"}}
    scene.ran("security-scan", result=parts)
    scene.ran("health-check", result={"report": {"a": 1}})
    page = written(scene)
    links = re.findall(r'href="([^"#]+)"', page)
    assert len(links) == 4
    for link in links:
        file = (scene.base_dir / PAGE.parent / link).resolve(strict=True)
        assert f">{file}</a>" in page, "where it is can be read where the link leads nowhere"


def test_its_mode_is_that_of_a_report(scene: Scene) -> None:
    written(scene)
    assert stat.S_IMODE((scene.base_dir / PAGE).stat().st_mode) == 0o640


def test_a_page_that_cannot_be_written_is_told_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.base_dir.mkdir(exist_ok=True)
    in_the_way = scene.base_dir / PAGE.parent
    in_the_way.write_text("")
    page = DashboardFile()
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert not page.write(scene.sources(), serving=True)
    assert [record.getMessage() for record in caplog.records] == ["the status page is not written"]
    in_the_way.unlink()
    assert page.write(scene.sources(), serving=True)
    assert page.reason == ""
    (scene.base_dir / PAGE).unlink()
    in_the_way.rmdir()
    in_the_way.write_text("")
    page.write(scene.sources(), serving=True)
    assert len(caplog.records) == 2, "it is news again"


def test_a_fault_in_the_page_is_told_and_not_raised(
    scene: Scene, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(dashboard, "render", broken)
    page = DashboardFile()
    for _ in range(2):
        assert not page.write(scene.sources(), serving=True)
    assert len(caplog.records) == 1
    assert "ZeroDivisionError" in page.reason


@settings(max_examples=25)
@given(text=ANY_TEXT, other=ANY_TEXT)
def test_no_text_becomes_markup(text: str, other: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        scene = Scene(Path(directory))
        hostile = f"<script>{text}</script>\"'><img src=x onerror=alert(1)>{other}</style>"
        finding = {"kind": hostile, "subject": f"agent/{hostile}", "message": hostile, "remedy": hostile}
        scene.ran("agent-monitor", result={"findings": [finding | {"severity": "critical"}], "summary": hostile})
        scene.ran("log-rotation", outcome=Outcome.ERROR, error=hostile)
        scene.alert("Alert", agent=hostile, task=other)
        page = written(scene)
        tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
        names = {one.tag for one in tree.iter() if isinstance(one.tag, str)}
        assert not names & {"script", "img", "iframe", "object", "link", "base", "form"}
        assert len(list(tree.iter("style"))) == 1
        assert not [key for one in tree.iter() for key in one.attrib if key.startswith("on")]
        scene.store.close()


def test_what_cannot_be_seen_is_shown() -> None:
    assert str(element("p", "a\u202eb", title="\u200b")) == '<p title="\\u200b">a\\u202eb</p>'
    assert "&lt;b&gt;" in table("<b>", ("<b>",), [("<b>", 1)])


@pytest.mark.parametrize(
    ("duration", "said"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (75, "75 s"), (300, "5 min"), (9000, "2.5 h")]
)
def test_durations(duration: float, said: str) -> None:
    assert seconds(duration) == said
