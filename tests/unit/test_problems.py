"""What a run shows to be over, and what it does not: nothing that it has not looked at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from exporter.bridge.model import Problem
from exporter.bridge.outgoing.problems import RUN_FAILED, problems_of
from exporter.record import CUT_OFF, Record
from jobs.core.model import Finding, Outcome, Request, Result, Severity
from jobs.core.registry import all_jobs
from jobs.core.sight import ALL, ANY_MODE, SAME, Sight
from tests.services.news import NOON, finding, settings_of

SOURCES = "\n".join(file.read_text() for file in sorted((Path(__file__).parents[2] / "jobs").rglob("*.py")))
HIGH = Severity.HIGH


def a_record(
    task: str,
    mode: str,
    *findings: Finding,
    outcome: Outcome = Outcome.OK,
    scope: dict[str, str] | None = None,
    **request: str,
) -> Record:
    result = Result(status="X", findings=findings, scope=scope or {}) if outcome is Outcome.OK else None
    return Record(
        run_id=1,
        request=Request(task=task, mode=mode, **{"trigger": "schedule", **request}),  # type: ignore[arg-type]
        outcome=outcome,
        started=NOON,
        finished=NOON,
        duration_seconds=1,
        result=result,
        error="" if result else "no",
    )


def a_problem(task: str, mode: str, kind: str, subject: str, severity: Severity = HIGH) -> Problem:
    return Problem(
        task=task, kind=kind, subject=subject, severity=severity, message="m", event="e", mode=mode, opened=NOON
    )


def is_over(problem: Problem, record: Record) -> bool:
    return problems_of(record, settings_of()).left_of(problem) is None


AGENTS = "agent-monitor"
DATABASES = "database-maintenance"
BACKUPS = "backup-verification"
CERTIFICATES = "certificate-renewal"
SECURITY = "security-scan"


@pytest.mark.parametrize(
    ("problem", "run", "over"),
    [
        # the mode that found it, and modes that look at the same
        (("health-check", "full", "fail", "check/a"), ("health-check", "light"), True),
        ((BACKUPS, "full", "drill_failed", "backup/db"), (BACKUPS, "standard"), False),
        ((BACKUPS, "full", "drill_failed", "backup/db"), (BACKUPS, "full"), True),
        ((BACKUPS, "full", "backup_damaged", "backup/a.gz"), (BACKUPS, "standard"), True),
        ((BACKUPS, "standard", "backup_damaged", "backup/a.gz"), (BACKUPS, "full"), True),
        ((DATABASES, "standard", "backup_failed", "backup/db"), (DATABASES, "statistics"), False),
        ((DATABASES, "standard", "down", "postgres/main"), (DATABASES, "statistics"), True),
        ((DATABASES, "full", "backup_failed", "backup/db"), (DATABASES, "standard"), True),
        ((CERTIFICATES, "standard", "renewal_failed", "certificate/ssl/cert.pem"), (CERTIFICATES, "watch"), False),
        ((CERTIFICATES, "standard", "expired", "certificate/a.pem"), (CERTIFICATES, "watch"), True),
        ((SECURITY, "full", "CVE-1", "image/a"), (SECURITY, "standard"), True),
        ((SECURITY, "full", "scanner_unknown", "scanner/trivy"), (SECURITY, "standard"), False),
        (("log-rotation", "standard", "no_space", "log//var/a.log"), ("log-rotation", "watch"), False),
        (("performance-report", "weekly", "worse", "load"), ("performance-report", "daily"), False),
        (("performance-report", "daily", "disk_high", "performance"), ("performance-report", "sample"), True),
    ],
)
def test_a_run_ends_what_a_run_in_its_mode_looks_at(
    problem: tuple[str, str, str, str], run: tuple[str, str], over: bool
) -> None:
    assert is_over(a_problem(*problem), a_record(*run)) is over


@pytest.mark.parametrize(
    ("problem", "said", "over"),
    [
        # a finding that says that nobody could look
        (("health-check", "light", "fail", "check/a"), ("unknown", "check/a"), False),
        (("health-check", "light", "fail", "check/a"), ("unknown", "check/ab"), True),
        (("health-check", "light", "fail", "check/redis"), ("vanished", "check/redis"), False),
        ((AGENTS, "check", "quarantined", "agent/x"), ("busy", "agent/x"), False),
        ((AGENTS, "check", "quarantined", "agent/x"), ("state_not_read", "agent/x"), False),
        ((AGENTS, "check", "quarantined", "agent/x"), ("busy", "agent/y"), True),
        ((AGENTS, "check", "stopped", "agent/x"), ("docker_unreachable", "docker"), False),
        ((AGENTS, "check", "stopped", "agent/x"), ("unhealthy", "agent/x"), True),
        ((AGENTS, "repair", "restart_failed", "agent/x"), ("unhealthy", "agent/x"), False),
        ((AGENTS, "repair", "restart_failed", "agent/x"), ("paused", "agent/x"), True),
        ((DATABASES, "statistics", "wraparound", "postgres/main/app"), ("down", "postgres/main"), False),
        ((DATABASES, "statistics", "wraparound", "postgres/main2/app"), ("down", "postgres/main"), True),
        ((DATABASES, "standard", "backup_failed", "backup/app"), ("failed", "backup"), False),
        ((DATABASES, "statistics", "full", "redis"), ("unreachable", "redis"), False),
        ((DATABASES, "statistics", "full", "redis"), ("slow_log_unknown", "redis"), True),
        ((CERTIFICATES, "watch", "expired", "certificate/h:443"), ("endpoint_down", "endpoint/h:443"), False),
        ((CERTIFICATES, "watch", "expired", "certificate/i:443"), ("endpoint_down", "endpoint/h:443"), True),
        ((CERTIFICATES, "watch", "expired", "certificate/a.pem"), ("unknown", "certificate/a.pem"), False),
        ((CERTIFICATES, "watch", "expired", "certificate/a.pem"), ("not_looked_at", "inventory"), False),
        ((BACKUPS, "standard", "backup_damaged", "backup/a.gz"), ("backup_unknown", "backup/a.gz"), False),
        ((BACKUPS, "full", "drill_failed", "backup/app"), ("drill_unknown", "backup/app"), False),
        ((BACKUPS, "standard", "backup_missing", "backup/app"), ("sources_unknown", "backup/postgres"), False),
        ((SECURITY, "standard", "CVE-1", "image/a"), ("scan_problem", "scan"), False),
        ((SECURITY, "standard", "CVE-1", "image/a"), ("scanner_unknown", "scanner/trivy"), True),
        (("log-rotation", "standard", "no_space", "log//a/b.log"), ("no_permission", "log//a"), False),
        (("performance-report", "sample", "disk_high", "performance"), ("host_unknown", "performance"), False),
        (("performance-report", "sample", "agents_down", "performance"), ("host_unknown", "performance"), True),
    ],
)
def test_what_could_not_be_looked_at_is_not_over(
    problem: tuple[str, str, str, str], said: tuple[str, str], over: bool
) -> None:
    kind, subject = said
    record = a_record(problem[0], problem[1], finding(subject, Severity.MEDIUM, kind))
    assert is_over(a_problem(*problem), record) is over


def test_what_may_stand_beyond_the_end_of_a_list_is_not_over() -> None:
    cut = a_record(SECURITY, "standard", finding("scan/high", HIGH, "more_findings"))
    for severity, over in ((Severity.MEDIUM, False), (HIGH, False), (Severity.CRITICAL, True)):
        assert is_over(a_problem(SECURITY, "standard", "CVE-1", "image/a", severity), cut) is over


@pytest.mark.parametrize(
    ("subject", "scope", "target", "over"),
    [
        ("agent/x", {"agent": "x"}, "x", True),
        ("agent/x", {}, "x", True),
        ("agent/xy", {"agent": "x"}, "x", False),
        ("agent/y", {"agent": "x"}, "x", False),
        ("agent/y", {}, "x", False),
        ("docker", {"agent": "x"}, "x", False),
        ("docker", {}, "", True),
    ],
)
def test_a_run_for_one_thing_ends_nothing_of_others(
    subject: str, scope: dict[str, str], target: str, over: bool
) -> None:
    record = a_record(AGENTS, "release", scope=scope, target=target)
    assert is_over(a_problem(AGENTS, "check", "k", subject), record) is over


def test_of_findings_with_one_name_the_worst_counts() -> None:
    record = a_record("health-check", "light", finding(severity=HIGH), finding(severity=Severity.LOW))
    (problem,) = problems_of(record, settings_of()).seen.values()
    assert (problem.severity, problem.event, problem.mode) == (HIGH, "health", "light")


@pytest.mark.parametrize(
    ("kind", "subject", "by_backup", "by_vacuum"),
    [
        ("backup_failed", "backup/main/app", True, False),
        ("failed", "backup", True, False),
        ("backup_not_removed", "backups/database/a.dump", True, False),
        ("maintenance_failed", "postgres/main/app", False, True),
        ("save_refused", "redis", False, False),
        ("down", "postgres/main", True, True),
        ("unreachable", "redis", True, True),
        ("state_not_read", "database-maintenance", False, False),
    ],
)
def test_a_run_of_one_part_of_the_maintenance_ends_problems_of_that_part_and_what_all_look_at(
    kind: str, subject: str, by_backup: bool, by_vacuum: bool
) -> None:
    problem = a_problem(DATABASES, "standard", kind, subject)
    assert is_over(problem, a_record(DATABASES, "backup")) is by_backup
    assert is_over(problem, a_record(DATABASES, "vacuum")) is by_vacuum


# Tasks that do not work


def failed(mode: str, **request: str) -> Record:
    return a_record(DATABASES, mode, outcome=Outcome.ERROR, **request)


def the_failure(record: Record) -> Problem:
    (problem,) = problems_of(record, settings_of()).seen.values()
    return problem


def test_a_task_works_again_when_the_mode_that_failed_does() -> None:
    problem = the_failure(failed("standard"))
    assert (problem.kind, problem.subject, problem.event) == (RUN_FAILED, f"task/{DATABASES}", "task")
    assert not is_over(problem, a_record(DATABASES, "statistics"))
    assert is_over(problem, a_record(DATABASES, "standard"))


def test_of_several_modes_that_failed_each_has_to_work() -> None:
    both = a_problem(DATABASES, "standard,statistics", RUN_FAILED, f"task/{DATABASES}")
    left = problems_of(a_record(DATABASES, "statistics"), settings_of()).left_of(both)
    assert left is not None
    assert left.mode == "standard"
    assert is_over(left, a_record(DATABASES, "standard"))


def test_a_mode_that_is_on_no_schedule_is_not_waited_for() -> None:
    problem = the_failure(failed("full"))
    assert is_over(problem, a_record(DATABASES, "statistics"))


def test_a_run_for_one_target_does_not_show_that_the_task_works() -> None:
    whole = a_problem(AGENTS, "check", RUN_FAILED, f"task/{AGENTS}")
    one = the_failure(a_record(AGENTS, "check", outcome=Outcome.ERROR, target="x", trigger="event"))
    assert one.subject == f"task/{AGENTS}/x"
    assert not is_over(whole, a_record(AGENTS, "check", target="x", scope={"agent": "x"}))
    assert is_over(one, a_record(AGENTS, "check", target="x", scope={"agent": "x"}))
    assert is_over(one, a_record(AGENTS, "check"))


def test_who_asked_for_a_target_that_is_not_there_has_the_answer_already() -> None:
    record = a_record(AGENTS, "check", outcome=Outcome.ERROR, target="typo", trigger="api")
    assert problems_of(record, settings_of()).seen == {}


@pytest.mark.parametrize(
    ("task", "mode", "told"),
    [
        (AGENTS, "check", False),
        (DATABASES, "statistics", False),
        (DATABASES, "standard", True),
        (BACKUPS, "full", True),
    ],
)
def test_what_was_cut_off_is_told_unless_it_comes_again_with_the_daemon(task: str, mode: str, told: bool) -> None:
    record = a_record(task, mode, outcome=Outcome.ERROR)
    record = record.model_copy(update={"error": f"{CUT_OFF}its process ended"})
    assert bool(problems_of(record, settings_of()).seen) is told
    standing = a_problem(task, mode, "full", "redis")
    assert not is_over(standing, record)


def test_nothing_is_said_of_a_task_that_there_is_no_more() -> None:
    record = a_record("long-gone", "full", outcome=Outcome.ERROR)
    assert problems_of(record, settings_of()).seen == {}


# What the jobs say of themselves


@pytest.mark.parametrize("task", all_jobs())
def test_what_a_job_says_of_its_sight_is_true(task: str) -> None:
    job = all_jobs()[task]
    assert set(job.sight.looks_at) <= {*job.modes, ANY_MODE}
    for pattern in (*job.sight.looks_at.values(), *job.sight.blind.values()):
        re.compile(pattern.replace("{subject}", "s").replace("{name}", "n"))
    words = {*job.sight.blind, *filter(None, [job.sight.cut])}
    known = {word for word in words if re.search(rf"\b{word}\b", SOURCES.replace('"scanner_', '"'))}
    gaps = {word for word in words if word.endswith("_unknown")}  # of the performance report: made of what is unknown
    assert words <= known | gaps


def test_a_subject_is_never_read_as_a_pattern() -> None:
    sight = Sight(blind={"gone": SAME})
    said = finding("a/(b|c).*[", kind="gone")
    assert sight.is_hidden([said], "k", "a/(b|c).*[", HIGH)
    assert sight.is_hidden([said], "k", "a/(b|c).*[/below", HIGH)
    assert not sight.is_hidden([said], "k", "a/b", HIGH)


def test_names_may_have_line_ends() -> None:
    assert Sight(looks_at={"m": ALL}).covers("m", "n", "a\nb", "c\nd")
    assert Sight(blind={"gone": SAME}).is_hidden([finding("x\ny", kind="gone")], "a\nb", "x\ny", HIGH)
