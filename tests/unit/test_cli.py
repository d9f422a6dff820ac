"""The command line as a person or a script meets it: what is printed where, and every exit code."""

from __future__ import annotations

import gc
import json
import os
import shlex
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.commandline import console
from exporter.commandline.doctor_screen import print_entries
from exporter.commands import status
from exporter.config import Configuration
from exporter.doctor.diagnosis import State
from exporter.doctor.examination import Entry
from exporter.views.shapes import Status
from tests.services.command_here import run_here
from tests.services.exporter_daemon import command_line, environment_of, run_cli
from tests.services.ports import free_port
from tests.services.trees import tree_digest
from tests.services.trial_jobs import TASK, TrialPackage, configuration_of, work
from tests.services.wait import wait_for

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def trial(package: TrialPackage) -> Iterator[TrialPackage]:
    """The package, known to this very process."""
    with package.in_process():
        yield package


@pytest.fixture
def cli(trial: TrialPackage, base: Path) -> Run:
    def run(*arguments: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        environment = {**trial.environment, **(env or {})}
        if arguments[:1] == ("serve",):
            # Whoever runs the tests may have a daemon at its usual address.
            environment.setdefault("SUTAZAI_WEB__LISTEN_ADDRESS", f"127.0.0.1:{free_port()}")
            return run_cli(*arguments, base_dir=base, env=environment, **options)
        return run_here(*arguments, base_dir=base, env=environment, **options)

    return run


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "base"


@pytest.fixture(scope="module")
def has_run(package: TrialPackage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base directory in which the trial task has run once, as a process leaves it that has ended."""
    directory = tmp_path_factory.mktemp("has-run") / "base"
    assert run_cli("run", TASK, base_dir=directory, env=package.environment).returncode == 0
    return directory


READING = [
    ["status"],
    ["tasks"],
    ["history"],
    ["findings"],
    ["backups"],
    ["agents", "list"],
    ["reports", "list"],
    ["remediations", "list"],
    ["audit", "list"],
    ["notify", "pending"],
]
"""Commands that read the store, and tell of an empty one as well."""

# Bad input: one line that names it, the right code, nothing written

BAD_USAGE = [
    ([], "Missing command. See 'sutazai-exporter --help'."),
    (["notify"], "Missing command, or --test. See 'sutazai-exporter notify --help'."),
    (["agents", "--jsn"], "did you mean '--json'? See 'sutazai-exporter agents list --help'."),
    (
        ["install", "--systemd", "--textfile-directory", "/tmp"],
        "--textfile-directory belongs to --cron and --timers: the daemon's metrics are at /metrics",
    ),
    (["serv"], "No such command 'serv'; did you mean 'serve'? See 'sutazai-exporter --help'."),
    (["reprts", "list"], "did you mean 'reports'?"),
    (["agents", "restrt"], "No such command 'restrt'; did you mean 'restart'? See 'sutazai-exporter agents --help'."),
    (["audit", "verfy"], "did you mean 'verify'?"),
    (["remediations", "aprove", "1"], "did you mean 'approve'?"),
    (["token", "creat"], "did you mean 'create'?"),
    (["notify", "ded"], "did you mean 'dead'?"),
    (["serve", "--web.listen-adress", "x"], "did you mean '--web.listen-address'?"),
    (["serve", "--log.level", "loud"], "'loud' is not one of"),
    (["serve", "extra"], "extra"),
    (["serve", "--config.file"], "--config.file"),
    (["serve", "--config.file", "/"], "'/' is a directory"),
    (["run"], "Missing argument 'TASK'; there are trial-work."),
    (["run", "--dry-run"], "Missing argument 'TASK'"),
    (["run", "--dry-run", "trial-wrok"], "did you mean 'trial-work'?"),
    (["run", "trial-wrok"], "no task is called 'trial-wrok'; did you mean 'trial-work'?"),
    (["run", "../core/job"], "no task is called '../core/job'"),
    (["run", TASK, "--mode", "fast"], "trial-work has no mode 'fast'; it has full, light"),
    (["run", TASK, "--mode", "ligt"], "trial-work has no mode 'ligt'; did you mean 'light'?"),
    (["run", TASK, "--target", "../../x"], "'../../x' cannot be a target: letters, digits"),
    (["run", TASK, "--target", "a b;$(id)"], "cannot be a target"),
    (["run", TASK, "--dry-rum"], "No such option '--dry-rum'; did you mean '--dry-run'?"),
    (["run", TASK, "extra"], "extra"),
    (["run", TASK, "--wait", "-1"], "--wait"),
    (["run", TASK, "--scheduled", "--dry-run"], "leave out --dry-run"),
    (["run", TASK, "--scheduled", "--mode", "light"], "leave out --dry-run, --target, --mode"),
    (["history", "--task", "zzz"], "no task is called 'zzz'; there are trial-work"),
    (["history", "--since", "yesterday"], "'yesterday' is no time; write 90m"),
    (["history", "--since", "99999999999w"], "is no time"),
    (["history", "--run", "7"], "there is no run 7 that is over"),
    (["history", "--limit", "0"], "0 is not in the range"),
    (["findings", "--task", "trial-wrk"], "did you mean 'trial-work'?"),
    (["findings", "--severity", "awful"], "'awful' is not one of"),
    (["reports", "show", "../../etc/passwd"], "no report is called '../../etc/passwd'"),
    (["reports", "show", "latst"], "no report is called 'latst'; did you mean 'latest'?"),
    (["reports", "list", "--task", "trial"], "no task is called 'trial'; did you mean 'trial-work'?"),
    (["config", "show", "jobs.trial_wrok"], "no setting is called 'jobs.trial_wrok'; did you mean 'jobs.trial_work'?"),
    (["config", "show", "web.listen"], "did you mean"),
    (["completion", "csh"], "'csh' is not one of"),
    (["completion"], "Choose from: bash, zsh, fish. See"),
    (["token", "create", "--name", "me"], "Choose from: scrape, read, operate, alert. See"),
    (["run", "trial-work", "--wait", "nan"], "nan is no time"),
    (["status", "--interval", "nan"], "nan is no time"),
    (["status", "--watch"], "--watch needs a terminal"),
    (["status", "--interval", "2"], "--interval belongs to --watch: add that, or leave it out"),
    (["status", "--interval", "0"], "0 is not in the range"),
    (["history", "--limit", "many"], "'many' is not a valid integer"),
    (["token", "create"], "--name"),
    (["audit", "verify", "--anchor", "12:zz"], "'12:zz' is not SEQ:HASH"),
    (["remediations", "approve", "0"], "0 is not in the range"),
    (["token", "create", "--name", "x", "--scope", "root"], "'root' is not one of"),
    (["token", "create", "--name", "a b", "--scope", "read"], "'a b' cannot name a token: letters, digits"),
    (["metrics", "--format", "xml"], "'xml' is not one of"),
    (["agents", "release"], "AGENT"),
]


@pytest.mark.parametrize(("arguments", "says"), BAD_USAGE, ids=lambda value: " ".join(value)[:40])
def test_wrong_usage_is_one_line_and_64(cli: Run, tmp_path: Path, arguments: list[str], says: str) -> None:
    before = tree_digest(tmp_path)
    done = cli(*arguments)
    assert done.returncode == 64, done
    assert says in done.stderr
    assert done.stderr.startswith("sutazai-exporter: ")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert tree_digest(tmp_path) == before


@pytest.mark.parametrize(
    "command",
    [
        ["serve"],
        ["run", TASK],
        *READING,
        ["check-config"],
        ["config", "show"],
        ["rules"],
        ["notify", "--test"],
        ["token", "create", "--name", "x", "--scope", "read"],
    ],
    ids=" ".join,
)
def test_a_wrong_configuration_is_told_whole_and_78_before_anything_runs(
    cli: Run, tmp_path: Path, command: list[str]
) -> None:
    config = {"jobs": {"trial_work": {"max_run_seconds": 0, "code": "open('ran', 'w')"}}, "redis": {"urll": "x"}}
    env = {"SUTAZAI_MAX_DISK_USAGE": "110", "SUTAZAI_REDIS__PASSWORD_FILE": "/nonexistent"}
    (tmp_path / "exporter.yml").touch()
    done = cli(*command, config=config, env=env)
    assert done.returncode == 78
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("sutazai-exporter: ") for line in lines)
    for says in (
        "jobs.trial_work.max_run_seconds: 0 is below 1",
        "redis.urll: unknown key; did you mean 'url'?",
        "thresholds.max_disk_percent: 110 is above 100",
        "/nonexistent: cannot be read for SUTAZAI_REDIS__PASSWORD_FILE",
    ):
        assert says in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["exporter.yml"]


def test_flags_are_checked_like_everything_else(cli: Run, tmp_path: Path) -> None:
    done = cli("serve", "--web.listen-address", "everywhere", "--web.telemetry-path", "metrics")
    assert done.returncode == 78
    assert "web.listen_address: 'everywhere' is no address to listen on; write host:port" in done.stderr
    assert "web.telemetry_path: a path starts with '/'" in done.stderr
    assert "(from command line)" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["run", TASK], ["serve"], ["token", "create", "--name", "x", "--scope", "read"]])
def test_a_base_directory_that_cannot_be_used_is_one_line_and_69(cli: Run, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "base").write_text("in the way")
    done = cli(*command)
    assert done.returncode == 69, done
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / "base") in done.stderr
    assert (tmp_path / "base").read_text() == "in the way"


@pytest.mark.parametrize("command", [["run", TASK], ["serve"], *READING], ids=" ".join)
def test_a_corrupt_store_is_one_line_and_69_and_stays_as_it_is(cli: Run, base: Path, command: list[str]) -> None:
    (base / "data").mkdir(parents=True)
    (base / "data" / "sutazai.db").write_bytes(b"not a database " * 100)
    done = cli(*command)
    assert done.returncode == 69
    assert len(done.stderr.splitlines()) == 1
    assert f"{base}/data/sutazai.db: the store cannot be used: file is not a database" in done.stderr
    assert (base / "data" / "sutazai.db").read_bytes() == b"not a database " * 100


def test_a_store_of_a_newer_version_is_left_alone(cli: Run, base: Path) -> None:
    cli("run", TASK)
    with sqlite3.connect(base / "data" / "sutazai.db") as store:
        store.execute("PRAGMA user_version = 99")
    for command in (["run", TASK], ["history"]):
        done = cli(*command)
        assert done.returncode == 69
        assert "newer version (format 99); upgrade the exporter" in done.stderr


def test_a_port_that_is_taken_is_69(cli: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        done = cli("serve", "--web.listen-address", address)
    assert done.returncode == 69
    assert f"sutazai-exporter: {address}: cannot be listened on: Address already in use; choose" in done.stderr


def test_a_name_that_cannot_be_listened_on_is_69(cli: Run) -> None:
    done = cli("serve", "--web.listen-address", "no-such-host.invalid:10042")
    assert done.returncode == 69
    assert len(done.stderr.splitlines()) == 1
    assert "no-such-host.invalid:10042: cannot be listened on" in done.stderr


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["directory", "pipe"])
def test_what_cannot_be_a_store_is_not_waited_at(cli: Run, base: Path, make: Callable[[Path], None]) -> None:
    (base / "data").mkdir(parents=True)
    make(base / "data" / "sutazai.db")
    for arguments in (["status"], ["run", TASK]):
        done = cli(*arguments)
        assert done.returncode == 69
        assert done.stderr.endswith("/data/sutazai.db: is no file that could be a store; move it aside\n")


@pytest.mark.parametrize(
    ("arguments", "variable", "code"),
    [
        (["check-config", "--config.file", "pipe"], "", 78),
        (["status"], "SUTAZAI_CONFIG_FILE", 78),
        (["status"], "SUTAZAI_REDIS__PASSWORD_FILE", 78),
        (["serve", "--web.config.file", "pipe"], "", 78),
        (["init", "--yes", "--redis-password-file", "pipe"], "", 64),
    ],
)
def test_a_pipe_that_is_named_as_a_file_is_not_waited_at(
    base: Path, arguments: list[str], variable: str, code: int
) -> None:
    os.mkfifo(base.parent / "pipe")
    env = {variable: "pipe"} if variable else {}
    done = run_cli(*arguments, base_dir=base, env=env, timeout_seconds=30)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (code, "", 1), done
    assert "pipe: " in done.stderr
    assert "regular file" in done.stderr


@pytest.mark.parametrize(
    "script",
    [
        "echo 'log: {level: loud}' | COMMAND /dev/stdin",
        "COMMAND /dev/stdin <<< 'log: {level: loud}'",
        "COMMAND <(echo 'log: {level: loud}')",
        "COMMAND /dev/fd/7 7< <(echo 'log: {level: loud}')",
        "mkfifo named; echo 'log: {level: loud}' > named & COMMAND /dev/stdin < named",
        "ln -s /dev/fd/0 link; COMMAND link < <(echo 'log: {level: loud}')",
    ],
)
def test_a_pipe_that_a_shell_has_opened_is_read(base: Path, script: str) -> None:
    script = script.replace("COMMAND", shlex.join(command_line("check-config", "--config.file")))
    done = subprocess.run(
        ["bash", "-c", script], env=environment_of(base), cwd=base.parent, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, "log.level: 'loud' is not one of" in done.stderr) == (78, True), done


def test_an_audit_log_that_is_not_there_is_not_called_whole(cli: Run, base: Path) -> None:
    (base / "data").mkdir(parents=True)
    for content in (None, b""):
        if content is not None:
            (base / "data" / "sutazai.db").write_bytes(content)
        done = cli("audit", "verify")
        assert (done.returncode, done.stdout) == (69, "")
        assert "sutazai.db: is not there or empty, so there is no log to verify" in done.stderr


def test_a_token_file_that_is_none_is_named(cli: Run, base: Path) -> None:
    (base / "secrets_secure").mkdir(parents=True)
    (base / "secrets_secure" / "tokens.json").write_text("{")
    done = cli("token", "create", "--name", "x", "--scope", "read")
    assert done.returncode == 69
    assert "tokens.json: is not a token file" in done.stderr
    assert (base / "secrets_secure" / "tokens.json").read_text() == "{"


def test_a_textfile_that_cannot_be_written_hides_nothing_and_is_4(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = cli("run", TASK, config=work("", textfile={"directory": str(tmp_path / "file")}))
    assert done.returncode == 4
    assert "trial-work: GOOD" in done.stdout
    assert f"{tmp_path}/file" in done.stderr
    assert len(done.stderr.splitlines()) == 1


# run


@pytest.mark.parametrize("verdict", [0, 1, 2, 3, 4])
def test_the_verdict_is_the_exit_code(cli: Run, verdict: int) -> None:
    code = f"result = Result(status='FAIR', verdict={verdict}, score=81.5, summary='all in [brackets]')"
    done = cli("run", TASK, config=work(code))
    assert done.returncode == verdict
    assert done.stdout.startswith("trial-work: FAIR (")
    assert "all in [brackets]" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise JobError('no disk: attach one')", "trial-work: error after 0."),
        ("time.sleep(600)", "trial-work: timeout after 1."),
    ],
)
def test_a_run_that_did_not_work_is_4(cli: Run, code: str, says: str) -> None:
    done = cli("run", TASK, config=work(code, task={"max_run_seconds": 1}))
    assert done.returncode == 4
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_json_is_the_whole_record(cli: Run) -> None:
    done = cli("run", TASK, "--json", "--mode", "light", config=work("result = Result(status='X', verdict=1)"))
    assert done.returncode == 1
    record = json.loads(done.stdout)
    assert (record["request"]["mode"], record["outcome"], record["result"]["verdict"]) == ("light", "ok", 1)


def test_findings_are_shown_worst_first_with_their_remedies(cli: Run) -> None:
    code = """
def finding(severity, kind):
    return Finding(kind=kind, subject=f"s/{kind}", severity=severity, message=f"m {kind}", remedy="do [this]")
result = Result(status="X", findings=(finding("low", "one"), finding("critical", "two")),
    deductions=(Deduction(points=5, reason="because"),), actions=(Action(verb="restart", subject="a", done=True),))
"""
    lines = cli("run", TASK, config=work(code)).stdout.splitlines()
    assert [line.split() for line in lines[1:5]] == [
        ["did:", "restart", "a"],
        ["critical", "s/two:", "m", "two", "→", "do", "[this]"],
        ["low", "s/one:", "m", "one", "→", "do", "[this]"],
        ["-5", "points:", "because"],
    ]


def test_of_many_findings_the_worst_are_shown_and_the_others_counted(cli: Run) -> None:
    code = """
def finding(severity, number):
    return Finding(kind="k", subject=f"s/{number}", severity=severity, message="m")
result = Result(status="X", findings=(*(finding("low", n) for n in range(30)), finding("critical", "worst")))
"""
    lines = cli("run", TASK, config=work(code)).stdout.splitlines()
    assert (lines[1].split()[0], len(lines), lines[-1].strip()) == ("critical", 27, "and 6 more findings (--verbose)")
    assert len(cli("run", TASK, "--verbose", config=work(code)).stdout.splitlines()) == 32


def test_the_log_is_shown_when_asked_for_and_warnings_always(cli: Run) -> None:
    config = work("clients.report.log('info', 'small'); clients.report.log('warning', 'large')")
    assert "small" not in cli("run", TASK, config=config).stderr
    assert "large" in cli("run", TASK, config=config).stderr
    assert "small" in cli("run", TASK, "-v", config=config).stderr


def test_a_dry_run_says_so_and_leaves_nothing(cli: Run, tmp_path: Path) -> None:
    code = "result = Result(status='X', actions=(Action(verb='restart', subject='a', done=not request.dry_run),))"
    done = cli("run", TASK, "--dry-run", config=work(code))
    assert done.returncode == 0
    assert "would: restart a" in done.stdout
    assert not (tmp_path / "base").exists()
    assert "nothing would be changed" in cli("run", TASK, "--dry-run", config=work()).stdout


def test_scheduled_claims_the_slot_and_is_75_when_there_is_none(cli: Run) -> None:
    config = work("result = Result(status=request.mode)", task={"schedule": ["every 60 minutes: light"]})
    first = cli("run", TASK, "--scheduled", "--verbose", config=config)
    assert (first.returncode, first.stdout[:17]) == (0, "trial-work: light")
    second = cli("run", TASK, "--scheduled", config=config)
    assert second.returncode in (0, 75)  # 0 only if the hour has just turned
    told = cli("run", TASK, "--scheduled", "--verbose", config=work())
    assert told.returncode == 75
    assert told.stderr == "sutazai-exporter: trial-work: no slot is due that was not claimed already; nothing was run\n"


def test_cron_hears_nothing_of_a_good_run_and_of_a_slot_that_is_not_due(cli: Run) -> None:
    config = work(task={"schedule": ["every 60 minutes"]})
    done = [cli("run", TASK, "--scheduled", config=config) for _ in range(2)]
    assert [one.returncode for one in done] in ([0, 75], [0, 0])  # the second only if the hour has just turned
    assert [one.stdout + one.stderr for one in done] == ["", ""]
    assert [run["outcome"] for run in json.loads(cli("history", "--json").stdout)["runs"]][-1] == "ok"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("result = Result(status='BAD', verdict=2, summary='look here')", "trial-work: BAD"),
        ("raise JobError('no disk: attach one')", "trial-work: error after"),
    ],
)
def test_cron_hears_of_what_is_not_well(cli: Run, code: str, says: str) -> None:
    done = cli("run", TASK, "--scheduled", config=work(code, task={"schedule": ["every 60 minutes"]}))
    assert done.returncode != 0
    assert says in done.stdout + done.stderr


def test_options_may_stand_before_the_task(cli: Run) -> None:
    done = cli("run", "--mode", "light", "--json", TASK)
    assert json.loads(done.stdout)["request"]["mode"] == "light"


# history, tasks, token, metrics


def test_history_tells_what_ran_and_what_came_of_it(cli: Run) -> None:
    assert "Nothing has run yet." in cli("history").stdout
    cli("run", TASK, config=work("raise JobError('the cause')"))
    cli("run", TASK, config=work("result = Result(status='GOOD', summary='fine')"))
    lines = cli("history").stdout.splitlines()
    assert "GOOD: fine" in lines[1]
    assert "the cause" in lines[2]
    told = json.loads(cli("history", "--json", "--task", TASK, "--limit", "1").stdout)
    assert [run["outcome"] for run in told["runs"]] == ["ok"]
    assert told["missed"] == []


def test_tasks_lists_each_with_its_schedule_and_last_run(cli: Run) -> None:
    done = cli("tasks", config=work(task={"schedule": ["daily at 06:00: light", "every 5 minutes"]}))
    assert "trial-work" in done.stdout
    assert "daily at 06:00: light, every 5 minutes" in done.stdout
    assert "never" in done.stdout
    assert "never (disabled)" in cli("tasks", config=work(task={"enabled": False})).stdout
    cli("run", TASK)
    (row,) = json.loads(cli("tasks", "--json").stdout)
    assert (row["task"], row["last_run"]["outcome"], row["modes"]) == (TASK, "ok", ["full", "light"])


def test_history_since_a_time_and_all_about_one_run(cli: Run) -> None:
    cli(
        "run",
        TASK,
        config=work(
            "result = Result(status='GOOD', summary='fine', actions=(Action(verb='restart', subject='a', done=True),))"
        ),
    )
    assert len(json.loads(cli("history", "--since", "1h", "--json").stdout)["runs"]) == 1
    assert json.loads(cli("history", "--since", "2999-01-01", "--json").stdout)["runs"] == []
    assert "Nothing has run since then." in cli("history", "--since", "2999-01-01T00:00").stdout
    assert "did: restart a" in cli("history", "--run", "1").stdout
    assert json.loads(cli("history", "--run", "1", "--json").stdout)["result"]["summary"] == "fine"


@pytest.mark.parametrize(
    "command", [*READING, ["check-config"], ["metrics"], ["config", "show"], ["completion", "bash"]], ids=" ".join
)
def test_commands_that_only_tell_write_nothing(
    cli: Run, tmp_path: Path, base: Path, has_run: Path, command: list[str]
) -> None:
    verdicts = (0, 1, 2, 3) if command == ["status"] else (0,)
    assert cli(*command).returncode in verdicts
    assert list(tmp_path.iterdir()) == []
    shutil.copytree(has_run, base)
    before = tree_digest(tmp_path)
    assert cli(*command).returncode in verdicts
    assert tree_digest(tmp_path) == before


@pytest.mark.parametrize("command", [["notify", "retry"], ["remediations", "reject", "4"]], ids=" ".join)
def test_what_a_command_has_written_is_in_the_store_and_not_beside_it(base: Path, command: list[str]) -> None:
    done = run_cli(*command, base_dir=base)  # a process that ends without taking anything apart
    assert done.returncode in (0, 64), done
    assert [file.name for file in (base / "data").glob("sutazai.db*")] == ["sutazai.db"]


def test_the_list_of_agents_is_empty_before_anybody_has_looked(cli: Run, tmp_path: Path) -> None:
    done = cli("agents", "list")
    assert done.returncode == 0, done
    assert "No agents are known yet" in done.stdout
    assert json.loads(cli("agents", "list", "--json").stdout) == []
    assert list(tmp_path.iterdir()) == []


def test_a_token_is_printed_once_and_kept_as_a_hash(cli: Run, base: Path) -> None:
    done = cli("token", "create", "--name", "grafana", "--scope", "read")
    assert done.returncode == 0
    secret = done.stdout.strip()
    assert len(secret) >= 43
    file = base / "secrets_secure" / "tokens.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert secret not in file.read_text()
    again = cli("token", "create", "--name", "grafana", "--scope", "read")
    assert again.returncode == 64
    assert "'grafana' exists already; choose another name" in again.stderr


def test_a_token_can_be_made_into_the_file_of_the_setting_that_it_is_for(cli: Run, base: Path) -> None:
    file = base / "secrets_secure" / "alertmanager__bridge_token"
    file.parent.mkdir(parents=True)
    file.touch()  # as a shell does for `> FILE`
    made = cli("token", "create", "--name", "alertmanager", "--scope", "alert")
    assert made.returncode == 0, made
    file.write_text(made.stdout)
    assert str(file) in cli("check-config").stdout


def test_check_config_says_where_the_configuration_comes_from(cli: Run, tmp_path: Path) -> None:
    done = cli("check-config", config=work("pass"), env={"SUTAZAI_MAX_DISK_USAGE": "70"})
    assert done.returncode == 0
    for origin in ("defaults", f"{tmp_path}/exporter.yml", "SUTAZAI_MAX_DISK_USAGE", "SUTAZAI_BASE_DIR"):
        assert origin in done.stdout


def test_check_config_refuses_handlers_that_nobody_could_run(cli: Run, tmp_path: Path) -> None:
    good, plain = tmp_path / "good", tmp_path / "plain"
    good.touch(mode=0o755)
    plain.touch(mode=0o644)
    paths = [good, plain, tmp_path, tmp_path / "none", plain / "below"]
    handlers = [{"name": f"h{number}", "path": str(path)} for number, path in enumerate(paths)]
    web = {"config_file": str(tmp_path / "web.yml")}
    done = cli("check-config", config=work(notifications={"handlers": handlers}, web=web))
    assert done.returncode == 78
    first, *others = (line.partition("notifications.handlers")[2] for line in done.stderr.splitlines()[-5:-1])
    assert first == f"[1].path: {plain} is no program that can be run; chmod 0755 it"
    assert [one.partition(": ")[2] for one in others] == [
        f"{tmp_path} is no file; set its path to the program",
        f"{tmp_path / 'none'} cannot be run: No such file or directory; put it there, or take it out",
        f"{plain / 'below'} cannot be run: Not a directory; put it there, or take it out",
    ]
    assert "web.yml: cannot be read" in done.stderr, "every error at once"
    assert cli("check-config", config=work(notifications={"handlers": handlers[:1]})).returncode == 0


def test_a_handler_that_cannot_be_seen_is_not_known_to_be_missing(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unseen(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("exporter.bridge.outgoing.channels.handler.what_is_no_program", unseen)
    handlers = [{"name": "h", "path": str(tmp_path / "none")}]
    done = cli("check-config", config=work(notifications={"handlers": handlers}))
    assert done.returncode == 0
    assert f"warning: notifications.handlers[0].path: {tmp_path}/none cannot be seen by this user" in done.stderr


def test_the_catalogue_comes_as_table_markdown_and_json(cli: Run) -> None:
    assert "sutazai_trial_value" in cli("metrics").stdout
    assert "| `sutazai_trial_value` | gauge | `thing` | A value. |" in cli("metrics", "--format", "markdown").stdout
    families = json.loads(cli("metrics", "--format", "json").stdout)
    assert {"name": "sutazai_trial_score", "help": "A score.", "labels": [], "type": "gauge"} in families


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["run", "--help"], ["serve", "-h"], ["--version"]])
def test_help_is_no_mistake(cli: Run, arguments: list[str]) -> None:
    # Of all but `serve` alone the help is printed in this process.
    done = cli(*arguments)
    assert done.returncode == 0
    assert done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["metrics"],
        ["rules"],
        ["alertmanager-config"],
        ["status"],
        ["tasks"],
        ["config", "show"],
        ["completion", "bash"],
    ],
    ids=" ".join,
)
def test_a_full_disk_behind_standard_output_is_one_line_and_69(base: Path, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command_line(*arguments),
            env=environment_of(base),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=base.parent,
        )
    assert done.returncode == 69
    assert done.stderr.endswith("standard output cannot be written: No space left on device; make room\n")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(package: TrialPackage, base: Path, closed: str) -> None:
    for arguments in (["run", TASK], ["tasks"]):
        done = in_shell(package, base, f"{shlex.join(command_line(*arguments))} {closed}")
        assert (done.returncode, done.stderr) == (0, ""), arguments


INTERRUPTING = """
import os, signal, sys
def look(event, details):
    if event == "import" and details[0] == os.environ["INTERRUPTED_AT"]:
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(look)
"""
"""A module that Python loads at its start: Ctrl-C comes when another one is about to be loaded."""


@pytest.mark.parametrize(
    ("module", "ended"),
    [
        *((name, -signal.SIGINT) for name in ("exporter.cli", "click", "click.core", "exporter.commandline.options")),
        *((name, 130) for name in ("exporter.config", "pydantic", "rich.console")),
    ],
)
def test_ctrl_c_while_a_command_loads_ends_it_without_a_word(base: Path, module: str, ended: int) -> None:
    (base.parent / "sitecustomize.py").write_text(INTERRUPTING)
    environment = environment_of(base)
    environment |= {"PYTHONPATH": f"{base.parent}:{environment['PYTHONPATH']}", "INTERRUPTED_AT": module}
    done = subprocess.run(command_line("status"), env=environment, cwd=base.parent, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (ended, "", "")


def in_shell(package: TrialPackage, base: Path, script: str) -> subprocess.CompletedProcess[str]:
    env = environment_of(base, package.environment)
    return subprocess.run(["sh", "-c", script], env=env, cwd=base.parent, capture_output=True, text=True)


def test_a_closed_standard_input_is_an_empty_one(package: TrialPackage, base: Path) -> None:
    done = in_shell(package, base, f"{shlex.join(command_line('init'))} <&-")
    assert (done.returncode, len(done.stderr.splitlines())) == (64, 1)
    assert done.stderr.startswith("sutazai-exporter: there is no terminal to ask at")


def test_a_daemon_without_standard_input_serves(package: TrialPackage, base: Path) -> None:
    """The loop's library ends a process in SIGABRT that has a socket at the number of a standard stream."""
    serve = command_line("serve", "--web.listen-address", f"127.0.0.1:{free_port()}")
    daemon = subprocess.Popen(
        ["sh", "-c", f"exec {shlex.join(serve)} <&-"],
        env=environment_of(base, package.environment),
        cwd=base.parent,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        ready = ["ping", "--timeout", "1"]
        wait_for(lambda: run_cli(*ready, base_dir=base, env=package.environment).returncode == 0, 30, "it answers")
        assert Path(f"/proc/{daemon.pid}/fd/0").readlink() == Path(os.devnull)
        daemon.terminate()
        daemon.communicate(timeout=30)
    finally:
        daemon.kill()
        daemon.wait()
    assert daemon.returncode == 0


def test_a_full_disk_behind_standard_error_changes_no_exit_code(package: TrialPackage, base: Path) -> None:
    done = in_shell(package, base, f"{shlex.join(command_line('no-such-command'))} 2>/dev/full")
    assert done.returncode == 64


def test_a_directory_that_is_gone_matters_only_to_a_relative_path(package: TrialPackage, base: Path) -> None:
    gone = base.parent / "gone"
    there = f"mkdir {gone} && cd {gone} && rmdir {gone}"
    status = shlex.join(command_line("status"))
    assert in_shell(package, base, f"{there} && {status}").stdout
    done = in_shell(package, base, f"{there} && SUTAZAI_BASE_DIR=var {status}")
    assert done.returncode == 78
    assert done.stderr == "sutazai-exporter: var: is relative, and the current directory is gone; cd to another\n"


@pytest.mark.parametrize(
    "arguments", [["config", "reference"], ["tasks"], ["status"], ["--help"], ["run", TASK]], ids=" ".join
)
def test_a_reader_that_leaves_is_no_error(package: TrialPackage, base: Path, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command_line(*arguments),
        env=environment_of(base, package.environment),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        cwd=base.parent,
    )
    os.close(writing)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("group", "meant"),
    [
        (["agents"], "list"),
        (["reports", "--limit", "1"], "list"),
        (["token", "--json"], "list"),
        (["remediations"], "list"),
        (["audit"], "list"),
        (["config"], "show"),
    ],
    ids=str,
)
def test_a_group_alone_tells_what_there_is(cli: Run, group: list[str], meant: str) -> None:
    alone, named = cli(*group), cli(group[0], meant, *group[1:])
    assert (alone.returncode, alone.stdout) == (0, named.stdout) and alone.stdout
    assert f"Without a command it is `{meant}`." in cli(group[0], "--help").stdout


def test_no_umask_lets_others_write_what_is_kept(cli: Run, base: Path) -> None:
    before = os.umask(0)
    try:
        assert cli("run", TASK).returncode == 0
    finally:
        os.umask(before)
    made = [base, *base.rglob("*")]
    assert base / "data" in made
    assert [path for path in made if not path.is_symlink() and path.stat().st_mode & stat.S_IWOTH] == []


def test_what_the_doctor_says_is_whole_on_a_narrow_terminal_and_no_command_to_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.out, "_width", 40)
    detail = "a container called \x1b[31mred\u202e says " + "that it is not well, " * 10
    print_entries([Entry("agents:one-with-a-name", State.BROKEN, detail, "restart it")], as_json=False)
    told = capsys.readouterr().out
    assert "broken" in told and "restart it" in " ".join(told.split())
    assert told.count("well,") == 10 and "\x1b" not in told and "\u202e" not in told
    assert [line for line in told.splitlines() if line != line.rstrip()] == []


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("a  b  ", "a  b"),
        ("a\x1b[0m \x1b[1;31m  \x1b[0m ", "a\x1b[0m"),
        ("\x1b[1m a\x1b[0m", "\x1b[1m a\x1b[0m"),
        ("form", "form"),
    ],
)
def test_blanks_at_the_end_of_a_line_are_left_out_and_its_style_ended(line: str, left: str) -> None:
    assert console._trimmed(line) == left


def test_blanks_within_a_line_cost_no_more_than_other_letters() -> None:
    began = time.process_time()
    assert len(console._trimmed("a" + " " * 40_000 + "b")) == 40_002
    assert time.process_time() - began < 5, "each of them was looked at from each of them"


def test_a_status_that_renews_itself_keeps_nothing_of_what_it_has_looked_at(
    has_run: Path, trial: TrialPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = configuration_of(has_run, work())
    open_files: list[int] = []
    look = status._look

    def watched(configuration: Configuration) -> Status:
        if len(open_files) == 5:
            raise KeyboardInterrupt
        told = look(configuration)
        assert gc.isenabled()
        open_files.append(len(list(Path("/proc/self/fd").iterdir())))
        return told

    monkeypatch.setattr(status, "_look", watched)
    gc.disable()  # as for every command
    try:
        with pytest.raises(KeyboardInterrupt):
            status._watch(known, 0)
    finally:
        gc.enable()
        gc.unfreeze()
    assert open_files == [open_files[0]] * 5


def test_a_mode_that_is_about_one_thing_needs_its_name(base: Path) -> None:
    refused = run_cli("run", "agent-monitor", "--mode", "repair", base_dir=base)
    assert (refused.returncode, refused.stdout) == (64, "")
    assert refused.stderr == "sutazai-exporter: agent-monitor repair is always about one thing: name it as the target\n"


def test_two_channels_at_once_are_refused(cli: Run) -> None:
    refused = cli("notify", "--test", "--channel", "mail", "--channel", "webhook")
    assert refused.returncode == 64
    assert "--channel: name one, or none for all of them" in refused.stderr
