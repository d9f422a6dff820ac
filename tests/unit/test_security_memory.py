"""What becomes of findings from scan to scan: new, known, fixed, or not looked at."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from jobs.security.memory import Memory
from jobs.security.settings import FULL
from tests.services.security_runs import (
    UNKNOWN,
    SecurityRuns,
    deductions,
    fixed,
    kinds,
    reported,
    scanner,
    standings,
    values,
    weakness,
    weaknesses,
)


@pytest.fixture
def runs(tmp_path: Path) -> SecurityRuns:
    return SecurityRuns(tmp_path)


def test_new_known_and_fixed_are_told_apart(runs: SecurityRuns) -> None:
    runs.scan(scanner(told=[weakness(subject="a"), weakness(subject="b", severity="critical")]))
    result = runs.scan(scanner(told=[weakness(subject="b", severity="critical"), weakness(subject="c")]))
    assert standings(result) == {"b": "known", "c": "new"}
    assert fixed(result) == ["a"]
    assert reported(result)["weak b"]["first_seen"] == "2026-03-02T01:00:00+00:00"
    assert values(result, "new_findings") == {("critical",): 0, ("high",): 1} | {
        (one,): 0 for one in ("info", "low", "medium")
    }
    assert values(result, "fixed_findings") == {(): 1}
    messages = {one.subject: one.message for one in result.findings}
    assert messages == {"b": "it is weak (known since 2026-03-02)", "c": "it is weak (new)"}


def test_line_message_and_severity_may_change_without_making_it_another(runs: SecurityRuns) -> None:
    runs.scan(scanner(told=[weakness(line=3, message="was")]))
    result = runs.scan(scanner(told=[weakness(line=9, message="is", severity="critical")]))
    assert (standings(result), fixed(result), result.status) == ({"thing": "known"}, [], "CRITICAL")


def test_what_two_scanners_tell_of_one_thing_is_one_finding_with_the_worse_severity(runs: SecurityRuns) -> None:
    result = runs.scan(scanner("a", [weakness(severity="medium")]), scanner("b", [weakness(severity="high")]))
    assert deductions(result) == {"high_findings": 10}


@pytest.mark.parametrize("how", UNKNOWN)
def test_nothing_is_fixed_while_its_scanner_is_unknown(runs: SecurityRuns, how: str) -> None:
    runs.scan(scanner(told=[weakness()]))
    result = runs.scan(scanner(**UNKNOWN[how]))
    assert (standings(result), fixed(result)) == ({"thing": "unseen"}, [])
    assert deductions(result) == {"high_findings": 10, "scanner_trial_unknown": 10}
    assert values(result, "findings") == {("filesystem", "high"): 1}  # it still counts, and nobody says 0
    (told,) = [one for one in result.findings if one.subject == "thing"]
    assert "not looked at this time: trial is unknown this time" in told.message
    assert fixed(runs.scan(scanner())) == ["thing"]


@pytest.mark.parametrize(
    ("missed", "kept"),
    [
        (("something",), {"/a/x", "/ab/x", "image/web:1"}),
        (("/a: permission denied", "/a"), {"/a/x"}),
        (("/a/: permission denied", "/a/"), {"/a/x"}),
        (("web: no answer", "image/web"), {"image/web:1"}),
        (("/etc: permission denied", "/etc"), set()),
        (("two places", "/ab", "image/w"), {"/ab/x", "image/web:1"}),
    ],
    ids=["anywhere", "directory", "directory-with-slash", "subject", "elsewhere", "two-places"],
)
def test_in_part_only_what_was_missed_is_not_fixed(runs: SecurityRuns, missed: tuple[str, ...], kept: set[str]) -> None:
    there = [weakness(subject=path, path=path) for path in ("/a/x", "/ab/x")]
    runs.scan(scanner(told=[*there, weakness(subject="image/web:1")]))
    result = runs.scan(scanner(missed=[missed]))
    assert set(standings(result)) == kept
    assert set(fixed(result)) == {"/a/x", "/ab/x", "image/web:1"} - kept


def test_what_only_a_full_scan_has_seen_is_not_fixed_by_a_standard_one(runs: SecurityRuns) -> None:
    here, there = weakness(subject="here"), weakness(subject="there")
    runs.scan(scanner(told=[here]))
    runs.scan(scanner(told=[here, there]), mode=FULL)
    result = runs.scan(scanner())
    assert (standings(result), fixed(result)) == ({"there": "unseen"}, ["here"])
    assert fixed(runs.scan(scanner(), mode=FULL)) == ["there"]


def test_a_finding_that_falls_below_the_threshold_is_neither_listed_nor_fixed(runs: SecurityRuns) -> None:
    runs.scan(scanner(told=[weakness("a", severity="medium"), weakness("b", severity="low")]), severity_threshold="low")
    result = runs.scan(scanner(told=[weakness("a", severity="medium")]), severity_threshold="high")
    assert (reported(result), fixed(result), result.score) == ({}, [], 100)
    assert result.report is not None
    assert result.report["scan_info"]["left_out_below_threshold"] == {"medium": 1}


@pytest.mark.parametrize("days", [-400, 400], ids=["back", "forward"])
def test_a_clock_that_was_set_makes_no_nonsense(runs: SecurityRuns, days: int) -> None:
    runs.scan(scanner(told=[weakness()]), days=days)
    second = runs.scan(scanner(told=[weakness()]))
    runs.clock.wall -= timedelta(days=days)
    third = runs.scan(scanner(told=[weakness()]))
    for result, at in ((second, runs.clock.wall), (third, runs.clock.wall)):
        assert standings(result) == {"thing": "known"}
        one = reported(result)["weak thing"]
        assert one["first_seen"] <= one["last_seen"] <= max(at + timedelta(days=500), at).isoformat()
    memory = Memory.model_validate_json(runs.memory.read_bytes())
    assert [scan.at for scan in memory.scans] == sorted(scan.at for scan in memory.scans)
    assert all(scan.at <= runs.clock.wall for scan in memory.scans)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 100_000, b'{"version": 2}', b"\xff", b'{"known": [{"area": "moon"}]}', b"null"],
    ids=["empty", "cut", "deep", "version", "bytes", "values", "null"],
)
def test_a_memory_that_makes_no_sense_is_put_aside_and_said_so(runs: SecurityRuns, content: bytes) -> None:
    runs.memory.parent.mkdir(parents=True)
    runs.memory.write_bytes(content)
    result = runs.scan(scanner(told=[weakness()]))
    assert ("scan_problem", "scan") in kinds(result)
    aside = list(runs.memory.parent.glob("findings.json.corrupt-*"))
    assert [file.read_bytes() for file in aside] == [content]
    assert standings(runs.scan(scanner(told=[weakness()]))) == {"thing": "known"}


def test_a_link_in_place_of_the_memory_is_not_followed(runs: SecurityRuns, tmp_path: Path) -> None:
    runs.memory.parent.mkdir(parents=True)
    (tmp_path / "other").write_text("mine")
    runs.memory.symlink_to(tmp_path / "other")
    assert ("scan_problem", "scan") in kinds(runs.scan(scanner()))
    assert (tmp_path / "other").read_text() == "mine"
    assert runs.memory.is_file() and not runs.memory.is_symlink()


def test_of_too_many_findings_the_mildest_are_forgotten_and_are_no_news_later(
    runs: SecurityRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.security.memory.MAX_KNOWN", 4)
    told = [*weaknesses("high", 3), *weaknesses("medium", 3)]
    runs.scan(scanner(told=told))
    result = runs.scan(scanner(told=[*told, *weaknesses("high", 4), *weaknesses("medium", 5)]))
    assert {name for name, standing in standings(result).items() if standing == "new"} == {"high/3"}


def test_a_dry_run_scans_and_writes_nothing(runs: SecurityRuns, tmp_path: Path) -> None:
    runs.memory.parent.mkdir(parents=True)
    runs.memory.write_bytes(b"{")
    result = runs.scan(scanner(told=[weakness()]), dry_run=True)
    assert (result.status, result.report, result.renderings) == ("MEDIUM", None, {})
    assert ("weak", "thing") in kinds(result)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["findings.json"]
    assert runs.memory.read_bytes() == b"{"
