"""The log rotation on disks that are full, forbidden or failing, and killed at every step: nothing is lost."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import re
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.binaries import need, need_root
from tests.services.disks import ext4, make_read_only, tmpfs
from tests.services.log_runs import (
    LogRuns,
    RunsUnderStrace,
    kinds,
    lines,
    never_aligned,
    unpacked,
    value,
    without_blanks,
    write_log,
)
from tests.services.log_writers import Writer
from tests.services.wait import wait_for

BIG = lines(20_000)
SMALL = lines(50)
FIXED = never_aligned(20_000)
NOISE = os.urandom(3 << 20).hex().encode().replace(b"a", b"\n")
"""6 MB that do not become a tenth in an archive."""


@pytest.fixture
def runs() -> Iterator[Callable[..., LogRuns]]:
    made: list[LogRuns] = []

    def factory(base_dir: Path, **settings: Any) -> LogRuns:
        made.append(LogRuns(base_dir, **settings))
        return made[-1]

    yield factory
    for one in made:
        one.close()


def archive_on(here: LogRuns, mount: Path) -> None:
    here.archive_directory.parent.symlink_to(mount)
    (mount / "logs").mkdir()


def no_half_files(here: LogRuns) -> None:
    """Every archive is whole and is what its checksum says, and nothing else is there."""
    if not here.archive_directory.is_dir():
        return
    names = {path.name for path in here.archive_directory.iterdir()}
    for archive in here.archives():
        content = archive.read_bytes()
        gzip.decompress(content)
        text = archive.with_name(f"{archive.name}.sha256").read_text()
        assert text == f"{hashlib.sha256(content).hexdigest()}  {archive.name}\n"
        names -= {archive.name, f"{archive.name}.sha256"}
    assert names == set()


# --- full disks ---


def test_a_full_archive_disk_leaves_log_and_archives_as_they_were(runs: Callable[..., LogRuns], tmp_path: Path) -> None:
    """Fault 1."""
    with tmpfs(1) as mount:
        here = runs(tmp_path / "base")
        archive_on(here, mount)
        small = write_log(here.logs / "a.log", BIG)
        here.run()
        (previous,) = here.archives()
        kept = unpacked([previous])
        large, old = write_log(here.logs / "b.log", NOISE), write_log(here.logs / "z.log", SMALL, days_old=9)
        result = here.run()
        assert kinds(result) == ["no_space"]
        assert "No space left" in result.findings[0].message
        assert value(result, "sutazai_log_files_skipped", reason="no_space") == 1
        assert result.verdict == 2
        assert (large.read_bytes(), unpacked([previous])) == (NOISE, kept)
        assert not old.exists(), "the others are rotated"
        no_half_files(here)
        assert small.exists()


def test_little_room_ends_an_archive_before_the_disk_is_full(runs: Callable[..., LogRuns], tmp_path: Path) -> None:
    with tmpfs(2) as mount:
        here = runs(tmp_path / "base", min_free_mb=100)
        archive_on(here, mount)
        log = write_log(here.logs / "a.log", BIG)
        result = here.run()
        assert kinds(result) == ["no_space"]
        assert "min_free_mb" in result.findings[0].message
        assert (log.read_bytes(), here.archives()) == (BIG, [])


def test_a_disk_without_inodes_is_told_apart(runs: Callable[..., LogRuns], tmp_path: Path) -> None:
    """Fault 2."""
    with tmpfs(8, inodes=3) as mount:
        here = runs(tmp_path / "base")
        archive_on(here, mount)
        log = write_log(here.logs / "a.log", BIG)
        result = here.run()
        assert kinds(result) == ["no_inodes"]
        assert "no inodes left" in result.findings[0].message
        assert log.read_bytes() == BIG
        no_half_files(here)


def test_a_disk_of_logs_that_became_read_only_is_named(runs: Callable[..., LogRuns], tmp_path: Path) -> None:
    """Fault 3."""
    with ext4() as disk:
        log = write_log(disk / "logs" / "a.log", BIG)
        here = runs(tmp_path / "base", directories=[{"directory": log.parent}])
        make_read_only(disk)
        result = here.run()
        assert kinds(result) == ["read_only"]
        assert (log.read_bytes(), here.archives()) == (BIG, [])


def test_a_file_size_limit_publishes_nothing(runs: Callable[..., LogRuns], tmp_path: Path) -> None:
    """Fault 8."""
    here = runs(tmp_path / "base")
    log = write_log(here.logs / "a.log", NOISE)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        result = here.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert kinds(result) == ["file_size_limit"]
    assert log.read_bytes() == NOISE
    assert list(here.archive_directory.iterdir()) == []


# --- forbidden files ---


@pytest.mark.parametrize(("flag", "kind"), [("i", "immutable"), ("a", "append_only")])
def test_a_protected_log_is_skipped_and_counted_and_the_others_rotate(
    runs: Callable[..., LogRuns], tmp_path: Path, flag: str, kind: str
) -> None:
    """Faults 4 and 5."""
    need_root("chattr")
    chattr = need("chattr", package="e2fsprogs")
    with ext4() as disk:
        here = runs(disk / "base")
        large, old = write_log(here.logs / "a.log", BIG), write_log(here.logs / "old.log", SMALL, days_old=9)
        free = write_log(here.logs / "z.log", BIG)
        subprocess.run([chattr, f"+{flag}", large, old], check=True)
        try:
            result = here.run()
        finally:
            subprocess.run([chattr, f"-{flag}", large, old], check=True)
        assert kinds(result) == [kind, kind]
        assert f"chattr -{flag}" in result.findings[0].remedy
        assert value(result, "sutazai_log_files_skipped", reason=kind) == 2
        assert (large.read_bytes(), old.read_bytes()) == (BIG, SMALL)
        assert unpacked(here.archives()) + free.read_bytes() == BIG
        here.close()


# --- failing and ended in the middle ---

WATCHED = "write,pwrite64,fsync,rename,renameat2,fallocate,unlink,unlinkat"
SETTINGS = {"max_log_size_mb": 1, "min_free_mb": 0, "docker_logs": False}


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[RunsUnderStrace]:
    runs = RunsUnderStrace(tmp_path, WATCHED)
    yield runs
    runs.close()


def stage(base: Path) -> None:
    write_log(base / "logs" / "app.log", FIXED)
    write_log(base / "logs" / "old.log", SMALL, days_old=9)


def all_is_there_once(here: LogRuns) -> None:
    of_app = [path for path in here.archives() if path.name.startswith("app_")]
    of_old = [path for path in here.archives() if path.name.startswith("old_")]
    live = here.logs / "old.log"
    assert without_blanks(unpacked(of_app) + (here.logs / "app.log").read_bytes()) == FIXED
    assert unpacked(of_old) + (live.read_bytes() if live.exists() else b"") == SMALL


def calls_of_a_run(traced: RunsUnderStrace, base: Path) -> list[str]:
    stage(base)
    _, said, log = traced.run(base, SETTINGS)
    assert said == ""
    return re.findall(r"^\d+ +(\w+)\(", log, re.MULTILINE)


def test_a_run_that_is_killed_at_any_step_loses_nothing_and_archives_nothing_twice(
    runs: Callable[..., LogRuns], traced: RunsUnderStrace, tmp_path: Path
) -> None:
    """Fault 7: SIGKILL at every write, sync, rename, cut and removal."""
    steps = calls_of_a_run(traced, tmp_path / "counted")
    assert steps.count("fallocate") == 2, "the question whether it can be cut, and the cut"
    assert {"write", "pwrite64", "fsync", "rename", "renameat2", "unlink"} <= set(steps)
    for call in dict.fromkeys(steps):
        for number in range(1, steps.count(call) + 1):
            base = tmp_path / f"{call}-{number}"
            stage(base)
            code, _, log = traced.run(base, SETTINGS, f"{call}:signal=KILL:when={number}")
            assert code == -9, (call, number, log)
            here = runs(base)
            result = here.run()
            assert set(kinds(result)) <= {"recovered"}, (call, number)
            all_is_there_once(here)
            no_half_files(here)
            assert (here.logs / "app.log").stat().st_size < 1 << 20, (call, number)
            assert [path.name for path in here.logs.iterdir()] == ["app.log"]


def test_a_disk_that_fails_to_sync_counts_as_not_written(
    runs: Callable[..., LogRuns], traced: RunsUnderStrace, tmp_path: Path
) -> None:
    """Fault 6."""
    syncs = calls_of_a_run(traced, tmp_path / "counted").count("fsync")
    assert syncs > 8
    for number in range(1, syncs + 1):
        base = tmp_path / f"sync-{number}"
        stage(base)
        _, said, log = traced.run(base, SETTINGS, f"fsync:error=EIO:when={number}")
        assert "io_error" in said or "Input/output error" in said, (number, said, log)
        here = runs(base)
        all_is_there_once(here)
        assert set(kinds(here.run())) <= {"recovered"}
        all_is_there_once(here)
        no_half_files(here)


def test_a_disk_that_never_syncs_has_every_log_left_as_it_is(
    runs: Callable[..., LogRuns], traced: RunsUnderStrace, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    stage(base)
    traced.run(base, SETTINGS, "fsync:error=EIO")
    assert (base / "logs" / "app.log").read_bytes() == FIXED
    assert (base / "logs" / "old.log").read_bytes() == SMALL
    no_half_files(runs(base))


def test_what_a_failing_disk_gives_back_is_not_taken_for_an_archive(
    runs: Callable[..., LogRuns], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stands for a disk that changes what was written to it: the archive is changed after it was synced."""
    here = runs(tmp_path / "base")
    log = write_log(here.logs / "app.log", BIG)
    fsync = os.fsync

    def spoil(descriptor: int) -> None:
        fsync(descriptor)
        if ".gz." in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            os.pwrite(descriptor, b"\0\0", 5000)

    monkeypatch.setattr(os, "fsync", spoil)
    result = here.run()
    assert kinds(result) == ["io_error"]
    assert "not what was written" in result.findings[0].message
    assert (log.read_bytes(), here.archives()) == (BIG, [])
    no_half_files(here)


def test_a_corrupt_memory_is_as_good_as_none(runs: Callable[..., LogRuns], tmp_path: Path) -> None:
    here = runs(tmp_path / "base")
    log = write_log(here.logs / "app.log", BIG)
    for name in ("pending.json", "state.json"):
        write_log(here.base_dir / "data" / "log-rotation" / name, b'{"kind": "cut", "skipped": [' + b"[" * 100_000)
    assert here.run().verdict == 0
    assert unpacked(here.archives()) + log.read_bytes() == BIG


# --- a live writer ---


def test_no_line_of_a_million_is_lost_or_written_twice_while_a_writer_writes_at_full_speed(
    runs: Callable[..., LogRuns], tmp_path: Path
) -> None:
    with ext4(megabytes=400) as disk, contextlib.ExitStack() as stack:
        here = LogRuns(disk / "base")
        stack.callback(here.close)
        log = here.logs / "app.log"
        writer = stack.enter_context(Writer(log, count=1_000_000))
        rotations = 0
        while log.stat().st_size or rotations == 0:
            result = here.run()
            assert kinds(result) == []
            rotations += bool(result.actions)
            if writer.lines_are_written():
                break
        writer.finish()
        assert rotations > 3
        assert without_blanks(unpacked(here.archives()) + log.read_bytes()) == writer.written()


def test_a_writer_that_is_killed_by_nobody_goes_on_in_the_same_file(
    runs: Callable[..., LogRuns], tmp_path: Path
) -> None:
    here = runs(tmp_path / "base")
    log = here.logs / "app.log"
    with Writer(log, count=0, first=BIG) as writer:
        wait_for(lambda: log.stat().st_size == len(BIG), 30, "the log is large")
        here.run()
        writer.write(b"and on\n")
        writer.finish()
    assert log.read_bytes().endswith(b"\nand on\n")
    assert unpacked(here.archives()) + log.read_bytes() == BIG + b"and on\n"
