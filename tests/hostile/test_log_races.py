"""Log directories whose owner is an attacker: nothing outside them is read, written or removed."""

from __future__ import annotations

import contextlib
import gzip
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.binaries import need_root
from tests.services.log_runs import LogRuns, kinds, lines, unpacked, value, write_log
from tests.services.trees import tree_digest

RACE_SECONDS = float(os.environ.get("LOG_RACE_SECONDS", "3"))
BIG = lines(20_000)
SECRET = b"SECRET of somebody else\n" * 100_000

_RACER = """
import contextlib, os, random, sys, time
place, outside = sys.argv[1:]
log, spare = f"{place}/inner/app.log", f"{place}/spare"
def fresh():
    with open(spare, "wb") as file:
        file.write(b"a line of the attacker's own\\n" * 60000)
def put(make):
    with contextlib.suppress(OSError):
        make()
        os.replace(spare, log)
turns = (
    lambda: put(fresh),
    lambda: put(lambda: os.symlink(f"{outside}/victim.log", spare)),
    lambda: put(lambda: os.link(f"{outside}/victim.log", spare)),
    lambda: put(lambda: os.mkfifo(spare)),
    lambda: (os.rename(f"{place}/inner", f"{place}/away"), os.symlink(outside, f"{place}/inner"),
             os.unlink(f"{place}/inner"), os.rename(f"{place}/away", f"{place}/inner")),
    lambda: os.replace(log, f"{place}/inner/other.log"),
)
print("racing", flush=True)
while True:
    for turn in turns:
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            os.unlink(spare)
        with contextlib.suppress(OSError):
            turn()
        # Now and then a run shall get to where the next swap hurts.
        time.sleep(random.choice((0, 0, 0.0003, 0.002, 0.02)))
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[LogRuns]:
    need_root("refusing what only root must refuse")
    runs = LogRuns(tmp_path / "base")
    yield runs
    runs.close()


@contextlib.contextmanager
def racer(place: Path, outside: Path) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", _RACER, str(place), str(outside)], stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert process.stdout.readline()
        yield
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("mode", ["size", "age"])
def test_a_racer_that_swaps_names_and_links_leads_nowhere(here: LogRuns, tmp_path: Path, mode: str) -> None:
    place, outside = tmp_path / "service", tmp_path / "outside"
    write_log(place / "inner" / "app.log", BIG)
    write_log(outside / "victim.log", SECRET)
    write_log(outside / "app.log", SECRET)
    before = tree_digest(outside)
    settings: dict[str, Any] = {"directories": [{"directory": place, "recursive": True}]}
    if mode == "age":
        # Every log is past its age at once: the whole file is to be archived and removed.
        here.clock.advance(30 * 86400)
        settings |= {"max_log_size_mb": 100, "delete_archives_days": 300}
    runs, met = 0, 0
    with racer(place, outside):
        ends = time.monotonic() + RACE_SECONDS
        while time.monotonic() < ends or runs <= 5:
            result = here.run(**settings)
            runs += 1
            met += bool(result.actions or result.findings)
    assert tree_digest(outside) == before
    assert met > 0, "the racer came in between, or had its own files rotated"
    assert b"SECRET" not in unpacked(here.archives())


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_a_directory_that_others_may_write_to_is_refused_and_named(here: LogRuns, tmp_path: Path, mode: int) -> None:
    log = write_log(tmp_path / "service" / "app.log", BIG)
    log.parent.chmod(mode)
    result = here.run(directories=[{"directory": log.parent}])
    assert kinds(result) == ["unsafe_directory"]
    assert str(log.parent) in result.findings[0].message
    assert "chmod go-w" in result.findings[0].remedy
    assert value(result, "sutazai_log_files_skipped", reason="unsafe_directory") == 1
    assert (log.read_bytes(), here.archives()) == (BIG, [])


def test_a_directory_on_the_way_that_others_may_write_to_is_refused(here: LogRuns, tmp_path: Path) -> None:
    log = write_log(tmp_path / "open" / "service" / "app.log", BIG)
    (tmp_path / "open").chmod(0o777)
    assert kinds(here.run(directories=[{"directory": log.parent}])) == ["unsafe_directory"]
    assert log.read_bytes() == BIG


def test_a_directory_that_was_seen_in_part_has_no_size(here: LogRuns) -> None:
    write_log(here.logs / "app.log", b"a line\n")
    write_log(here.logs / "open" / "app.log", b"a line\n")
    (here.logs / "open").chmod(0o777)
    result = here.run("watch", directories=[{"directory": "logs", "recursive": True}])
    assert kinds(result) == ["unsafe_directory"]
    assert value(result, "sutazai_log_size_bytes", directory=str(here.logs)) is None
    assert result.verdict == 2


def test_an_archive_directory_that_others_may_write_to_is_an_error(here: LogRuns) -> None:
    from jobs.core.job import JobError

    log = write_log(here.logs / "app.log", BIG)
    here.archive_directory.mkdir(parents=True)
    here.archive_directory.chmod(0o777)
    with pytest.raises(JobError, match="others than its owner can change names"):
        here.run()
    assert log.read_bytes() == BIG


def test_a_log_with_another_name_is_refused(here: LogRuns, tmp_path: Path) -> None:
    log = write_log(tmp_path / "elsewhere" / "precious", BIG)
    (here.logs / "app.log").hardlink_to(log)
    result = here.run()
    assert kinds(result) == ["hard_link"]
    assert (log.read_bytes(), here.archives()) == (BIG, [])


def test_links_pipes_and_directories_are_no_logs(here: LogRuns, tmp_path: Path) -> None:
    victim = write_log(tmp_path / "elsewhere" / "victim.log", BIG, days_old=99)
    (here.logs / "link.log").symlink_to(victim)
    os.mkfifo(here.logs / "pipe.log")
    (here.logs / "dir.log").mkdir()
    (here.logs / "away").symlink_to(victim.parent)
    result = here.run(directories=[{"directory": "logs", "recursive": True}])
    assert (result.verdict, result.actions, victim.read_bytes()) == (0, (), BIG)


def test_names_that_are_no_text_are_rotated_and_told_in_text(here: LogRuns) -> None:
    name = os.fsdecode(b"caf\xe9 \x1b[31m\n.log")
    log = write_log(here.logs / name, BIG)
    result = here.run()
    (archive,) = here.archives()
    assert archive.name.startswith("caf__")
    assert unpacked([archive]) + log.read_bytes() == BIG
    assert "\x1b" not in result.model_dump_json()
    assert "\\u001b" not in result.model_dump_json(exclude={"report"})


def test_a_log_name_cannot_lead_an_archive_elsewhere(here: LogRuns) -> None:
    for name in ("..x.log", "-rf.log", "a" * 240 + ".log"):
        write_log(here.logs / name, BIG)
    here.run()
    assert len(here.archives()) == 2, "what begins with a dot is hidden, and no log"
    assert all(archive.parent == here.archive_directory for archive in here.archives())
    assert all(len(archive.name) < 255 for archive in here.archives())


def test_archives_that_are_links_are_not_deleted_nor_followed(here: LogRuns, tmp_path: Path) -> None:
    victim = write_log(tmp_path / "elsewhere" / "victim", b"x", days_old=99)
    link = here.archive_directory / "app_20200101_000000.log.gz"
    link.parent.mkdir(parents=True)
    link.symlink_to(victim)
    here.run("force", max_total_log_size_gb=1e-9)
    assert link.is_symlink()
    assert victim.exists()


def test_no_secret_of_ours_reaches_a_reopen_command_or_a_report(run_cli: Callable[..., Any], tmp_path: Path) -> None:
    canary = "canary-5f2b"
    base = tmp_path / "base"
    write_log(base / "logs" / "app.log", BIG)
    seen = tmp_path / "seen"
    # A writer that does not append makes the log one that has to be moved; the command ends it.
    hold = f"log = open({str(base / 'logs' / 'app.log')!r}, 'r+b'); print(flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout
    holder.stdout.readline()
    script = write_log(tmp_path / "reopen", f"#!/bin/sh\nenv >{seen}\nkill {holder.pid}\n".encode())
    script.chmod(0o700)
    entry = {"directory": "logs", "command": [str(script)]}
    config = {
        "jobs": {"log_rotation": {"max_log_size_mb": 1, "docker_logs": False, "directories": [entry]}},
        "postgres": {"password": canary},
    }
    done = run_cli("run", "log-rotation", "--json", config=config, env={"SUTAZAI_REDIS__PASSWORD": canary})
    holder.communicate()
    assert done.returncode == 0, done.stdout + done.stderr
    assert gzip.decompress(next((base / "archive" / "logs").glob("*.gz")).read_bytes()) == BIG
    assert canary not in seen.read_text()
    assert canary not in done.stdout + done.stderr
    for path in (base / "logs").rglob("*"):
        assert canary.encode() not in path.read_bytes()
