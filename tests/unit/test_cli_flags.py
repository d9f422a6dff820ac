"""The flags of jobs: those of the scripts that came before, and those that a new job brings with it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporter.commandline.job_flags import chosen, options_of, parameter_of, values_of
from exporter.failure import Failure
from jobs.core.job import Flag, Job
from jobs.core.registry import all_jobs, load_job
from tests.services.smtp_sink import SmtpSink
from tests.services.trial_jobs import TASK, TrialPackage

Run = Callable[..., subprocess.CompletedProcess[str]]

GUIDE = [
    ("log-rotation", {"--force": True}, "force", {}),
    ("database-maintenance", {"--full-maintenance": True}, "full", {}),
    ("certificate-renewal", {"--force-renew": True}, "force", {}),
    ("agent-monitor", {"--max-restarts": "5"}, "", {"jobs.agent_monitor.max_restarts_per_hour": "5"}),
    (
        "performance-report",
        {"--format": "html", "--period": "weekly"},
        "weekly",
        {"jobs.performance_report.report_format": "html"},
    ),
    (
        "security-scan",
        {"--full-scan": True, "--report-format": "json", "--severity": "HIGH"},
        "full",
        {"jobs.security_scan.report_format": "json", "jobs.security_scan.severity_threshold": "HIGH"},
    ),
    ("backup-verification", {"--verify-all": True}, "full", {"jobs.backup_verification.verify_all": True}),
]


def given(job: Job, flags: Mapping[str, Any]) -> dict[str, Any]:
    """What click passes for these flags."""
    values = {option.name: False if option.is_flag else None for option in options_of(job)}
    return {**values, **{parameter_of(flag): flags[flag.name] for flag in job.flags if flag.name in flags}}


@pytest.mark.parametrize(("task", "flags", "mode", "settings"), GUIDE, ids=lambda value: str(value)[:30])
def test_the_flags_of_the_scripts_choose_what_they_did(
    task: str, flags: dict[str, Any], mode: str, settings: dict[str, Any]
) -> None:
    job = load_job(task)
    choice = chosen(job, "", given(job, flags))
    assert (choice.mode, {".".join(path): value for path, value in choice.settings.items()}) == (mode, settings)
    assert chosen(job, "", given(job, {})).mode == ""


@pytest.mark.parametrize("job", all_jobs().values(), ids=all_jobs())
def test_every_job_says_what_its_modes_verdicts_and_flags_mean(job: Job) -> None:
    assert set(job.mode_notes) == set(job.modes)
    assert 0 in job.verdicts
    assert set(job.verdicts) <= {0, 1, 2, 3}
    for flag in job.flags:
        assert flag.name.startswith("--")
        assert flag.help.endswith(".")
        assert {flag.mode, *flag.modes} - {""} <= set(job.modes)
        assert flag.mode or flag.modes or flag.setting or flag.mails
        if flag.setting:
            values_of(job, flag)  # the setting is there


def test_the_values_of_a_flag_are_those_of_its_setting() -> None:
    values = {flag.name: values_of(job, flag) for job in all_jobs().values() for flag in job.flags}
    assert values["--format"] == ("json", "html", "both")
    assert values["--period"] == ("daily", "weekly", "monthly")
    assert values["--severity"] == ("info", "low", "medium", "high", "critical")
    assert values["--max-restarts"] == values["--force"] == ()


def test_flags_that_contradict_each_other_are_wrong_usage() -> None:
    job = replace(
        load_job("log-rotation"), flags=(Flag("--force", "F.", mode="force"), Flag("--look", "L.", mode="watch"))
    )
    with pytest.raises(Failure, match="--force and --look choose different modes: leave one of them out"):
        chosen(job, "", given(job, {"--force": True, "--look": True}))
    with pytest.raises(Failure, match="--mode and --force choose different modes"):
        chosen(job, "watch", given(job, {"--force": True}))
    assert chosen(job, "force", given(job, {"--force": True})).mode == "force"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["agent-monitor", "--max-restarts", "0"], "--max-restarts: 0 is below 1"),
        (["agent-monitor", "--max-restarts", "many"], "--max-restarts: 'many' is not a whole number"),
        (["agent-monitor", "--max-restarts", ""], "--max-restarts: is empty; write a whole number, or leave it out"),
        (["agent-monitor", "--max-restarts", "[1"], "--max-restarts: "),
        (["agent-monitor", "--max-restart", "1"], "did you mean '--max-restarts'?"),
        (["health-check", "--max-restarts", "1"], "health-check has no option '--max-restarts'; agent-monitor has"),
        (["health-check", "--target", "x"], "health-check takes no target: leave out --target"),
        (["health-check", "--email", "nobody"], "--email: 'nobody' is not one mail address"),
        (["health-check", "--email", "a@b.example, c@d.example"], "--email: "),
        (["health-check", "--email", ""], "--email: "),
        (["performance-report", "--format", "xml"], "--format: 'xml' is not one of 'json', 'html' or 'both'"),
        (["performance-report", "--period", "weakly"], "'weakly' is no value of it; did you mean 'weekly'?"),
        (["performance-report", "--period", "weekly", "--mode", "daily"], "choose different modes"),
        (["security-scan", "--severity", "awful"], "--severity: 'awful' is not one of"),
        (["log-rotation", "--force", "--scheduled"], "leave out --dry-run, --target, --mode and flags that choose one"),
    ],
    ids=lambda value: " ".join(value)[:50],
)
def test_a_wrong_flag_is_one_line_and_64(run_here: Run, tmp_path: Path, arguments: list[str], says: str) -> None:
    done = run_here("run", *arguments)
    assert (done.returncode, done.stdout) == (64, ""), done
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_help_of_a_task_tells_its_flags_modes_cadences_and_exit_codes(run_cli: Run) -> None:
    text = " ".join(run_cli("run", "log-rotation", "--help").stdout.split())
    for says in (
        "--force Delete the oldest archives until the total is under its cap. [mode force]",
        "standard (default) rotates",
        "daily at 02:00: standard",
        "2 a log could not be rotated",
        "75 somebody else is running it",
        "sutazai-exporter run log-rotation --force",
    ):
        assert says in text
    assert "--target" not in text
    assert "[sets jobs.agent_monitor.max_restarts_per_hour]" in " ".join(
        run_cli("run", "agent-monitor", "--help").stdout.split()
    )


# A new job

FLAGGED = "flagged-work"
FLAGS = """
    flags=(
        Flag("--quick", "Only a little.", mode="light"),
        Flag("--span", "How much.", modes=("full", "light")),
        Flag("--word", "What it says.", setting="code"),
        Flag("--tight", "In little room.", setting="max_memory_mb", value=64),
        Flag("--patience", "How long.", setting="max_run_seconds"),
        Flag("--email", "Mail what is wrong.", mails=True),
    ),
    mode_notes={"light": "only a little"},
    verdicts={0: "fine", 2: "not fine"},
    cadences="""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> TrialPackage:
    package = TrialPackage(tmp_path_factory.mktemp("flagged") / "package")
    file = package.add(FLAGGED, prefix="flagged", cadences='(Cadence.parse("daily at 04:00: light"),)')
    source = file.read_text().replace("import Job,", "import Flag, Job,").replace("\n    cadences=", FLAGS)
    file.write_text(source)
    return package


@pytest.fixture
def cli(run_cli: Run, package: TrialPackage) -> Run:
    def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return run_cli(*arguments, env=package.environment, **options)

    return run


def test_a_new_job_brings_its_flags_with_it(cli: Run) -> None:
    text = " ".join(cli("run", FLAGGED, "--help").stdout.split())
    for says in ("--quick", "--span full|light", "--patience NUMBER", "--word TEXT", "--email ADDRESS", "2 not fine"):
        assert says in text
    code = "result = Result(status=f'{request.mode} {settings.max_memory_mb} {settings.max_run_seconds:g}')"
    done = cli("run", FLAGGED, "--quick", "--word", code, "--tight", "--patience", "7", "--json")
    assert json.loads(done.stdout)["result"]["status"] == "light 64 7"
    assert "--word" not in cli("run", TASK, "--help").stdout


def test_what_a_flag_sets_holds_for_this_run_only(cli: Run) -> None:
    config = {"jobs": {"flagged_work": {"code": "result = Result(status=f'{settings.max_run_seconds:g}')"}}}
    assert cli("run", FLAGGED, "--patience", "7", config=config).stdout.startswith("flagged-work: 7 ")
    assert cli("run", FLAGGED, config=config).stdout.startswith("flagged-work: 600 ")


def test_a_wrong_configuration_comes_before_a_wrong_flag(cli: Run) -> None:
    config = {"jobs": {"flagged_work": {"max_run_seconds": 0}}}
    done = cli("run", FLAGGED, "--patience", "x", config=config)
    assert (done.returncode, "jobs.flagged_work.max_run_seconds: 0 is below 1" in done.stderr) == (78, True)


# Mail

BAD = """
def finding(severity, name):
    message = f"the {name} is gone"
    return Finding(kind=name, subject=f"s/{name}", severity=severity, message=message, remedy="bring it back")
findings = (finding("low", "cat"), finding("high", "dog"))
result = Result(status="BAD", verdict=2, summary="two are gone", findings=findings)
"""


def mailing(post_office: SmtpSink) -> dict[str, Any]:
    mail = {"host": "127.0.0.1", "port": post_office.port, "security": "none", "recipients": ["team@example.org"]}
    return {"notifications": {"mail": mail, "min_severity": "critical"}}


def flagged(code: str, post_office: SmtpSink) -> dict[str, Any]:
    return {**mailing(post_office), "jobs": {"flagged_work": {"code": code}}}


def test_what_is_wrong_is_mailed_to_the_address_and_to_nobody_else(cli: Run, post_office: SmtpSink) -> None:
    for _ in range(2):  # that it stands already is no reason not to be told when one asks for it
        done = cli("run", FLAGGED, "--email", "me@example.org", config=flagged(BAD, post_office))
        assert done.returncode == 2, done
        assert "mailed to me@example.org" in done.stdout
    assert [mail.recipients for mail in post_office.mails] == [("me@example.org",)] * 2
    body = post_office.mails[0].part("plain")
    assert body.index("the dog is gone") < body.index("the cat is gone")
    assert "bring it back" in body


def test_nothing_is_mailed_of_a_good_run_and_of_a_plan(cli: Run, post_office: SmtpSink) -> None:
    good = cli("run", FLAGGED, "--email", "me@example.org", config=flagged("", post_office))
    assert "nothing to mail to me@example.org: all is well" in good.stdout
    plan = cli("run", FLAGGED, "--email", "me@example.org", "--dry-run", config=flagged(BAD, post_office))
    assert "would: mail me@example.org" in plan.stdout
    assert post_office.mails == []


def test_without_a_mail_server_nothing_is_run(cli: Run, tmp_path: Path) -> None:
    done = cli("run", FLAGGED, "--email", "me@example.org")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == "sutazai-exporter: --email: no mail server is configured; set notifications.mail.host\n"
    assert not (tmp_path / "base").exists()


def test_a_mail_that_is_not_taken_is_told(cli: Run, post_office: SmtpSink) -> None:
    post_office.refuse_recipient = lambda address: "550 nobody here"
    done = cli("run", FLAGGED, "--email", "me@example.org", config=flagged(BAD, post_office))
    assert done.returncode == 69
    assert "flagged-work: BAD" in done.stdout
    assert "--email: me@example.org: not sent: " in done.stderr
