"""`install --cron` with Debian's crontab and cron: lines that run, and crontabs that stay what they were."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tests.services.cron import USER, CronWorld
from tests.services.metrics import Metrics
from tests.services.node_exporter import NodeExporter
from tests.services.process import READY_SECONDS
from tests.services.trial_jobs import KEY, TASK, TrialPackage
from tests.services.wait import wait_for

MINE = b'# Edit this file to introduce tasks\r\nMAILTO=""\n\n*/7 * * * * /home/me/sutazai.sh # my own sutazai job\n'
HOUR = (datetime.now() + timedelta(hours=12)).hour  # noqa: DTZ005 (the zone of this machine, as cron has it)
"""What is due then is not, for as long as a test lasts."""
CONFIG = {"jobs": {KEY: {"schedule": ["every 5 minutes: light", f"daily at {HOUR:02}:00: full"]}}}
Install = Callable[..., subprocess.CompletedProcess[bytes]]


class Installed:
    """The program of a checkout with one job, and how the user or root calls it in the namespace."""

    def __init__(self, world: CronWorld) -> None:
        self.world = world
        package = TrialPackage(world.directory / "package")
        self.program = world.directory / "it's 100% mine" / "sutazai-exporter"
        self.program.parent.mkdir()
        self.program.write_text(
            f"#!/bin/sh\nPYTHONDONTWRITEBYTECODE=1 PYTHONPATH={package.environment['PYTHONPATH']} "
            f'exec {sys.executable} -m exporter "$@"\n'
        )
        self.program.chmod(0o755)
        self.config = world.directory / "exporter 50%.yml"
        self.config.write_text(yaml.safe_dump(CONFIG))

    def base(self, *, as_user: bool) -> Path:
        return self.world.home / "base" if as_user else self.world.directory / "base-of-root"

    def __call__(self, *arguments: str, as_user: bool = True, **more: str) -> subprocess.CompletedProcess[bytes]:
        environment = {"SUTAZAI_BASE_DIR": str(self.base(as_user=as_user)), **more}
        return self.world.run([str(self.program), *arguments], as_user=as_user, environment=environment)

    def install(self, *arguments: str, as_user: bool = True) -> subprocess.CompletedProcess[bytes]:
        return self("install", *self.own, *arguments, as_user=as_user)

    @property
    def own(self) -> list[str]:
        """What each installation is given; a node-exporter of some other test must not be found."""
        return ["--config.file", str(self.config), "--program", str(self.program), "--textfile-directory", "none"]


@pytest.fixture(scope="module")
def world() -> Iterator[CronWorld]:
    with CronWorld() as made:
        yield made


@pytest.fixture(scope="module")
def installed(world: CronWorld) -> Installed:
    return Installed(world)


@pytest.fixture(autouse=True)
def _nothing_left(world: CronWorld) -> Iterator[None]:
    yield
    world.run(["crontab", "-r"])
    world.run(["sh", "-c", "rm -f /etc/cron.d/*"], as_user=False)


def test_a_crontab_gets_our_lines_once_and_loses_nothing(world: CronWorld, installed: Installed) -> None:
    world.put_crontab(MINE)
    done = installed.install("--cron")
    assert done.returncode == 0, done.stderr
    text = world.crontab() or b""
    assert text.startswith(MINE)
    assert [line.split(b" # ")[-1] for line in text.splitlines()[-2:]] == [b"sutazai-automation-trial-work"] * 2
    assert b"*/5 * * * * " in text
    assert f"0 {HOUR} * * * ".encode() in text
    (copy,) = (installed.base(as_user=True) / "backups/automation").iterdir()
    assert (copy.read_bytes(), copy.stat().st_mode & 0o777) == (MINE, 0o600)

    again = installed.install("--cron")
    assert f"unchanged: the crontab of {USER}".encode() in again.stdout
    assert world.crontab() == text
    gone = installed("uninstall", "--cron")
    assert (gone.returncode, world.crontab()) == (0, MINE), gone.stderr


def test_only_our_own_lines_are_reinstalled_and_leave_no_crontab_behind(world: CronWorld, installed: Installed) -> None:
    """The guide's own set-up emptied such a crontab, and failed."""
    assert installed.install().returncode == 0
    first = world.crontab()
    assert installed.install().returncode == 0
    assert world.crontab() == first
    assert installed("uninstall").returncode == 0
    assert world.crontab() is None
    assert b"there is nothing of ours to remove" in installed("uninstall").stderr


def test_a_crontab_that_was_put_there_by_other_means_is_kept_with_all_its_lines(
    world: CronWorld, installed: Installed
) -> None:
    """Debian's `crontab -l` would leave out the comments at its top, and its last line has no end."""
    text = b"# mine\n# my own\n@daily true"
    world.put_file(text)
    assert installed.install().returncode == 0
    assert (world.crontab() or b"").startswith(text + b"\n# sutazai-automation: ")
    assert installed("uninstall").returncode == 0
    # Debian's crontab takes no text without its last line feed, so here alone one stays.
    assert world.crontab() == text + b"\n"


def test_a_crontab_that_cannot_be_told_for_sure_stays(world: CronWorld, installed: Installed) -> None:
    """Debian's crontab lists a carriage return as two characters, and an editor does not get these comments."""
    text = b"# mine\r\n@daily true\n"
    world.put_file(text)
    done = installed.install()
    assert (done.returncode, world.crontab()) == (69, text)
    assert b"what it stands for cannot be told" in done.stderr


def test_lines_of_the_guides_set_up_are_replaced_and_told(world: CronWorld, installed: Installed) -> None:
    old = (
        b"0 6 * * * /opt/sutazaiapp/scripts/automation/daily-health-check.sh > /dev/null 2>&1"
        b" # sutazai-automation-health-check\n"
    )
    world.put_crontab(MINE + old)
    done = installed.install()
    assert b"replaced: a line of the guide's own set-up: 0 6 * * * /opt/sutazaiapp" in done.stderr
    assert b"daily-health-check.sh" not in (world.crontab() or b"")
    assert (world.crontab() or b"").startswith(MINE)


def test_a_dry_run_prints_the_difference_and_writes_nothing(world: CronWorld, installed: Installed) -> None:
    world.put_crontab(MINE)
    base = installed.base(as_user=True)
    before = sorted(base.rglob("*"))
    done = installed.install("--dry-run", "--email", "me@example.org")
    assert done.returncode == 0
    assert b"would be changed: the crontab of" in done.stdout
    added = [line[1:] for line in done.stdout.splitlines() if line.startswith(b"+")]
    assert (world.crontab(), sorted(base.rglob("*"))) == (MINE, before)
    installed.install("--email", "me@example.org")
    assert [line for line in added if b"sutazai-automation-" in line] == (world.crontab() or b"").splitlines()[-2:]
    assert b"me@example.org will get no mail: no mail server is named" in done.stderr


def test_changed_schedules_and_disabled_tasks_count(world: CronWorld, installed: Installed) -> None:
    other = world.directory / "other.yml"
    other.write_text(yaml.safe_dump({"jobs": {KEY: {"schedule": ["saturday at 23:15"]}}}))
    installed.install()
    done = installed.install("--config.file", str(other))
    assert done.returncode == 0, done.stderr
    (line,) = (world.crontab() or b"").splitlines()[1:]
    assert line.startswith(b"15 23 * * 6 ")
    other.write_text(yaml.safe_dump({"jobs": {KEY: {"enabled": False}}}))
    installed.install("--config.file", str(other))
    assert b"--scheduled" not in (world.crontab() or b"")


def test_secrets_of_the_environment_are_written_nowhere(world: CronWorld, installed: Installed) -> None:
    secrets = {
        "SUTAZAI_REDIS__PASSWORD": "canary-4711",
        "SUTAZAI_NOTIFICATIONS__WEBHOOK__URL": "https://hooks.example.org/services/T01/canary-4712",
        "SUTAZAI_ALERTMANAGER__DEADMAN_URL": "https://ping.example.org/canary-4713",
    }
    done = installed("install", *installed.own, **secrets)
    assert done.returncode == 0
    for name in secrets:
        assert f"{name} is a secret and was written nowhere".encode() in done.stderr
    assert b"canary" not in (world.crontab() or b"") + done.stdout + done.stderr


def test_a_directory_that_the_user_cannot_write_to_is_told(world: CronWorld, installed: Installed) -> None:
    done = installed.install("--textfile-directory", "/etc")
    assert f"/etc: {USER} may not write there".encode() in done.stderr
    done = installed("install", *installed.own, SUTAZAI_BASE_DIR="/opt/elsewhere")
    assert (done.returncode, world.run(["crontab", "-l"]).returncode) == (69, 0)
    assert b"may not write there, so no run would work" in done.stderr


def test_cron_runs_what_was_installed(world: CronWorld, installed: Installed) -> None:
    """From a crontab and from /etc/cron.d: a run in the ledger, and metrics that a real node-exporter reads."""
    textfiles = {as_user: world.directory / f"textfiles-{as_user}" for as_user in (True, False)}
    for as_user, directory in textfiles.items():
        directory.mkdir()
        directory.chmod(0o777)
        how = ["--cron", *([] if as_user else ["--system"]), "--textfile-directory", str(directory)]
        done = installed.install(*how, as_user=as_user)
        assert done.returncode == 0, done.stderr
    file = world.run(["stat", "--format=%a %U", "/etc/cron.d/sutazai-exporter"], as_user=False)
    assert file.stdout == b"644 root\n"

    world.strike()
    written = [directory / "sutazai.prom" for directory in textfiles.values()]
    wait_for(lambda: all(map(Path.exists, written)), READY_SECONDS, "both runs have ended", detail=world.log)
    for as_user, directory in textfiles.items():
        told = json.loads(installed("history", "--json", as_user=as_user).stdout)
        assert [(run["task"], run["mode"], run["trigger"], run["outcome"]) for run in told["runs"]] == [
            (TASK, "light", "schedule", "ok")
        ]
        with_own_eyes(directory)
    gone = installed("uninstall", "--cron", as_user=False)
    assert b"removed: /etc/cron.d/sutazai-exporter" in gone.stdout
    assert world.run(["ls", "/etc/cron.d"], as_user=False).stdout == b""
    assert installed.base(as_user=False).is_dir()


def with_own_eyes(directory: Path) -> None:
    exporter = NodeExporter(directory)
    try:
        metrics: Metrics = exporter.metrics()
        assert metrics.value("sutazai_task_runs_total", task=TASK, outcome="ok") == 1
        assert metrics.value("node_textfile_scrape_error") == 0
    finally:
        exporter.close()


def test_a_file_of_cron_d_that_somebody_changed_stays(world: CronWorld, installed: Installed) -> None:
    assert installed.install("--cron", "--system", as_user=False).returncode == 0
    world.run(["sh", "-c", "echo '# mine' >> /etc/cron.d/sutazai-exporter"], as_user=False)
    gone = installed("uninstall", as_user=False)
    assert b"left alone: /etc/cron.d/sutazai-exporter: ours, changed by hand since" in gone.stderr
    refused = installed.install("--cron", "--system", as_user=False)
    assert (refused.returncode, b"replace it with --force" in refused.stderr) == (69, True)
    assert installed.install("--cron", "--system", "--force", as_user=False).returncode == 0
    copies = list((installed.base(as_user=False) / "backups/automation").glob("sutazai-exporter_root_*"))
    assert [copy.read_bytes().endswith(b"# mine\n") for copy in copies] == [True]


def test_only_root_may_write_for_the_system(installed: Installed) -> None:
    for arguments in (["--cron", "--system"], ["--systemd"], ["--systemd", "--timers"]):
        done = installed.install(*arguments)
        assert done.returncode == 69
        assert b"only root may do that; run it with sudo" in done.stderr
        assert len(done.stderr.splitlines()) == 1
