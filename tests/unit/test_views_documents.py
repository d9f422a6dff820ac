"""The single views: findings, runs, reports, backups, settings; and that no text from elsewhere breaks any."""

from __future__ import annotations

import json
import os
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config import load
from exporter.exposition import Exposition
from exporter.metrics import catalogue
from exporter.store import Store
from exporter.views import alerts, backups, findings, reports, tasks
from exporter.views import settings as setting_views
from exporter.views.commands import command_in
from exporter.views.matters import Matter, joined, todo
from exporter.views.sources import Sources
from exporter.views.status import status
from jobs.backups.files import BackupFiles
from jobs.core.backups import Format, Kind, Manifest, Proof, Verified
from jobs.core.model import Outcome, Severity
from tests.services.scenery import NOON, Scene, found

HIGH, LOW = Severity.HIGH, Severity.LOW
ANY_TEXT = st.text(st.characters(codec=None), max_size=60)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


# Findings


def names(scene: Scene, task: str | None = None) -> list[tuple[str, str]]:
    return [(one["subject"], one["severity"]) for one in findings.findings(scene.sources(), task)]


def test_what_another_mode_found_stands_until_somebody_looks_and_finds_it_gone(scene: Scene) -> None:
    scene.ran("security-scan", found("port/22", LOW), found("image/a", HIGH), mode="full")
    assert names(scene) == [("image/a", "high"), ("port/22", "low")]
    scene.ran("log-rotation", found("log/a", LOW), mode="standard")
    scene.ran("log-rotation", mode="watch")
    assert ("log/a", "low") in names(scene), "the watch does not look at it"
    scene.ran("log-rotation", mode="standard")
    assert ("log/a", "low") not in names(scene)
    assert names(scene, "log-rotation") == []
    scene.ran("security-scan", mode="full")
    assert names(scene) == []


def test_a_run_of_one_agent_says_nothing_of_the_others(scene: Scene) -> None:
    scene.agents(found("agent/a", LOW, "slow"), found("agent/b", LOW, "slow"))
    scene.ran("agent-monitor", target="a", result={"scope": {"agent": "a"}})
    assert names(scene) == [("agent/b", "low")]
    scene.ran("agent-monitor", found("agent/a", LOW, "odd"), target="a", result={"scope": {"agent": "a"}})
    assert names(scene) == [("agent/a", "low"), ("agent/b", "low")]


def test_a_problem_stands_where_the_newest_run_could_not_look(scene: Scene) -> None:
    scene.agents(found("agent/a", HIGH, "unreachable"))
    began = scene.now
    scene.wait(minutes=5).agents(found("docker", HIGH, "docker_unreachable"))
    (kept,) = [one for one in findings.findings(scene.sources()) if one["subject"] == "agent/a"]
    assert kept["since"] == (began + timedelta(seconds=1)).isoformat()


def test_a_finding_says_when_it_was_seen_and_since_when_it_stands(scene: Scene) -> None:
    scene.ran("health-check", found("check/a", HIGH), found("check/b", LOW))
    scene.wait(minutes=5).ran("health-check", found("check/a", HIGH), found("check/b", LOW), mode="light")
    first, second = findings.findings(scene.sources())
    seen = (NOON + timedelta(minutes=5, seconds=1)).isoformat()
    assert (first["subject"], first["at"], first["since"]) == (
        "check/a", seen, (NOON + timedelta(seconds=1)).isoformat(),
    )  # fmt: skip
    assert (second["subject"], second["at"], second["since"]) == ("check/b", seen, None)


# Tasks and runs


def test_runs_are_the_newest_first_with_who_asked(scene: Scene) -> None:
    scene.ran("health-check")
    scene.wait(minutes=1).ran("log-rotation", trigger="command", reason="asked for by user:root")
    scene.wait(minutes=1).ran("log-rotation", outcome=Outcome.TIMEOUT, error="too long")
    sources = scene.sources()
    told = tasks.runs(sources, None, 10)
    assert [(run["task"], run["outcome"], run["why"]) for run in told] == [
        ("log-rotation", "timeout", "schedule"),
        ("log-rotation", "ok", "asked for by user:root"),
        ("health-check", "ok", "schedule"),
    ]
    assert [run["run_id"] for run in tasks.runs(sources, "log-rotation", 1)] == [3]


def test_a_task_tells_how_it_went(scene: Scene) -> None:
    for _ in range(3):
        scene.wait(minutes=5).ran("health-check", mode="light")
    scene.ran("health-check", mode="full", outcome=Outcome.SKIPPED, error="busy")
    entry = tasks.task(scene.sources(), "health-check")
    assert entry["durations"] == [1.5, 1.5, 1.5]
    assert entry["last_run"] is not None
    assert entry["last_run"]["mode"] == "light"
    assert entry["last_success"] == (scene.now + timedelta(seconds=1)).isoformat()
    assert entry["next_run"] == (NOON + timedelta(minutes=20)).isoformat()
    with pytest.raises(KeyError):
        tasks.task(scene.sources(), "nothing")


# Reports


def with_report(**more: Any) -> dict[str, Any]:
    return {"result": {"report": {"a": "ü"}, **more}}


def test_reports_are_found_by_their_names_with_every_form(scene: Scene) -> None:
    page = with_report(renderings={".html": "<p>", ".sarif": "{}"})
    scene.ran("security-scan", mode="full", **page)
    scene.wait(hours=1).ran("security-scan", mode="standard", **page)
    scene.ran("health-check", **with_report())
    sources = scene.sources()
    told = reports.reports(sources, "security-scan")
    assert [(one["id"], one["mode"], one["latest"], one["formats"]) for one in told] == [
        ("security_scan_report_20260302_130000", "standard", True, ["json", "html", "sarif"]),
        ("security_scan_report_20260302_120000", "full", False, ["json", "html", "sarif"]),
    ]
    assert told[0]["at"] == "2026-03-02T13:00:00+00:00"
    assert {one["task"] for one in reports.reports(sources)} == {"security-scan", "health-check"}
    assert [one["id"] for one in reports.newest(sources)] == [
        "daily_health_report_20260302_130000", "security_scan_report_20260302_130000",
    ]  # fmt: skip
    assert reports.content(sources, told[1]["id"], "html") == b"<p>"
    assert json.loads(reports.content(sources, told[1]["id"])) == {"a": "ü"}
    run = tasks.runs(sources, "security-scan", 1)[0]
    assert run["report"] == told[0]["id"]
    (scene.base_dir / "reports" / "security" / f"{told[0]['id']}.json").unlink()
    assert tasks.runs(sources, "security-scan", 1)[0]["report"] is None


def test_a_mode_in_the_name_is_the_mode(scene: Scene) -> None:
    scene.ran("performance-report", mode="weekly", **with_report())
    (told,) = reports.reports(scene.sources(), "performance-report")
    assert (told["id"], told["mode"]) == ("performance_report_weekly_20260302_120000", "weekly")


@pytest.mark.parametrize(
    "wanted",
    [
        "../data/sutazai", "../../etc/passwd", "/etc/passwd", "", ".", "latest_health_report",
        "daily_health_report_20260302_120000/../daily_health_report_20260302_120000",
        "daily_health_report_20260302_12000",
        "daily_health_report_20260302_120000.json", "daily_health_report_20260302_120000\n", "daily_health_report_link",
        "daily_health_report_20269999_999999", "daily_health_report_20260302_120001",
        "daily_health_report_20260302_120002",
        "x\0y", "daily_health_report_٢٠٢٦٠٣٠٢_120000",
    ],
)  # fmt: skip
def test_no_id_leads_elsewhere(scene: Scene, wanted: str) -> None:
    scene.ran("health-check", **with_report())
    directory = scene.base_dir / "reports"
    (directory / "daily_health_report_20260302_120001.json").symlink_to("/etc/passwd")
    os.mkfifo(directory / "daily_health_report_20260302_120002.json")
    (directory / "daily_health_report_20269999_999999.json").write_text("{}")
    sources = scene.sources()
    assert len(reports.reports(sources)) == 1
    with pytest.raises(KeyError):
        reports.content(sources, wanted)
    with pytest.raises(KeyError):
        reports.content(sources, "daily_health_report_20260302_120000", "html")


def test_a_report_that_is_exchanged_for_a_link_is_not_followed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.ran("health-check", **with_report())
    sources, file = scene.sources(), scene.base_dir / "reports" / "daily_health_report_20260302_120000.json"
    found_first = reports.report_index.find

    def exchanged(*arguments: Any) -> Any:
        kept = found_first(*arguments)
        file.unlink()
        file.symlink_to("/etc/passwd")
        return kept

    monkeypatch.setattr(reports.report_index, "find", exchanged)
    with pytest.raises(KeyError):
        reports.content(sources, file.stem)


def test_a_report_of_an_hour_that_came_twice_still_has_its_mode(scene: Scene) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    for fold in (0, 1):
        scene.now = datetime(2026, 10, 25, 2, 30, fold, tzinfo=berlin, fold=fold)
        scene.ran("security-scan", mode="full", **with_report())
    assert [one["mode"] for one in reports.reports(scene.sources())] == ["full", "full"]


# Backups


def test_backups_with_their_proof(scene: Scene) -> None:
    files = BackupFiles(scene.base_dir)
    for hours, proven in ((0, None), (1, Proof.RESTORED)):
        at = NOON + timedelta(hours=hours)
        path = files.new_path(Kind.DATABASE, "sutazai_backup", at, Format.CUSTOM_DUMP)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 10)
        files.write_manifest(
            path,
            Manifest(kind=Kind.DATABASE, format=Format.CUSTOM_DUMP, file=path.name, source="main/sutazai", created=at,
                     bytes=10, sha256="0" * 64),
        )  # fmt: skip
        if proven:
            files.write_verified(path, Verified(sha256="0" * 64, at=at, proof=proven, seconds=1))
    (files.of(Kind.DATABASE) / os.fsdecode(b"odd\xff.dump")).write_bytes(b"")
    # Of one without a manifest the time of the file counts, which is that of this test.
    odd, newest, oldest = backups.backups(scene.sources())
    assert "no manifest" in odd["problem"]
    assert (newest["proof"], newest["verified"], newest["source"]) == (
        "restored", "2026-03-02T13:00:00+00:00", "main/sutazai",
    )  # fmt: skip
    assert (oldest["proof"], oldest["verified"], oldest["bytes"]) == (None, None, 10)
    assert newest["file"] == "backups/database/sutazai_backup_20260302_130000.dump"


# Settings


def test_no_secret_is_shown_wherever_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text(
        f"""
base_dir: {tmp_path / "base"}
docker: {{url: "tcp://operator:hush-docker@host:2375"}}
postgres:
  dsn: postgresql://u:hush-dsn@host/db
  servers:
    - {{name: second, dsn: "host=x password=hush-second dbname=y", password: hush-server}}
redis: {{password: hush-redis}}
notifications:
  webhook: {{url: "https://hooks.example.org:8443/services/T01/hush-hook-0123456789"}}
alertmanager: {{deadman_url: "https://ping.example.org/hush-ping"}}
endpoints:
  - {{name: e, url: "http://host/?token=hush-redis"}}
  - {{name: f, url: "http://host/hush-hook-0123456789"}}
agents: {{discover: false}}
"""
    )
    configuration = load(file, environment={"SUTAZAI_CITY": "Bonn"})
    sources = Sources(configuration, Store(tmp_path / "none.db", read_only=True), Exposition(catalogue()), NOON)
    told = {one["setting"]: one for one in setting_views.settings(sources)}
    assert "hush" not in json.dumps(list(told.values()))
    assert told["redis.password"] == {
        "setting": "redis.password", "value": "***", "origin": str(file), "secret": True,
    }  # fmt: skip
    assert told["redis.url"]["value"] is None
    assert told["notifications.webhook.url"] == {
        "setting": "notifications.webhook.url", "value": "https://hooks.example.org:8443/…", "origin": str(file),
        "secret": True,
    }  # fmt: skip
    assert told["alertmanager.deadman_url"]["value"] == "https://ping.example.org/…"
    assert told["docker.url"]["value"] == "tcp://operator:***@host:2375"
    assert told["postgres.servers"]["value"][0]["name"] == "second"
    assert told["postgres.servers"]["value"][0]["password"] == "***"
    assert told["certificate.city"] == {
        "setting": "certificate.city", "value": "Bonn", "origin": "SUTAZAI_CITY", "secret": False,
    }  # fmt: skip
    assert told["agents.discover"]["value"] is False
    assert told["web.listen_address"]["origin"] == "default"


# Commands


@pytest.mark.parametrize(
    ("remedy", "command"),
    [
        ("docker logs web-1", "docker logs web-1"),
        ("sutazai-exporter agents release a (or docker start a)", "sutazai-exporter agents release a"),
        ("rotate it: sutazai-exporter run log-rotation", "sutazai-exporter run log-rotation"),
        ("look at: docker logs NAME; docker inspect NAME", ""),
        ("start PostgreSQL, or set postgres.dsn", ""),
        ("docker logs a; rm -rf /", ""),
        ("docker logs $(reboot)", ""),
        ("docker run --privileged evil", ""),
        ("docker logs a\nrm -rf /", ""),
        ("", ""),
    ],
)
def test_only_what_can_be_typed_safely_is_offered(remedy: str, command: str) -> None:
    assert command_in(remedy) == command


def test_things_with_one_cause_are_one_as_bad_as_the_worst() -> None:
    first = Matter(todo(Severity.LOW, "problem", "a", "a", since="2026-03-02"), "problem", "a", frozenset(["x"]))
    second = Matter(todo(Severity.HIGH, "alert", "b", "b", since="2026-03-01"), "alert", "b", frozenset(["x", "y"]))
    third = Matter(todo(Severity.HIGH, "alert", "c", "c"), "alert", "c", frozenset(["z"]), covered_by=("no/",))
    one, other = joined([first, second, third])
    assert (one.todo["subject"], one.todo["severity"], one.todo["since"]) == ("a", "high", "2026-03-01")
    assert other.todo["subject"] == "c"


# Whatever comes from elsewhere


@settings(max_examples=25)
@given(text=ANY_TEXT, other=ANY_TEXT)
def test_no_text_breaks_a_document(text: str, other: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        scene = Scene(Path(directory))
        scene.ran("health-check", found("x", HIGH))
        hostile = {
            "kind": text or "k",
            "subject": f"agent/{text}",
            "message": other,
            "remedy": text,
            "severity": "critical",
        }
        scene.ran("agent-monitor", result={"findings": [hostile], "summary": text, "status": other})
        scene.ran("log-rotation", outcome=Outcome.ERROR, error=text)
        scene.alert("Alert", agent=text, task=other)
        sources = scene.sources()
        documents = [
            status(sources, serving=True), tasks.runs(sources, None, 10), findings.findings(sources),
            alerts.firing(sources), reports.reports(sources), backups.backups(sources),
        ]  # fmt: skip
        for document in documents:
            assert json.loads(json.dumps(document, allow_nan=False)) == document
            json.dumps(document, ensure_ascii=False).encode()
        scene.store.close()
