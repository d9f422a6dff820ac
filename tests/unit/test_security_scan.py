"""What a scan amounts to: score and risk, scanners that are unknown, and those that are not asked to look."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jobs.clients.errors import ClientError
from jobs.core.model import Request
from jobs.security import scanner as scanner_module
from jobs.security.scanner import Area, Look, NothingHere, Scanner
from jobs.security.settings import FULL, Settings
from jobs.security_scan import JOB, run
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


# --- score and risk ---


@pytest.mark.parametrize(
    ("found", "score", "risk"),
    [
        ({}, 100, "LOW"),
        ({"low": 50, "info": 3}, 100, "LOW"),
        ({"medium": 10}, 70, "LOW"),
        ({"medium": 11}, 67, "MEDIUM"),
        ({"high": 1}, 90, "MEDIUM"),
        ({"high": 5}, 50, "MEDIUM"),
        ({"high": 6}, 40, "HIGH"),
        ({"critical": 1}, 75, "CRITICAL"),
        ({"critical": 1, "high": 1, "medium": 1}, 62, "CRITICAL"),
        ({"critical": 5, "high": 9}, 0, "CRITICAL"),
    ],
    ids=str,
)
def test_score_and_risk_follow_the_findings(runs: SecurityRuns, found: dict[str, int], score: float, risk: str) -> None:
    told = [one for severity, count in found.items() for one in weaknesses(severity, count)]
    result = runs.scan(scanner(told=told), severity_threshold="info")
    assert (result.score, result.status) == (score, risk)
    assert result.verdict == ["LOW", "MEDIUM", "HIGH", "CRITICAL"].index(risk)
    assert values(result, "score") == {(): score}
    assert values(result, "risk")[(risk.lower(),)] == 1
    points = {"critical": 25, "high": 10, "medium": 3}
    assert deductions(result) == {f"{s}_findings": points[s] * n for s, n in found.items() if s in points}


def test_a_default_password_and_a_scanner_that_failed_are_no_low_risk(runs: SecurityRuns) -> None:
    password = scanner("passwords", [weakness("default_password", "postgres", "critical")], area=Area.CONFIGURATION)
    failed = scanner("trivy", area=Area.CONTAINERS, raises=ClientError("trivy ended with 1"))
    result = runs.scan(password, failed)
    assert (result.status, result.verdict, result.score) == ("CRITICAL", 3, 65)
    assert deductions(result) == {"critical_findings": 25, "scanner_trivy_unknown": 10}


@pytest.mark.parametrize("how", UNKNOWN)
def test_a_scanner_that_did_not_look_is_unknown_costs_and_is_never_low(runs: SecurityRuns, how: str) -> None:
    result = runs.scan(scanner("trivy", area=Area.CONTAINERS, **UNKNOWN[how]), scanner("other"))
    assert (result.status, result.verdict, result.score) == ("MEDIUM", 1, 90)
    assert ("scanner_unknown", "scanner/trivy") in kinds(result)
    assert "trivy unknown" in result.summary
    assert values(result, "scanner_success") == {("trivy", "containers"): 0, ("other", "filesystem"): 1}
    # Nobody has counted: the series are absent, not 0.
    assert {area for area, _ in values(result, "findings")} == {"filesystem"}
    assert ("trivy",) not in values(result, "scanner_last_success_timestamp_seconds")
    assert result.report is not None
    assert result.report["results"]["containers"]["counts"] is None
    assert result.report["summary"]["scanners"]["unknown"] == ["trivy"]


def test_a_fault_of_a_scanner_is_told_by_kind_and_place_without_its_text(runs: SecurityRuns) -> None:
    def fault(look: Look) -> None:
        Settings.model_validate({"accepted_risks": [{"rule": "hunter2"}]})

    result = runs.scan(scanner(then=fault))
    (told,) = [one for one in result.findings if one.kind == "scanner_unknown"]
    assert "it failed by ValidationError at" in told.message
    assert "report it" in told.remedy
    assert "hunter2" not in result.model_dump_json()


def test_a_scanner_with_nothing_to_look_at_costs_nothing_and_counts_nothing(runs: SecurityRuns) -> None:
    docker = scanner("docker-audit", area=Area.CONTAINERS, scanned=0, raises=NothingHere("no Docker engine"))
    result = runs.scan(docker, scanner("other"))
    assert (result.status, result.score, kinds(result)) == ("LOW", 100, set())
    assert {area for area, _ in values(result, "findings")} == {"filesystem"}
    assert values(result, "scanner_success") == {("other", "filesystem"): 1}
    assert result.report is not None
    (told,) = result.report["results"]["containers"]["scanners"]
    assert (told["state"], told["reason"], told["scanned"]) == ("nothing_here", "no Docker engine", None)


def test_what_was_there_lately_and_is_gone_is_unknown(runs: SecurityRuns) -> None:
    there = scanner("docker-audit", [weakness(subject="web")], area=Area.CONTAINERS)
    gone = scanner("docker-audit", area=Area.CONTAINERS, scanned=0, raises=NothingHere("no Docker engine"))
    runs.scan(there)
    result = runs.scan(gone, scanner("other"), days=14)
    assert (deductions(result)["scanner_docker_audit_unknown"], standings(result)) == (10, {"web": "unseen"})
    (told,) = [one for one in result.findings if one.kind == "scanner_unknown"]
    assert "no Docker engine; a scan of the last two weeks saw some" in told.message
    later = runs.scan(gone, scanner("other"))
    assert (deductions(later), fixed(later)) == ({}, ["web"]), "what is not there any more has no weakness"


def test_an_engine_that_says_it_has_none_is_believed_at_once(runs: SecurityRuns) -> None:
    runs.scan(scanner("docker-audit", [weakness(subject="web")], area=Area.CONTAINERS))
    empty = scanner("docker-audit", area=Area.CONTAINERS, scanned=0, raises=NothingHere("no container", sure=True))
    result = runs.scan(empty, scanner("other"))
    assert (result.score, deductions(result), fixed(result)) == (100, {}, ["web"])


def test_nothing_is_here_only_for_who_could_look(runs: SecurityRuns) -> None:
    half_blind = scanner("tls", scanned=0, missed=[("its sockets",)], raises=NothingHere("no TLS server"))
    result = runs.scan(half_blind, scanner("other"))
    assert deductions(result) == {"scanner_tls_unknown": 10}
    (told,) = [one for one in result.findings if one.kind == "scanner_unknown"]
    assert "no TLS server; it may be there unseen: its sockets" in told.message


def test_what_a_scanner_told_before_it_failed_is_kept(runs: SecurityRuns) -> None:
    result = runs.scan(scanner(told=[weakness(severity="critical")], raises=ClientError("gone")))
    assert (result.status, standings(result)) == ("CRITICAL", {"thing": "new"})


def test_a_scanner_that_hangs_is_left_behind_and_what_it_told_is_kept(runs: SecurityRuns) -> None:
    never = threading.Event()
    hanging = scanner("hanging", [weakness(subject="first")], then=lambda look: never.wait(60) and None)
    result = runs.scan(hanging, scanner("other", [weakness(subject="second")]), max_scanner_seconds=1)
    never.set()
    assert standings(result) == {"first": "new", "second": "new"}
    assert deductions(result)["scanner_hanging_unknown"] == 10
    assert ("hanging",) not in values(result, "scanner_duration_seconds")


def test_a_scan_whose_time_is_over_names_the_scanners_it_did_not_reach(runs: SecurityRuns) -> None:
    def until_the_end(look: Look) -> None:
        while True:
            look.go_on()
            threading.Event().wait(0.01)

    late = scanner("late", [weakness()])
    result = runs.scan(scanner("long", then=until_the_end), late, max_scan_seconds=1, parallel_scanners=1)
    assert deductions(result) == {"scanner_long_unknown": 10, "scanner_late_unknown": 10}
    (told,) = [one for one in result.findings if one.subject == "scanner/late"]
    assert "before its turn" in told.message


def test_scanners_run_side_by_side_no_more_than_they_may(runs: SecurityRuns) -> None:
    together, running, most = threading.Barrier(2, timeout=20), [0], [0]

    def meet(look: Look) -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        together.wait()
        running[0] -= 1

    result = runs.scan(*(scanner(f"s{number}", then=meet) for number in range(6)))
    assert (result.status, most[0] <= 2) == ("LOW", True)


def test_a_scanner_that_missed_something_is_through_in_part_and_costs_less(runs: SecurityRuns) -> None:
    result = runs.scan(scanner(missed=[("/root/x: permission denied",), ("/root/y: permission denied",)]))
    assert (result.status, result.score, deductions(result)) == ("LOW", 97, {"scanner_trial_partial": 3})
    (told,) = result.findings
    assert (told.kind, told.severity) == ("scanner_partial", "low")
    assert told.message == "it has not seen everything: /root/x: permission denied; and 1 more"
    assert values(result, "scanner_missed") == {("trial",): 2}
    assert values(result, "scanner_success") == {("trial", "filesystem"): 1}


def test_a_scanner_without_end_is_capped_and_keeps_the_worst(
    runs: SecurityRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanner_module, "MAX_WEAKNESSES", 20)
    monkeypatch.setattr(scanner_module, "MAX_MISSED", 5)
    told = [*weaknesses("medium", 70), *weaknesses("critical", 3)]
    result = runs.scan(scanner(told=told, missed=[(f"{number}", "x") for number in range(9)]))
    assert result.report is not None
    assert result.report["summary"]["vulnerability_summary"]["critical"] == 3
    assert result.report["summary"]["vulnerability_summary"]["total"] == 20
    (one,) = result.report["results"]["filesystem"]["scanners"]
    assert (one["found"], one["state"]) == (73, "partial")
    assert one["missed"][-2:] == ["4 more things were missed", "53 findings beyond the worst 20 are left out"]


# --- what is not asked to look ---


def test_an_area_that_is_switched_off_is_named_and_costs_nothing(runs: SecurityRuns) -> None:
    result = runs.scan(scanner("files"), scanner("ports", area=Area.NETWORK), network={"enabled": False})
    assert (result.status, result.score) == ("LOW", 100)
    assert result.report is not None
    assert result.report["summary"]["scanners"]["off"] == ["ports"]
    assert {area for area, _ in values(result, "findings")} == {"filesystem"}
    assert ("ports", "network") not in values(result, "scanner_success")


def test_a_scanner_can_be_switched_off_by_its_name_and_a_wrong_name_is_told(runs: SecurityRuns) -> None:
    result = runs.scan(scanner("files"), scanner("trivy"), disabled_scanners=["trivy", "trivvy"])
    assert result.report is not None
    assert result.report["summary"]["scanners"]["off"] == ["trivy"]
    (told,) = result.findings
    assert told.message == "disabled_scanners names 'trivvy', and there is no such scanner (there are files, trivy)"


def test_with_everything_switched_off_nothing_is_known(runs: SecurityRuns) -> None:
    result = runs.scan(scanner(), filesystem={"enabled": False})
    assert (result.status, kinds(result)) == ("MEDIUM", {("nothing_scanned", "scan")})


def test_findings_of_a_scanner_that_is_off_sleep_and_are_no_news_later(runs: SecurityRuns) -> None:
    runs.scan(scanner(told=[weakness()]))
    assert standings(runs.scan(scanner(), filesystem={"enabled": False})) == {}
    assert standings(runs.scan(scanner(told=[weakness()]))) == {"thing": "known"}


def test_a_scanner_of_full_scans_is_left_out_of_a_standard_one_with_its_findings_carried_over(
    runs: SecurityRuns,
) -> None:
    deep = scanner("deep", [weakness(subject="old", severity="critical")], area=Area.CODE, full_only=True)
    first = runs.scan(deep, scanner())
    assert "code" not in {area for area, _ in values(first, "findings")}
    runs.scan(deep, scanner(), mode=FULL)
    result = runs.scan(deep, scanner())
    assert (standings(result), result.status) == ({"old": "unseen"}, "CRITICAL")
    carried = reported(result)["weak old"]
    assert (carried["not_looked_at"], carried["last_seen"][:10]) == ("only a full scan looks there", "2026-03-03")
    assert values(result, "findings")[("code", "critical")] == 1
    assert values(result, "scanner_success")[("deep", "code")] == 1
    assert values(result, "unseen_findings") == {(): 1}
    assert fixed(runs.scan(scanner("deep", area=Area.CODE, full_only=True), scanner(), mode=FULL)) == ["old"]


# --- settings and the job ---


@pytest.mark.parametrize("given", ["MEDIUM", "medium", "Medium"])
def test_severity_and_format_are_understood_in_any_case(given: str) -> None:
    settings = Settings.model_validate({"severity_threshold": given, "report_format": "BOTH"})
    assert (settings.severity_threshold, settings.report_format) == ("medium", "both")


def test_a_scan_must_end_before_its_run_is_killed() -> None:
    with pytest.raises(ValidationError, match="max_scan_seconds: 4150 must be 60 below max_run_seconds"):
        Settings.model_validate({"max_scan_seconds": 4150})


def test_the_job_keeps_what_was_promised() -> None:
    assert [cadence.mode for cadence in JOB.cadences] == ["standard", "full"]
    assert JOB.report is not None
    assert (JOB.report.link, JOB.report.renderings) == (
        "reports/security/latest_security_report.json",
        (".html", ".sarif"),
    )
    assert JOB.score_name == "security"


def test_a_target_is_refused(runs: SecurityRuns) -> None:
    with pytest.raises(Exception, match="takes no target"):
        run(Settings(), None, Request(task="security-scan", target="x"))  # type: ignore[arg-type]


def test_a_scanners_database_has_its_age(runs: SecurityRuns) -> None:
    def tell(value: Any) -> Callable[[Look], None]:
        return lambda look: look.detail("database_timestamp_seconds", value)

    def database(of: Scanner) -> dict[tuple[str, ...], float]:
        return values(runs.scan(of), "scanner_database_timestamp_seconds")

    assert database(scanner(then=tell(1_772_000_000))) == {("trial",): 1_772_000_000}
    for nonsense in ("yesterday", None, float("nan"), float("inf"), -5, True):
        assert database(scanner(then=tell(nonsense))).get(("trial",), 1.0) == 1.0


def test_the_memory_is_for_its_owner_alone(runs: SecurityRuns) -> None:
    runs.scan(scanner(told=[weakness()]))
    assert runs.memory.stat().st_mode & 0o777 == 0o600
    assert json.loads(runs.memory.read_text())["version"] == 1
