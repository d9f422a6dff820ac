"""Installing where something fails: the crontab afterwards is that of before or the new one, and nothing between."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.services.disks import tmpfs
from tests.services.exporter_daemon import command_line, environment_of

MINE = b"MAILTO=me@example.org\r\n*/7 * * * * /home/me/job.sh\n# no end"

CRONTAB = """#!/bin/sh
# A crontab program on a file, for what the real one does not do when told to: fail.
spool=$(dirname "$0")/spool
[ -f "$(dirname "$0")/$1.fails" ] && { cat "$(dirname "$0")/$1.fails" >&2; exit 1; }
case "$1" in
    -l) [ -f "$spool" ] || { echo "no crontab for me" >&2; exit 1; }; cat "$spool" ;;
    -r) rm "$spool" ;;
    -) cat > "$spool.new" && mv "$spool.new" "$spool" && sh "$(dirname "$0")/afterwards" ;;
esac
"""


class World:
    """A crontab program that can be made to fail, first in PATH; `spool` is its crontab."""

    def __init__(self, directory: Path) -> None:
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.spool = self.bin / "spool"
        self.base_dir = directory / "base"
        (self.bin / "crontab").write_text(CRONTAB)
        (self.bin / "crontab").chmod(0o755)
        (self.bin / "afterwards").touch()

    def fail(self, argument: str, message: str) -> None:
        (self.bin / f"{argument}.fails").write_text(f"{message}\n")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = environment_of(self.base_dir, {"PATH": f"{self.bin}:{os.environ['PATH']}"})
        own = ["--textfile-directory", "none", "--program", "/bin/true"] if arguments[0] == "install" else []
        return subprocess.run(
            command_line(*arguments, *own), capture_output=True, text=True, env=environment, check=False
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("command", ["install", "uninstall"])
@pytest.mark.parametrize("message", ["crontabs/me/: fdopen: Permission denied", "", "cannot: no crontab"])
def test_a_crontab_that_cannot_be_read_is_not_written(world: World, command: str, message: str) -> None:
    world.spool.write_bytes(MINE)
    world.fail("-l", message)
    done = world.run(command, "--cron")
    assert (done.returncode, world.spool.read_bytes()) == (69, MINE)
    assert done.stderr.startswith(f"sutazai-exporter: crontab -l ended with 1: {message or 'it said nothing'}; ")
    assert not world.base_dir.exists()


def test_a_crontab_program_that_refuses_leaves_the_crontab(world: World) -> None:
    world.spool.write_bytes(MINE)
    world.fail("-", "errors in crontab file, can't install.")
    done = world.run("install")
    assert (done.returncode, world.spool.read_bytes()) == (69, MINE)
    assert "crontab refused it (1): errors in crontab file" in done.stderr


def test_a_crontab_that_reads_otherwise_than_it_was_written_is_put_back(world: World) -> None:
    world.spool.write_bytes(MINE)
    flag = world.bin / "once"
    # It loses its end the first time, as on a disk that just became full.
    script = f"[ -e {flag} ] || {{ : > {flag}; head -c 30 {world.spool} > {flag}.cut; cp {flag}.cut {world.spool}; }}\n"
    (world.bin / "afterwards").write_text(script)
    done = world.run("install")
    assert (done.returncode, world.spool.read_bytes()) == (69, MINE)
    assert "it reads otherwise" in done.stderr


def test_no_crontab_program_is_told_with_what_to_do(world: World) -> None:
    (world.bin / "crontab").unlink()
    environment = environment_of(world.base_dir, {"PATH": str(world.bin)})
    argv = command_line("install", "--textfile-directory", "none")
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (
        69,
        "sutazai-exporter: the program crontab is not here; install cron (apt-get install cron), or use --systemd\n",
    )


def test_killed_between_its_steps_installing_again_completes_it(world: World) -> None:
    """After the crontab is written, and before that is read again and told."""
    world.spool.write_bytes(MINE)
    (world.bin / "afterwards").write_text("kill -9 $(ps -o ppid= -p $PPID)\n")
    done = world.run("install")
    assert done.returncode == -9
    written = world.spool.read_bytes()
    assert written.startswith(MINE + b"\n")
    (world.bin / "afterwards").write_text("")
    again = world.run("install")
    assert (again.returncode, world.spool.read_bytes()) == (0, written), again.stderr
    assert "unchanged: the crontab of" in again.stdout
    assert world.run("uninstall", "--cron").returncode == 0
    assert world.spool.read_bytes() == MINE


def fill(directory: Path, free_bytes: int) -> None:
    """Leave so much room there."""
    at = os.statvfs(directory)
    (directory / "filler").write_bytes(b"x" * (at.f_bavail * at.f_frsize - free_bytes))


def test_without_room_for_the_copy_nothing_is_changed(world: World) -> None:
    world.spool.write_bytes(MINE * 1000)
    with tmpfs(1) as disk:
        world.base_dir = disk
        fill(disk, free_bytes=16 << 10)
        done = world.run("install")
        assert (done.returncode, world.spool.read_bytes()) == (69, MINE * 1000)
        assert "No space left on device; nothing was changed" in done.stderr
        assert [path.name for path in disk.rglob("*") if path.is_file()] == ["filler"]


def test_without_room_for_all_units_there_is_none(tmp_path: Path) -> None:
    with tmpfs(1) as root:
        fill(root, free_bytes=40 << 10)
        argv = command_line("install", "--systemd", "--timers", "--root", str(root), "--program", "/bin/true")
        done = subprocess.run(argv, capture_output=True, text=True, env=environment_of(tmp_path / "base"), check=False)
        assert done.returncode == 69
        assert "No space left on device; what was done before was undone" in done.stderr
        assert [path.name for path in root.rglob("*") if path.is_file()] == ["filler"]
