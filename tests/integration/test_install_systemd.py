"""`install --systemd`: units that systemd takes without a word, a sandbox that lets the tasks work, and their removal.

PID 1 is not systemd where tests run, so `systemctl` is a stand-in that notes what it is told.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from exporter.install import site, systemd_plan
from jobs.core.cadence import Cadence
from tests.services.binaries import need
from tests.services.exporter_daemon import REPOSITORY, ExporterDaemon, command_line, environment_of
from tests.services.metrics import Metrics
from tests.services.process import READY_SECONDS, private_directory, remove_directory
from tests.services.unit_sandbox import UnitSandbox
from tests.services.wait import wait_for

UID = 61235
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="units are root's, and so is making a sandbox")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def install(run_here: Run, tmp_path: Path) -> Run:
    """`install` into a directory that stands for `/`."""

    def run(*arguments: str, command: str = "install", **options: object) -> subprocess.CompletedProcess[str]:
        program = [] if command == "uninstall" else ["--program", "/bin/true"]
        return run_here(command, "--root", str(tmp_path / "root"), *program, *arguments, **options)

    return run


@pytest.fixture
def units(tmp_path: Path) -> Path:
    return tmp_path / "root/etc/systemd/system"


@pytest.mark.parametrize("kind", [["--systemd"], ["--systemd", "--timers"]], ids=["daemon", "timers"])
def test_systemd_has_no_word_against_any_unit_and_each_is_exposed_to_two_at_most(
    install: Run, units: Path, kind: list[str]
) -> None:
    # Of the usual places: a base directory or configuration in /tmp costs a unit its private one.
    env = {
        "SUTAZAI_BASE_DIR": "/opt/sutazaiapp",
        "SUTAZAI_NOTIFICATIONS__MAIL__HOST": "mail.example.org",
        "SUTAZAI_ORG": '50% "A" \\ $B é',
    }
    done = install(*kind, "--email", "me@example.org", env=env)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    files = sorted(units.iterdir())
    assert len(files) == (16 if "--timers" in kind else 1)
    verified = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False)
    # It exits 0 on a misspelt directive: every line is a fault.
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    for file in files:
        if file.suffix == ".service":
            assert exposure(file) <= 2.0, file


def exposure(unit: Path) -> float:
    argv = ["systemd-analyze", "security", "--offline=true", "--no-pager", unit]
    told = subprocess.run(argv, capture_output=True, text=True, check=True, env={**os.environ, "LANG": "C"})
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told.stdout)
    assert found, told.stdout
    return float(found[1])


def test_a_misspelt_directive_would_have_been_seen(install: Run, units: Path) -> None:
    install("--systemd")
    unit = units / "sutazai-exporter.service"
    unit.write_text(unit.read_text().replace("ProtectClock=", "ProtectClok="))
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert "ProtectClok" in verified.stderr


CADENCES = (
    *("every 1 minute", "every 5 minutes", "every 60 minutes"),
    *("daily at 06:00", "sunday at 05:30", "monthly on 28 at 08:30"),
)


@pytest.mark.parametrize("text", CADENCES)
def test_systemd_means_the_same_times_as_the_schedule(text: str) -> None:
    cadence, now = Cadence.parse(text), datetime(2026, 3, 3, 11, 58, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    for _ in range(6):
        base = f"@{int(now.timestamp())}"
        argv = ["systemd-analyze", "calendar", "--base-time", base, cadence.on_calendar()]
        told = subprocess.run(
            argv, capture_output=True, text=True, check=True, env={**os.environ, "TZ": "Europe/Berlin", "LANG": "C"}
        )
        utc = re.search(r"\(in UTC\): \w+ ([\d-]+ [\d:]+) UTC", told.stdout)
        assert utc, told.stdout
        following = datetime.strptime(utc[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        assert following == cadence.next_time(now)
        now = following.astimezone(now.tzinfo)


def test_timers_start_no_job_by_being_enabled_and_make_up_for_what_passed(install: Run, units: Path) -> None:
    install("--systemd", "--timers")
    timer = (units / "sutazai-health-check.timer").read_text()
    assert "OnCalendar=*-*-* *:00/5:00\nOnCalendar=*-*-* 06:00:00\nPersistent=true\n" in timer
    assert not re.search(r"^(Requires|Wants|BindsTo)=", timer, re.MULTILINE)
    service = (units / "sutazai-health-check.service").read_text()
    assert service.count("ExecStart=/bin/true run health-check --scheduled\n") == 2
    assert "[Install]" not in service


def test_a_url_with_a_key_in_it_stands_in_no_unit_and_its_file_does(install: Run, units: Path, tmp_path: Path) -> None:
    file = tmp_path / "deadman"
    file.write_text("https://ping.example.org/canary-4711\n")
    env = {
        "SUTAZAI_NOTIFICATIONS__WEBHOOK__URL": "https://hooks.example.org/services/T01/canary-4712",
        "SUTAZAI_ALERTMANAGER__DEADMAN_URL_FILE": str(file),
    }
    done = install("--systemd", env=env)
    assert done.returncode == 0, done.stderr
    assert "SUTAZAI_NOTIFICATIONS__WEBHOOK__URL is a secret and was written nowhere" in done.stderr
    written = "".join(unit.read_text() for unit in units.rglob("*.service"))
    assert f"SUTAZAI_ALERTMANAGER__DEADMAN_URL_FILE={file}" in written
    assert "canary" not in written + done.stdout + done.stderr


def test_a_disabled_task_has_no_timer_and_loses_the_one_it_had(install: Run, units: Path) -> None:
    install("--systemd", "--timers")
    done = install("--systemd", "--timers", config={"jobs": {"security_scan": {"enabled": False}}})
    assert f"removed: {units}/sutazai-security-scan.timer" in done.stdout
    assert not list(units.glob("sutazai-security-scan.*"))


def test_installing_again_changes_nothing_and_removing_leaves_nothing(install: Run, units: Path) -> None:
    install("--systemd", "--timers")
    first = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in units.iterdir()}
    again = install("--systemd", "--timers")
    assert {line.partition(":")[0] for line in again.stdout.splitlines()} == {"unchanged"}
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in units.iterdir()} == first
    planned = install("--dry-run", command="uninstall")
    assert planned.stdout.count("would be removed: ") == len(first)
    assert len(list(units.iterdir())) == len(first)
    gone = install(command="uninstall")
    assert (gone.returncode, list(units.iterdir())) == (0, [])
    assert "note: what it has measured and made stays" in gone.stderr


def test_what_is_somebody_elses_or_was_changed_by_hand_stays(install: Run, units: Path) -> None:
    install("--systemd", "--timers")
    changed, strange = units / "sutazai-health-check.timer", units / "sutazai-mine.service"
    changed.write_text(changed.read_text() + "# by me\n")
    strange.write_text("[Service]\nExecStart=/bin/true\n")
    (units / "sutazai-log-rotation.timer.d").mkdir()
    (units / "sutazai-log-rotation.timer.d/override.conf").write_text("[Timer]\nOnCalendar=hourly\n")
    again = install("--systemd", "--timers")
    assert f"left alone: {changed}: ours, changed by hand since" in again.stderr
    gone = install("--remove", "--systemd")
    assert sorted(path.name for path in units.iterdir()) == [
        *("sutazai-health-check.timer", "sutazai-log-rotation.timer.d", "sutazai-mine.service")
    ]
    assert f"left alone: {units}/sutazai-log-rotation.timer.d/: your own changes" in gone.stderr
    assert f"left alone: {strange}: not ours" in gone.stderr


def test_a_unit_of_our_name_that_is_not_ours_is_replaced_only_when_told(install: Run, units: Path) -> None:
    units.mkdir(parents=True)
    mine = units / "sutazai-exporter.service"
    mine.write_text("[Service]\nExecStart=/bin/true\n")
    done = install("--systemd")
    assert (done.returncode, mine.read_text()) == (69, "[Service]\nExecStart=/bin/true\n")
    assert f"{mine}: not ours; move it away, or replace it with --force" in done.stderr
    assert install("--systemd", "--force").returncode == 0
    assert "Type=notify" in mine.read_text()


def test_units_of_the_guides_own_set_up_are_replaced(install: Run, units: Path) -> None:
    units.mkdir(parents=True)
    for name in ("sutazai-health-check", "sutazai-db-maintenance"):
        script = f"[Unit]\nDescription=SutazAI Automation - {name}\n[Service]\nExecStart=/opt/x.sh\n"
        (units / f"{name}.service").write_text(script)
        (units / f"{name}.timer").write_text(f"[Unit]\nDescription=Timer for SutazAI Automation - {name}\n")
    done = install("--systemd", "--timers")
    assert done.returncode == 0, done.stderr
    assert "--scheduled" in (units / "sutazai-health-check.service").read_text()
    assert not list(units.glob("sutazai-db-maintenance.*"))


def test_cron_and_systemd_know_of_each_other(install: Run, tmp_path: Path) -> None:
    assert install("--systemd").stderr == ""
    assert "has units of ours as well; both together do each slot once" in install("--cron", "--system").stderr
    assert "has lines of ours as well; both together do each slot once" in install("--systemd").stderr
    assert install(command="uninstall").returncode == 0
    assert [path for path in (tmp_path / "root").rglob("*") if path.is_file()] == []


def test_units_below_a_prefix_are_removed_where_it_is_named(install: Run, tmp_path: Path) -> None:
    options = ("--systemd", "--timers", "--prefix", "/usr")
    assert install(*options).returncode == 0
    assert "nothing of ours" in install(command="uninstall").stderr
    assert install("--remove", *options).returncode == 0
    assert [path for path in (tmp_path / "root").rglob("*") if path.is_file()] == []


WRONG = [
    (["--systemd", "--cron"], "choose one"),
    (["--timers"], "--timers belongs to --systemd"),
    (["--systemd", "--email", "a@b.c, d@e.f"], "not one mail address"),
    (["--systemd", "--email", "a@b.c\nExecStart=/x"], "not one mail address"),
    (["--systemd", "--prefix", "usr"], "an absolute path is needed"),
    (["--systemd", "--program", "bin/x"], "an absolute path is needed"),
    (["--cron"], "needs --system"),
    (["--systemd", "--user", "a\nExecStartPre=/x"], "no user is called so"),
    (["--systemd", "--timers", "--user", "%i"], "no user is called so"),
    (["--cron", "--system", "--user", "a b"], "no user is called so"),
]


@pytest.mark.parametrize(("arguments", "says"), WRONG)
def test_wrong_usage_is_one_line_and_writes_nothing(
    run_here: Run, tmp_path: Path, arguments: list[str], says: str
) -> None:
    done = run_here("install", "--root", str(tmp_path / "root"), *arguments)
    assert (done.returncode, len(done.stderr.splitlines()), says in done.stderr) == (64, 1, True), done.stderr
    assert not (tmp_path / "root").exists()


def test_what_would_break_out_of_a_unit_is_refused(install: Run, tmp_path: Path) -> None:
    done = install("--systemd", env={"SUTAZAI_ORG": "x\nExecStartPre=/bin/evil"})
    assert (done.returncode, "control characters" in done.stderr) == (64, True)
    assert not (tmp_path / "root").exists()


# With a systemctl


@pytest.fixture
def systemctl(tmp_path: Path) -> Path:
    """A stand-in for systemctl, first in PATH, that notes its arguments and fails for what is in `refuses`."""
    directory = tmp_path / "bin"
    directory.mkdir()
    program = directory / "systemctl"
    program.write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/told\ncase "$*" in "$(cat {tmp_path}/refuses 2>/dev/null)"*) '
        '[ -s "$(dirname "$0")/../refuses" ] && { echo "Failed to do it" >&2; exit 1; } ;; esac\nexit 0\n'
    )
    program.chmod(0o755)
    return tmp_path / "told"


@pytest.fixture
def live(systemctl: Path, tmp_path: Path, run_here: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command as it is where systemd runs, with another directory of units."""
    (tmp_path / "units").mkdir()
    for module in (systemd_plan, site):
        monkeypatch.setattr(module, "UNITS", tmp_path / "units")
    monkeypatch.setattr(systemd_plan, "PACKAGES", ())
    monkeypatch.setattr(site, "_BOOTED_BY_SYSTEMD", tmp_path)
    return partial(run_here, env={"PATH": f"{systemctl.parent}/bin:{os.environ['PATH']}"})


INSTALL = ("install", "--systemd", "--user", "root", "--program", "/bin/true", "--textfile-directory", "none")


def test_systemctl_is_told_what_is_new_and_switching_replaces(live: Run, systemctl: Path, tmp_path: Path) -> None:
    assert live(*INSTALL).returncode == 0
    assert systemctl.read_text().splitlines() == ["daemon-reload", "enable --now sutazai-exporter.service"]
    systemctl.write_text("")
    live(*INSTALL)
    assert systemctl.read_text().splitlines() == ["enable --now sutazai-exporter.service"]
    systemctl.write_text("")
    live(*INSTALL, "--email", "me@example.org")
    assert systemctl.read_text().splitlines()[2:] == ["restart sutazai-exporter.service"]
    systemctl.write_text("")
    done = live(*INSTALL, "--timers")
    told = systemctl.read_text().splitlines()
    assert told[:2] == ["disable --now sutazai-exporter.service", "daemon-reload"]
    assert told[2].startswith("enable --now sutazai-agent-monitor.timer ")
    assert "the daemon's service is replaced by timers" in done.stderr
    assert not (tmp_path / "units/sutazai-exporter.service").exists()
    systemctl.write_text("")
    assert live("uninstall", "--systemd").returncode == 0
    told = systemctl.read_text().splitlines()
    assert (told[0][:14], told[1]) == ("disable --now ", "daemon-reload")
    assert list((tmp_path / "units").iterdir()) == []


def test_a_systemctl_that_refuses_leaves_everything_as_it_was(live: Run, systemctl: Path, tmp_path: Path) -> None:
    (tmp_path / "refuses").write_text("enable")
    done = live(*INSTALL)
    assert done.returncode == 69
    assert "Failed to do it" in done.stderr
    assert done.stderr.rstrip().endswith("what was done before was undone")
    assert list((tmp_path / "units").iterdir()) == []
    assert not (tmp_path / "base").exists()
    (tmp_path / "refuses").unlink()
    assert live(*INSTALL).returncode == 0


# In the sandbox of the unit


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of the unit's user."""
    made = private_directory("unit")
    made.chmod(0o755)
    (made / "base").mkdir()
    os.chown(made / "base", UID, UID)
    yield made
    remove_directory(made)


def sandbox(
    install: Run, units: Path, unit: str, place: Path, config: dict[str, object], *, uid: int = UID
) -> UnitSandbox:
    kind = [] if unit == "sutazai-exporter.service" else ["--timers"]
    done = install("--systemd", *kind, base_dir=place / "base", config=config)
    assert done.returncode == 0, done.stderr
    return UnitSandbox((units / unit).read_text(), uid=uid)


def run_in(box: UnitSandbox, place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = environment_of(place / "base", {**box.environment(), "HOME": str(place / "base")})
    argv = [*box.prefix(), *command_line(*arguments)]
    return subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=REPOSITORY, check=False)


def test_logs_of_root_are_rotated_in_the_units_sandbox(install: Run, units: Path, place: Path) -> None:
    """As Docker's are: in a directory that only root enters, with a writer that is root's; and theirs they stay."""
    need("unshare", package="util-linux")
    logs = place / "logs-of-root"
    logs.mkdir(mode=0o700)
    log = logs / "big.log"
    log.write_text("a line that is long enough\n" * 90_000)
    log.chmod(0o640)
    os.chown(log, 0, 4)
    own = {"directories": [{"directory": str(logs)}], "max_log_size_mb": 1, "docker_logs": False}
    config = {"jobs": {"log_rotation": own}}
    box = sandbox(install, units, "sutazai-log-rotation.service", place, config)
    assert box.values("PrivateNetwork") == ["yes"]
    file = place / "exporter.yml"
    file.write_text(json.dumps(config))
    with log.open("a") as writer:
        writer.write("the last line\n")
        writer.flush()
        done = run_in(box, place, "run", "log-rotation", "--mode", "standard", "--config.file", str(file), "--json")
    record = json.loads(done.stdout)
    assert record["outcome"] == "ok", done.stdout + done.stderr
    assert [finding for finding in record["result"]["findings"] if finding["kind"] == "processes_unseen"] == []
    assert log.stat().st_size < 1 << 20
    (archive,) = (place / "base").rglob("*.gz")
    assert (archive.stat().st_uid, archive.stat().st_gid, archive.stat().st_mode & 0o777) == (0, 4, 0o640)


def test_a_whole_check_runs_in_the_units_sandbox(install: Run, units: Path, place: Path) -> None:
    box = sandbox(install, units, "sutazai-health-check.service", place, {})
    done = run_in(box, place, "run", "health-check", "--mode", "full", "--json")
    record = json.loads(done.stdout)
    assert record["outcome"] == "ok", done.stderr
    assert (place / "base" / record["report"]).stat().st_uid == UID
    # The proof that it is one: outside of its own directories nothing can be written.
    environment = environment_of(place / "base")
    argv = [*box.prefix(), "touch", "/etc/sutazai-x"]
    denied = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    assert "Read-only file system" in denied.stderr


CLUSTER = """
import sys
from pathlib import Path
import psutil
from jobs.clients.pg_cluster import installed, private_cluster
from jobs.clients.pg_scratch import Place
programs = max(installed().items())[1]
with private_cluster(programs, Place("host", "sandbox"), Path(sys.argv[1]), limit_seconds=300) as server:
    with server.session():
        below = psutil.Process().children(recursive=True)
        (postgres,) = [one for one in below if one.name() == "postgres" and "-D" in one.cmdline()]
        status = Path(f"/proc/{postgres.pid}/status").read_text()
        print(next(line for line in status.splitlines() if line.startswith("CapEff")))
"""


def test_backups_are_proved_in_the_units_sandbox_by_a_server_without_its_rights(
    install: Run, units: Path, place: Path
) -> None:
    need("setpriv", package="util-linux")
    uid = pwd.getpwnam("daemon").pw_uid  # initdb asks for a name
    os.chown(place / "base", uid, uid)
    box = sandbox(install, units, "sutazai-backup-verification.service", place, {}, uid=uid)
    argv = [*box.prefix(), *command_line()[:1], "-c", CLUSTER, str(place / "base")]
    done = subprocess.run(
        argv, capture_output=True, text=True, env=environment_of(place / "base"), cwd=REPOSITORY, check=False
    )
    assert done.stdout == "CapEff:\t0000000000000000\n", done.stderr


def test_the_daemon_serves_in_its_sandbox_and_tells_the_service_manager(install: Run, units: Path, place: Path) -> None:
    box = sandbox(install, units, "sutazai-exporter.service", place, {})
    # strace would answer signals and datagrams for it, and slow it down: its runs are denied nothing more than it is.
    prefix = box.prefix()
    prefix = prefix[: prefix.index(need("strace", package="strace"))]
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(place / "base/notify"))
    os.chown(place / "base/notify", UID, UID)
    heard.settimeout(READY_SECONDS)
    environment = {"NOTIFY_SOCKET": str(place / "base/notify"), "WATCHDOG_USEC": "400000"}
    with heard, closing(ExporterDaemon(base_dir=place / "base", environment=environment, prefix=prefix)) as daemon:
        assert next_of(heard, "READY=1") == f"STATUS=serving on 127.0.0.1:{daemon.port}"
        assert next_of(heard, "WATCHDOG=1") == ""
        daemon.hangup()
        assert next_of(heard, "RELOADING=1").startswith("MONOTONIC_USEC=")
        assert next_of(heard, "READY=1").startswith("STATUS=serving")
        wait_for(lambda: worked(daemon.metrics()), READY_SECONDS, "a run has worked", detail=daemon.log)
        daemon.stop()
        assert next_of(heard, "STOPPING=1")


def worked(metrics: Metrics) -> bool:
    return any(sample.value for sample in metrics.samples("sutazai_task_runs_total", outcome="ok"))


def next_of(heard: socket.socket, wanted: str) -> str:
    """The rest of the next message of a kind."""
    while True:
        first, _, rest = heard.recv(4096).decode().partition("\n")
        if first == wanted:
            return rest
