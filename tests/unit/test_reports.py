"""Reports, their links and logs, and which of them are removed in the end."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exporter.record import Record
from exporter.runs.reports import prune_reports, write_report
from exporter.settings import ReportsSettings
from jobs.core.job import Job, ReportFiles
from jobs.core.model import Outcome, Request, Result
from jobs.core.settings import JobSettings

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FILES = ReportFiles("reports", "t_report", "reports/latest_t_report.json", log_stem="t")


def job(files: ReportFiles | None = FILES) -> Job:
    return Job(name="t", summary="", cadences=(), settings=JobSettings, run=lambda *_: Result(status=""), report=files)


def record(at: datetime = NOON, result: Result | None = None) -> Record:
    return Record(
        run_id=1,
        request=Request(task="t"),
        outcome=Outcome.OK,
        started=at,
        finished=at,
        duration_seconds=0,
        result=result or Result(status="X", report={"a": "ü"}),
    )


@pytest.mark.parametrize(
    ("files", "target"),
    [
        (FILES, "../reports/t_report_20260302_120000.json"),
        (ReportFiles("reports/t", "t_report", "latest.json"), "reports/t/t_report_20260302_120000.json"),
        (ReportFiles("logs", "t_report", "reports/deep/latest.json"), "../../logs/t_report_20260302_120000.json"),
    ],
)
def test_the_link_leads_to_the_newest_from_wherever_it_is(tmp_path: Path, files: ReportFiles, target: str) -> None:
    report = write_report(record(), job(files), tmp_path, ["INFO    hello"])
    assert report == f"{files.directory}/t_report_20260302_120000.json"
    link = tmp_path / files.link
    assert str(link.readlink()) == target
    assert json.loads(link.read_text()) == {"a": "ü"}
    later = write_report(record(NOON + timedelta(seconds=1)), job(files), tmp_path, [])
    assert link.resolve() == (tmp_path / later).resolve()
    assert len(list((tmp_path / files.directory).glob("t_report_*.json"))) == 2


def test_each_form_of_a_report_has_a_file_and_a_link_of_its_own(tmp_path: Path) -> None:
    files = ReportFiles("reports/t", "t_{mode}", "reports/t/latest_t.json", renderings=(".html", ".sarif"))
    result = Result(status="X", report={"a": 1}, renderings={".html": "<p>ü" * 30_000, ".sarif": "{}"})
    weekly = record(result=result).model_copy(update={"request": Request(task="t", mode="weekly")})
    assert write_report(weekly, job(files), tmp_path, []) == "reports/t/t_weekly_20260302_120000.json"
    for suffix, text in ((".json", '{\n  "a": 1\n}\n'), (".html", "<p>ü" * 30_000), (".sarif", "{}")):
        assert (tmp_path / f"reports/t/latest_t{suffix}").read_text() == text
        assert (tmp_path / f"reports/t/t_weekly_20260302_120000{suffix}").stat().st_mode & 0o777 == 0o640


def test_a_report_may_be_a_page_alone(tmp_path: Path) -> None:
    files = ReportFiles("reports", "t", "reports/latest_t.json", renderings=(".html",))
    page = record(result=Result(status="X", renderings={".html": "<p>"}))
    assert write_report(page, job(files), tmp_path, []) == "reports/t_20260302_120000.html"
    assert sorted(file.name for file in (tmp_path / "reports").iterdir()) == ["latest_t.html", "t_20260302_120000.html"]


def test_forms_and_modes_of_a_report_grow_old_each_by_themselves(tmp_path: Path) -> None:
    files = ReportFiles("reports", "t_{mode}", "reports/latest_t.json", renderings=(".html",))
    kinds = replace(job(files), modes=("daily", "weekly"))
    for day in range(1, 4):
        for name in ("t_daily", "t_weekly"):
            for suffix in (".json", ".html"):
                file = tmp_path / "reports" / f"{name}_2026010{day}_000000{suffix}"
                file.parent.mkdir(exist_ok=True)
                file.write_text("")
    (tmp_path / "reports" / "t_daily_20260101_000000.sarif").write_text("")
    assert len(prune_reports(kinds, tmp_path, ReportsSettings(keep_per_task=1), NOON)) == 2 * 4
    kept = sorted(file.name for file in (tmp_path / "reports").iterdir())
    assert kept == [
        "t_daily_20260101_000000.sarif",
        "t_daily_20260103_000000.html", "t_daily_20260103_000000.json",
        "t_weekly_20260103_000000.html", "t_weekly_20260103_000000.json",
    ]  # fmt: skip


def test_a_link_target_may_be_moved_with_its_tree(tmp_path: Path) -> None:
    write_report(record(), job(), tmp_path / "a", [])
    (tmp_path / "a").rename(tmp_path / "b")
    assert (tmp_path / "b" / "reports" / "latest_t_report.json").exists()


@pytest.mark.parametrize(
    ("files", "result"), [(None, None), (FILES, Result(status="X"))], ids=["no report files", "no report"]
)
def test_what_has_no_report_writes_none(tmp_path: Path, files: ReportFiles | None, result: Result | None) -> None:
    assert write_report(record(result=result), job(files), tmp_path, ["x"]) == ""
    assert list(tmp_path.iterdir()) == []


def make(directory: Path, *names: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        (directory / name).write_text(name)


def test_old_and_surplus_reports_go_and_nothing_else(tmp_path: Path) -> None:
    reports, logs = tmp_path / "reports", tmp_path / "logs"
    make(reports, *(f"t_report_2026030{n}_060000.json" for n in (1, 2)), "t_report_20260301_060000_2.json")
    make(
        reports,
        "t_report_20240101_060000.json",
        "other_report_20240101_060000.json",
        "t_report_20240101_060000.json.gz",
    )
    make(reports, "t_report_notes.json", "xt_report_20240101_060000.json", "t_report_20240101.json")
    make(logs, "t_20240101_060000.log", "t_20260301_060000.log", "exporter.log")
    (reports / "t_report_20230101_060000.json").symlink_to("t_report_notes.json")
    removed = prune_reports(job(), tmp_path, ReportsSettings(keep_per_task=2, retention_days=90), NOON)
    assert sorted(file.name for file in removed) == [
        "t_20240101_060000.log",
        "t_report_20240101_060000.json",
        "t_report_20260301_060000.json",
    ]
    assert not any(file.exists() for file in removed)
    assert len(list(reports.iterdir())) == 8
    assert prune_reports(job(), tmp_path, ReportsSettings(keep_per_task=2, retention_days=90), NOON) == []


def test_the_newest_stays_however_old_it_is(tmp_path: Path) -> None:
    make(tmp_path / "reports", "t_report_20200101_060000.json", "t_report_20190101_060000.json")
    prune_reports(job(), tmp_path, ReportsSettings(retention_days=1), NOON)
    assert [file.name for file in (tmp_path / "reports").iterdir()] == ["t_report_20200101_060000.json"]


def test_of_one_second_too_the_newest_stays(tmp_path: Path) -> None:
    """A name that was given up is taken again by the next report of that second."""
    settings = ReportsSettings(keep_per_task=2)
    for number in range(12):
        report = write_report(record(result=Result(status="X", report={"n": number})), job(), tmp_path, ["line"])
        prune_reports(job(), tmp_path, settings, NOON)
        assert (tmp_path / report).exists()
        assert json.loads((tmp_path / FILES.link).read_text()) == {"n": number}
    assert len(list((tmp_path / "reports").glob("t_report_*.json"))) == 2
    assert len(list((tmp_path / "logs").iterdir())) == 2


def test_where_nothing_was_written_nothing_is_removed(tmp_path: Path) -> None:
    assert prune_reports(job(), tmp_path, ReportsSettings(), NOON) == []
    assert prune_reports(job(None), tmp_path, ReportsSettings(), NOON) == []
