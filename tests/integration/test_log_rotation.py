"""The log rotation on real files: what is rotated and how, what is deleted, and what is never touched."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.logs.archives import Archives, Written
from jobs.logs.places import idle
from tests.services.binaries import need_root
from tests.services.disks import tmpfs, xfs
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.exporter_daemon import run_cli as run_command
from tests.services.log_runs import (
    MB,
    LogRuns,
    kinds,
    lines,
    never_aligned,
    run_once,
    unpacked,
    value,
    without_blanks,
    write_log,
)
from tests.services.log_writers import Writer
from tests.services.process import private_directory, remove_directory
from tests.services.trees import tree_digest
from tests.services.wait import wait_for

BIG = lines(20_000)
"""About 2 MB."""
SMALL = lines(50)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Callable[..., LogRuns]]:
    made: list[LogRuns] = []

    def factory(base_dir: Path | None = None, **settings: Any) -> LogRuns:
        made.append(LogRuns(base_dir or tmp_path / "base", **settings))
        return made[-1]

    yield factory
    for one in made:
        one.close()


def directory_of(runs: LogRuns, path: Path, **more: Any) -> dict[str, Any]:
    return {"directories": [{"directory": path, **more}]}


# --- what is rotated ---


def test_a_large_log_is_cut_at_a_line_end_and_nothing_is_lost_or_twice(runs: Callable[..., LogRuns]) -> None:
    here = runs()
    log = write_log(here.logs / "app.log", BIG)
    inode = log.stat().st_ino
    result = here.run()
    (archive,) = here.archives()
    assert re.fullmatch(r"app_\d{8}_\d{6}\.log\.gz", archive.name)
    assert unpacked([archive]) + log.read_bytes() == BIG
    assert log.read_bytes().split(b" ")[0].isdigit()
    assert log.stat().st_size < MB
    assert log.stat().st_ino == inode
    assert (result.status, result.verdict) == ("OK", 0)
    assert value(result, "sutazai_log_rotated_total", method="cut") == 1
    assert value(result, "sutazai_log_rotated_bytes_total") == len(unpacked([archive]))
    assert value(result, "sutazai_log_size_bytes", directory=str(here.logs)) == log.stat().st_size
    assert value(result, "sutazai_log_archive_bytes") == sum(f.stat().st_size for f in here.archive_directory.iterdir())


def test_one_run_rotates_every_log_that_is_due(runs: Callable[..., LogRuns]) -> None:
    """The script aborted after the first."""
    here = runs()
    for name in ("a.log", "b.log", "c.log"):
        write_log(here.logs / name, BIG)
    result = here.run()
    assert value(result, "sutazai_log_rotated_total", method="cut") == 3
    assert len(here.archives()) == 3


def test_a_small_young_log_is_left_alone(runs: Callable[..., LogRuns]) -> None:
    here = runs()
    log = write_log(here.logs / "app.log", SMALL)
    result = here.run()
    assert (log.read_bytes(), here.archives(), result.actions) == (SMALL, [], ())


def test_an_old_log_that_nobody_has_open_is_archived_and_removed(runs: Callable[..., LogRuns]) -> None:
    here = runs()
    log = write_log(here.logs / "old.log", SMALL, days_old=8)
    result = here.run()
    (archive,) = here.archives()
    assert re.fullmatch(r"old_archived_\d{8}_\d{6}\.log\.gz", archive.name)
    assert (unpacked([archive]), log.exists()) == (SMALL, False)
    assert value(result, "sutazai_log_rotated_total", method="retire") == 1


def test_an_old_log_that_a_process_has_open_is_kept(runs: Callable[..., LogRuns]) -> None:
    here = runs()
    log = write_log(here.logs / "quiet.log", SMALL)
    with Writer(log, count=0):
        os.utime(log, (1, 1))
        result = here.run()
    assert (log.read_bytes(), here.archives(), result.findings) == (SMALL, [], ())


def test_an_archive_keeps_owner_group_and_mode_and_the_checksum_is_that_of_sha256sum(
    runs: Callable[..., LogRuns],
) -> None:
    need_root("giving a file away")
    here = runs()
    log = write_log(here.logs / "app.log", BIG)
    os.chown(log, 1, 4)
    log.chmod(0o640)
    here.run()
    (archive,) = here.archives()
    for path in (archive, log):
        status = path.stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1, 4, 0o640)
    said = subprocess.run(
        ["sha256sum", "-c", f"{archive.name}.sha256"], cwd=here.archive_directory, capture_output=True, text=True
    )
    assert (said.returncode, said.stdout) == (0, f"{archive.name}: OK\n")


def test_logs_of_one_name_from_two_directories_do_not_collide(runs: Callable[..., LogRuns], tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    here = runs(directories=[{"directory": one}, {"directory": other}, {"directory": "logs"}])
    for place in (one, other, here.logs):
        write_log(place / "app.log", lines(20_000, seed=len(str(place))))
    here.run()
    names = [re.sub(r"_\d{8}_\d{6}.*", "", archive.name) for archive in here.archives()]
    assert len(set(names)) == 3
    assert "app" in names
    assert any(name.endswith("one-app") for name in names)


def test_two_rotations_within_a_second_write_two_archives(runs: Callable[..., LogRuns]) -> None:
    here = runs()
    now = here.clock.now()
    here.clock.now = lambda: now  # type: ignore[method-assign]
    log = write_log(here.logs / "app.log", BIG)
    here.run()
    with log.open("ab") as file:
        file.write(BIG)
    here.run()
    assert len(here.archives()) == 2
    first, second = sorted(here.archives(), key=lambda path: len(path.name))
    assert unpacked([first, second]) + log.read_bytes() == BIG + BIG


def test_each_line_stays_whole_where_no_line_ends_with_a_block(runs: Callable[..., LogRuns]) -> None:
    here = runs()
    content = never_aligned(40_000)
    log = write_log(here.logs / "app.log", content)
    here.run()
    archived = unpacked(here.archives())
    assert archived.endswith(b"\n")
    blank, _, live = log.read_bytes().partition(b"\n")
    assert blank.strip() == b""
    assert archived + live == content


def test_a_log_without_line_ends_is_cut_at_a_block_and_the_action_says_so(runs: Callable[..., LogRuns]) -> None:
    here = runs()
    content = os.urandom(3 * MB).replace(b"\n", b"x")
    log = write_log(here.logs / "app.log", content)
    result = here.run()
    assert unpacked(here.archives()) + log.read_bytes() == content
    assert "cut inside a line" in result.actions[0].detail


def test_directories_inside_are_looked_into_only_where_told(runs: Callable[..., LogRuns], tmp_path: Path) -> None:
    place = tmp_path / "service"
    log = write_log(place / "inner" / "app.log", BIG)
    here = runs()
    here.run(**directory_of(here, place))
    assert log.read_bytes() == BIG
    here.run(**directory_of(here, place, recursive=True))
    assert unpacked(here.archives()) + log.read_bytes() == BIG


def test_patterns_say_what_is_a_log(runs: Callable[..., LogRuns], tmp_path: Path) -> None:
    place = tmp_path / "service"
    out, other = write_log(place / "app.out", BIG), write_log(place / "app.dat", BIG)
    here = runs()
    here.run(**directory_of(here, place, patterns=["*.out"]))
    assert (len(here.archives()), other.read_bytes()) == (1, BIG)
    assert out.stat().st_size < MB


def test_xfs_cuts_a_live_log_as_ext4_does() -> None:
    with xfs() as disk:
        here = LogRuns(disk / "base")
        log = here.logs / "app.log"
        with Writer(log, count=100_000) as writer:
            while not writer.lines_are_written():
                assert kinds(here.run()) == []
            writer.finish()
        here.run()
        here.close()
        assert len(here.archives()) > 1
        assert without_blanks(unpacked(here.archives()) + log.read_bytes()) == writer.written()


# --- where the file system cannot cut ---


@pytest.fixture
def memory_disk() -> Iterator[Path]:
    with tmpfs(64) as mount:
        yield mount


def test_a_log_that_cannot_be_cut_is_moved_aside_and_its_writer_told(
    runs: Callable[..., LogRuns], memory_disk: Path
) -> None:
    log = memory_disk / "app.log"
    here = runs()
    with Writer(log, count=200_000, reopens=True) as writer:
        wait_for(lambda: log.exists() and log.stat().st_size > 2 * MB, 30, "the log is large")
        result = here.run(**directory_of(here, memory_disk, signal="HUP"))
        writer.finish()
    assert kinds(result) == []
    assert value(result, "sutazai_log_rotated_total", method="move") == 1
    assert [path.name for path in memory_disk.iterdir()] == ["app.log"]
    assert unpacked(here.archives()) + log.read_bytes() == writer.written()


def test_a_writer_that_does_not_reopen_keeps_its_file_until_it_ends(
    runs: Callable[..., LogRuns], memory_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.logs.work.REOPEN_WAIT_SECONDS", 0.2)
    log = memory_disk / "app.log"
    here = runs(**directory_of(runs(), memory_disk, command=["true"]))
    with Writer(log, count=0, first=BIG) as writer:
        wait_for(lambda: log.exists() and log.stat().st_size == len(BIG), 30, "the log is large")
        mode = stat.S_IMODE(log.stat().st_mode)
        result = here.run()
        assert kinds(result) == ["not_reopened"]
        assert (result.verdict, here.archives()) == (2, [])
        assert (log.read_bytes(), stat.S_IMODE(log.stat().st_mode)) == (b"", mode)
        writer.write(b"still here\n")
        writer.finish()
    assert kinds(here.run()) == []
    assert unpacked(here.archives()) == BIG + b"still here\n"


def test_a_writer_that_a_killed_run_did_not_tell_is_told_by_the_next(
    runs: Callable[..., LogRuns], memory_disk: Path
) -> None:
    log = memory_disk / "app.log"
    here = runs()
    with Writer(log, count=0, first=BIG, reopens=True) as writer:
        log.rename(memory_disk / "app.log.rotated_20260302_120000")
        result = here.run(**directory_of(here, memory_disk, signal="HUP"))
        writer.write(b"anew\n")
        writer.finish()
    assert kinds(result) == []
    assert (unpacked(here.archives()), log.read_bytes()) == (BIG, b"anew\n")


def test_a_log_that_cannot_be_cut_and_whose_writer_cannot_be_told_is_left_and_named(
    runs: Callable[..., LogRuns], memory_disk: Path
) -> None:
    log = memory_disk / "app.log"
    here = runs()
    with Writer(log, count=0, first=BIG):
        wait_for(lambda: log.exists() and log.stat().st_size == len(BIG), 30, "the log is large")
        result = here.run(**directory_of(here, memory_disk))
    (finding,) = result.findings
    assert finding.kind == "cannot_cut"
    assert str(log) in finding.message
    assert "`signal` or `command`" in finding.remedy
    assert (log.read_bytes(), here.archives(), result.verdict) == (BIG, [], 2)
    assert value(result, "sutazai_log_files_skipped", reason="cannot_cut") == 1


def test_a_log_that_cannot_be_cut_and_nobody_has_open_is_moved(runs: Callable[..., LogRuns], memory_disk: Path) -> None:
    log = write_log(memory_disk / "app.log", BIG)
    here = runs()
    here.run(**directory_of(here, memory_disk))
    assert (unpacked(here.archives()), log.read_bytes()) == (BIG, b"")


def test_a_writer_that_does_not_append_is_not_given_a_hole(runs: Callable[..., LogRuns], tmp_path: Path) -> None:
    """After a cut it would go on where it was, far behind the end of what is left."""
    log = tmp_path / "service" / "app.log"
    log.parent.mkdir()
    here = runs()
    with Writer(log, count=0, first=BIG, appends=False) as writer:
        wait_for(lambda: log.exists() and log.stat().st_size == len(BIG), 30, "the log is large")
        result = here.run(**directory_of(here, log.parent))
        assert kinds(result) == ["cannot_cut"]
        assert "does not append" in result.findings[0].message
        writer.write(b"on\n")
        writer.finish()
    assert log.read_bytes() == BIG + b"on\n"


def test_an_old_log_that_somebody_wants_to_write_to_again_is_given_back(
    runs: Callable[..., LogRuns], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = runs()
    log = write_log(here.logs / "old.log", SMALL, days_old=9)
    late: list[subprocess.Popen[bytes]] = []

    def write_meanwhile(archives: Archives, *arguments: Any, **named: Any) -> Written:
        """A process opens the log while it is archived; the kernel has it wait for our lease."""
        written = archive(archives, *arguments, **named)
        late.append(subprocess.Popen([sys.executable, "-c", f"open({str(log)!r}, 'ab').write(b'late')"]))
        wait_for(lambda: _waits_for_lease(late[0].pid), 20, "it waits")
        return written

    archive = Archives.write
    monkeypatch.setattr(Archives, "write", write_meanwhile)
    result = here.run()
    assert late[0].wait(20) == 0
    assert kinds(result) == ["changed"]
    assert (log.read_bytes(), here.archives()) == (SMALL + b"late", [])
    assert [path.name for path in here.logs.iterdir()] == ["old.log"]


def _waits_for_lease(pid: int) -> bool:
    return "break_lease" in Path(f"/proc/{pid}/wchan").read_text() or "break" in Path(f"/proc/{pid}/stack").read_text()


def test_without_root_it_works_on_its_own_logs_and_says_what_it_cannot_see() -> None:
    need_root("becoming somebody else")
    directory = private_directory("logs")
    try:
        base = directory / "base"
        write_log(base / "logs" / "app.log", BIG)
        write_log(base / "logs" / "old.log", SMALL, days_old=9)
        write_log(base / "logs" / "foreign.log", BIG)
        for path in (directory, base, *base.rglob("*")):
            os.chown(path, 65534, 65534)
        os.chown(base / "logs" / "foreign.log", 1, 1)
        pid = os.fork()
        if pid == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            said = run_once(base, {"max_log_size_mb": 1, "min_free_mb": 0, "docker_logs": False})
            (base / "said").write_text(said)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert (base / "said").read_text().split() == ["no_permission", "processes_unseen"]
        archives = sorted((base / "archive" / "logs").glob("*.gz"))
        assert [path.name.split("_")[0] for path in archives] == ["app", "old"]
        assert unpacked(archives[:1]) + (base / "logs" / "app.log").read_bytes() == BIG
        assert (base / "logs" / "foreign.log").read_bytes() == BIG
    finally:
        remove_directory(directory)


# --- archives ---


def old_archive(here: LogRuns, name: str, days: float, size: int = 1000) -> Path:
    return write_log(here.archive_directory / name, b"z" * size, days_old=days)


def test_archives_past_their_time_are_deleted_with_their_checksums(runs: Callable[..., LogRuns]) -> None:
    here = runs()
    old = old_archive(here, "app_20200101_000000.log.gz", 31)
    checksum = write_log(here.archive_directory / f"{old.name}.sha256", b"x", days_old=31)
    rotated = write_log(here.logs / "rotated" / "app_20200101_000000.log.gz", b"x", days_old=31)
    young = old_archive(here, "app_20200102_000000.log.gz", 29)
    other = write_log(here.archive_directory / "notes.txt", b"x", days_old=400)
    result = here.run()
    assert [path.exists() for path in (old, checksum, rotated, young, other)] == [False, False, False, True, True]
    assert value(result, "sutazai_log_archives_deleted_total", reason="age") == 2


def test_a_total_above_the_cap_is_only_reported_by_a_standard_run(runs: Callable[..., LogRuns]) -> None:
    here = runs(max_total_log_size_gb=2 / 1024)
    archives = [old_archive(here, f"app_2020010{i}_000000.log.gz", 10 - i, MB) for i in range(1, 5)]
    result = here.run()
    assert kinds(result) == ["over_cap"]
    assert "--mode force" in result.findings[0].remedy
    assert all(archive.exists() for archive in archives)
    assert result.verdict == 1


@pytest.mark.parametrize("how", [{"mode": "force"}, {"enforce_total_cap": True}])
def test_force_deletes_the_oldest_archives_and_nothing_else(runs: Callable[..., LogRuns], how: dict[str, Any]) -> None:
    """The script deleted reports and live logs."""
    here = runs(max_total_log_size_gb=3 / 1024)
    archives = [old_archive(here, f"app_2020010{i}_000000.log.gz", 10 - i, MB) for i in range(1, 5)]
    kept = [
        write_log(here.logs / "live.log", b"x" * (MB // 2)),
        write_log(here.logs / "agent_monitoring_report_20200101_000000.json", b"x" * MB, days_old=99),
        write_log(here.logs / "daily_health_check_20200101_000000.log", b"x" * MB, days_old=99),
        write_log(here.archive_directory / "other.tar", b"x" * MB, days_old=99),
    ]
    result = here.run(**how)
    assert [archive.exists() for archive in archives] == [False, False, True, True]
    assert all(path.exists() for path in kept)
    assert value(result, "sutazai_log_archives_deleted_total", reason="cap") == 2
    assert kinds(result) == []


def test_live_logs_alone_above_the_cap_are_said_to_be(runs: Callable[..., LogRuns]) -> None:
    here = runs(max_total_log_size_gb=1 / 2048, max_log_size_mb=100)
    log = write_log(here.logs / "live.log", b"x" * MB)
    result = here.run("force")
    assert kinds(result) == ["over_cap"]
    assert "no archive is left to delete" in result.findings[0].remedy
    assert log.stat().st_size == MB


def test_a_clock_that_was_set_keeps_every_archive_for_one_run(runs: Callable[..., LogRuns]) -> None:
    """Fault 31."""
    here = runs()
    here.run()
    archive = old_archive(here, "app_20200101_000000.log.gz", 10)
    here.clock.advance(40 * 86400)
    result = here.run()
    assert kinds(result) == ["clock_set"]
    assert archive.exists()
    assert kinds(here.run()) == []
    assert not archive.exists()


# --- what is never touched ---


def test_reports_links_and_the_exporters_own_run_logs_are_never_rotated(runs: Callable[..., LogRuns]) -> None:
    here = runs(directories=[{"directory": "logs", "patterns": ["*"]}])
    names = (
        "log_cleanup_report_20200101_000000.json",
        "security_scan_report_20200101_000000.html",
        "daily_health_check_20200101_000000.log",
        "latest_thing.log",
        "state.json",
        "sutazai.db",
        ".hidden.log",
        "app.log.gz",
    )
    for name in names:
        write_log(here.logs / name, BIG, days_old=100)
    (here.logs / "latest_cleanup_report.json").symlink_to(names[0])
    (here.logs / "link.log").symlink_to(names[1])
    before = tree_digest(here.logs)
    result = here.run("force")
    assert (tree_digest(here.logs), here.archives(), result.actions) == (before, [], ())


def test_every_jobs_run_logs_and_reports_are_protected() -> None:
    from jobs.core.registry import all_jobs
    from jobs.logs.scan import protected

    for job in all_jobs().values():
        if job.report:
            assert protected(f"{job.report.stem}_20260101_000000.json"), job.name
            assert protected(Path(job.report.link).name), job.name
            assert not job.report.log_stem or protected(f"{job.report.log_stem}_20260101_000000_2.log"), job.name


def test_a_missing_directory_is_named_and_the_others_are_rotated(runs: Callable[..., LogRuns], tmp_path: Path) -> None:
    here = runs(directories=[{"directory": tmp_path / "nowhere"}, {"directory": "logs"}])
    write_log(here.logs / "app.log", BIG)
    result = here.run()
    assert (kinds(result), result.verdict, len(here.archives())) == (["missing"], 2, 1)
    assert value(result, "sutazai_log_size_bytes", directory=str(tmp_path / "nowhere")) is None


def test_without_a_logs_directory_of_its_own_all_is_well(runs: Callable[..., LogRuns]) -> None:
    here = runs()
    here.logs.rmdir()
    assert here.run().verdict == 0


# --- dry runs, watching ---


def test_a_dry_run_plans_what_the_run_then_does_and_writes_nothing(runs: Callable[..., LogRuns]) -> None:
    here = runs(max_total_log_size_gb=5 / 1024)
    write_log(here.logs / "app.log", BIG)
    write_log(here.logs / "old.log", SMALL, days_old=9)
    old_archive(here, "app_20200101_000000.log.gz", 31)
    for i in range(1, 7):
        old_archive(here, f"app_2020020{i}_000000.log.gz", 20 - i, MB)
    before = tree_digest(here.base_dir)
    planned = here.run("force", dry_run=True)
    assert tree_digest(here.base_dir) == before
    assert {action.done for action in planned.actions} == {False}
    assert planned.report is None
    done = here.run("force")
    assert {action.done for action in done.actions} == {True}
    planned_names = [(action.verb, action.subject) for action in planned.actions]
    done_names = [(action.verb, action.subject) for action in done.actions]
    # What logs take as archives is known only afterwards: the cap may ask for one deletion more.
    assert done_names[: len(planned_names)] == planned_names
    assert len(done_names) - len(planned_names) <= 1


def test_watching_changes_nothing_and_keeps_the_figures_of_the_last_rotation(
    runs: Callable[..., LogRuns], tmp_path: Path
) -> None:
    here = runs(directories=[{"directory": "logs"}, {"directory": tmp_path / "nowhere"}])
    log = write_log(here.logs / "app.log", BIG)
    assert value(here.run("watch"), "sutazai_log_files_skipped", reason="missing") is None
    assert log.read_bytes() == BIG
    here.run()
    log.write_bytes(BIG)
    watched = here.run("watch")
    assert log.read_bytes() == BIG
    assert value(watched, "sutazai_log_files_skipped", reason="missing") == 1
    assert value(watched, "sutazai_log_size_bytes", directory=str(here.logs)) == len(BIG)
    assert (watched.actions, watched.report) == ((), None)


def test_growth_is_measured_between_runs_and_a_rotation_is_no_shrinking(
    runs: Callable[..., LogRuns], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = runs(max_growth_mb_per_hour=1)
    log = write_log(here.logs / "app.log", SMALL)
    uptime = [1000.0]
    monkeypatch.setattr("jobs.clients.host.Host.uptime_seconds", lambda self: uptime[0])
    assert value(here.run("watch"), "sutazai_log_growth_bytes_per_second", directory=str(here.logs)) is None
    uptime[0] += 3600
    log.write_bytes(BIG)
    result = here.run()
    rate = (len(BIG) - len(SMALL)) / 3600
    assert value(result, "sutazai_log_growth_bytes_per_second", directory=str(here.logs)) == pytest.approx(rate)
    assert kinds(result) == ["log_growth"]
    uptime[0] += 3600
    assert value(here.run("watch"), "sutazai_log_growth_bytes_per_second", directory=str(here.logs)) == 0


def test_a_deleted_file_that_a_process_holds_open_is_found(runs: Callable[..., LogRuns], tmp_path: Path) -> None:
    need_root("looking at every process")
    here = runs(max_deleted_open_mb=1)
    held = tmp_path / "gone.log"
    with held.open("wb") as file:
        file.write(b"x" * 3 * MB)
        file.flush()
        held.unlink()
        result = here.run("watch")
    found = [finding for finding in result.findings if finding.subject == f"file/{held}"]
    assert [finding.kind for finding in found] == ["deleted_held_open"]
    assert f"pid {os.getpid()}" in found[0].message
    total = value(result, "sutazai_log_deleted_open_bytes")
    assert total is not None
    assert total >= 3 * MB


def test_a_disk_that_fills_is_forecast(runs: Callable[..., LogRuns], monkeypatch: pytest.MonkeyPatch) -> None:
    here = runs()
    now, used = here.clock.now().timestamp(), 0
    room = os.statvfs(here.logs)
    used = (room.f_blocks - room.f_bfree) * room.f_frsize
    free = room.f_bavail * room.f_frsize
    # In seven hours half of what is free now was taken.
    points = [(now - hour * 3600, used - free / 14 * hour) for hour in range(7, 0, -1)]
    monkeypatch.setattr(here.store, "points", lambda series, since: points)
    result = here.run("watch")
    assert "disk_full_soon" in kinds(result)
    assert "hours" in next(f.message for f in result.findings if f.kind == "disk_full_soon")
    assert [o.series for o in result.observations] == [f"log_disk_used/{here.logs}"]


# --- as a user runs it ---


def test_the_command_writes_the_report_of_the_guide(run_cli: Callable[..., Any], tmp_path: Path) -> None:
    base = tmp_path / "base"
    write_log(base / "logs" / "app.log", BIG)
    done = run_cli(
        "run", "log-rotation", config={"jobs": {"log_rotation": {"max_log_size_mb": 1, "docker_logs": False}}}
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((base / "logs" / "latest_cleanup_report.json").read_text())
    assert report.keys() >= {"timestamp", "cleanup_type", "configuration", "results", "next_cleanup"}
    assert report["results"].keys() >= {"current_log_size_mb", "archive_size_mb", "total_size_mb"}
    assert report["cleanup_type"] == "standard"
    (archive,) = (base / "archive" / "logs").glob("*.gz")
    assert report["results"]["rotated"][0]["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    again = run_cli("run", "log-rotation", "--dry-run", config={"jobs": {"log_rotation": {"max_log_size_mb": 1}}})
    assert "nothing would be changed" in again.stdout


def test_a_daemon_watches_from_the_start_and_rotates_when_asked(
    exporter_daemon: Callable[..., ExporterDaemon], tmp_path: Path
) -> None:
    place = tmp_path / "service"
    log = write_log(place / "app.log", BIG)
    settings = {"max_log_size_mb": 1, "docker_logs": False, "directories": [{"directory": place}]}
    jobs = {"log_rotation": {**settings, "schedule": ["every 60 minutes: watch"]}, "health_check": {"enabled": False}}
    daemon = exporter_daemon({"jobs": jobs})
    assert daemon.wait_metric("sutazai_log_size_bytes", {"directory": str(place)}) == len(BIG)
    assert not daemon.metrics().samples("sutazai_log_files_skipped", reason="missing")
    daemon.wait_metric("sutazai_task_running", {"task": "log-rotation"}, lambda running: running == 0)
    token = run_command(
        "token", "create", "--name", "test", "--scope", "operate", base_dir=daemon.base_dir
    ).stdout.strip()
    headers = {"Authorization": f"Bearer {token}"}

    def newest(mode: str) -> int:
        """The newest run in a mode that has worked; the schedule watches as well, as each hour begins."""
        runs = daemon.get("/api/v1/runs?task=log-rotation").json()["runs"]
        return max((run["run_id"] for run in runs if (run["mode"], run["outcome"]) == (mode, "ok")), default=0)

    daemon.post("/api/v1/tasks/log-rotation/start", json={}, headers=headers).raise_for_status()
    daemon.wait_metric("sutazai_log_rotated_total", {"method": "cut"}, lambda count: count == 1)
    assert daemon.metrics().value("sutazai_log_files_skipped", reason="missing") == 0
    daemon.post("/api/v1/tasks/log-rotation/start", json={"mode": "watch"}, headers=headers).raise_for_status()
    wait_for(lambda: newest("watch") > newest("standard") > 0, 60, "it has watched again", detail=daemon.log)
    assert daemon.metrics().value("sutazai_log_files_skipped", reason="missing") == 0
    assert daemon.metrics().value("sutazai_log_rotated_total", method="cut") == 1
    assert log.stat().st_size < MB


def test_a_target_is_refused(run_cli: Callable[..., Any]) -> None:
    done = run_cli("run", "log-rotation", "--target", "app")
    assert done.returncode not in (0, 1, 2)
    assert "takes no target" in done.stdout + done.stderr


def test_a_lease_waits_for_nobody_and_sees_writers_only(tmp_path: Path) -> None:
    from contextlib import ExitStack

    from jobs.logs.places import Refused, open_place

    log = write_log(tmp_path / "app.log", SMALL)
    with ExitStack() as stack:
        place = open_place(tmp_path, stack)
        with log.open("rb"), idle(place, "app.log") as held:
            assert held.undisturbed()
            late = subprocess.Popen([sys.executable, "-c", f"open({str(log)!r}, 'ab').write(b'late')"])
            wait_for(lambda: not held.undisturbed(), 20, "somebody waits to write")
        assert late.wait(20) == 0
        with log.open("ab"), pytest.raises(Refused), idle(place, "app.log"):
            pass
    assert log.read_bytes() == SMALL + b"late"
    assert signal.getsignal(signal.SIGIO) in (signal.SIG_DFL, signal.SIG_IGN)
