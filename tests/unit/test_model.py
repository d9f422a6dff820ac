"""Text that comes from elsewhere is clean once it is in a Result."""

from __future__ import annotations

import pytest

from jobs.core.model import MAX_DOCUMENT_TEXT, MAX_LABEL, MAX_TEXT, Finding, Result, Sample, Severity


def finding(message: str) -> Finding:
    return Finding(kind="k", subject="s", severity=Severity.LOW, message=message)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("plain ünïcode\n\ttext", "plain ünïcode\n\ttext"),
        ("\x1b[2J\x1b]0;title\x07", "\ufffd[2J\ufffd]0;title\ufffd"),
        ("\x00\x7f\x9b31m\r", "\ufffd\ufffd\ufffd31m\ufffd"),
        ("caf\udce9", "caf\ufffd"),
        ("a\x85b", "a\ufffdb"),
        ("\x1f", "\ufffd"),
    ],
)
def test_a_message_holds_no_commands_for_a_terminal_and_no_lone_surrogates(given: str, kept: str) -> None:
    assert finding(given).message == kept


def test_long_text_is_cut_and_says_so() -> None:
    assert finding("x" * 10_000).message == "x" * (MAX_TEXT - 1) + "…"
    assert len(Sample(family="f", value=1, labels={"l": "y" * 1000}).labels["l"]) == MAX_LABEL


def test_a_report_may_hold_any_text_and_still_be_written() -> None:
    result = Result(status="GOOD", report={"nam\udce9": ["\udce9", {"deep": "\ud800x"}]})
    assert "\\ud" not in result.model_dump_json()
    assert result.report == {"nam\ufffd": ["\ufffd", {"deep": "\ufffdx"}]}


def test_a_text_of_a_report_has_a_bound_and_a_rendering_may_be_as_long_as_a_page() -> None:
    page = "p" * (4 * MAX_DOCUMENT_TEXT)
    result = Result(status="GOOD", report={"list": ["x" * (MAX_DOCUMENT_TEXT + 1)]}, renderings={".html": page})
    assert result.report == {"list": ["x" * (MAX_DOCUMENT_TEXT - 1) + "…"]}
    assert result.renderings == {".html": page}
