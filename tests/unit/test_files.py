"""Atomic files: killed, refused or out of room at any step, a name holds the old content or the new, whole."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.core.files import (
    UnfitFile,
    atomic_create,
    atomic_stream,
    atomic_symlink,
    atomic_write,
    read_small,
    remove_leftovers,
    set_aside,
    timestamped,
)
from tests.services.process import quick_directory

ROOT = Path(__file__).resolve().parents[2]
OLD, NEW = b"old\n" * 10, b"new\n" * 75_000
"""The new content is larger than any buffer, so that it takes more than one step to write."""

KILLED, DONE, FAILED = -signal.SIGKILL, 0, 3


# --- helpers ---


def in_child(work: Callable[[], object]) -> int:
    """Do the work in a forked child; return its exit status, negative where a signal ended it."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(DONE)
        except OSError:
            os._exit(FAILED)
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(step: int, work: Callable[[], object]) -> Callable[[], object]:
    """The work, ended by SIGKILL when the interpreter enters or leaves its `step`-th call into C."""

    def dying() -> None:
        left = step

        def count(frame: object, event: str, arg: object) -> None:
            nonlocal left
            if event in ("c_call", "c_return"):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        work()
        sys.setprofile(None)

    return dying


def kill_at_every_step(prepare: Callable[[], None], work: Callable[[], object], check: Callable[[], None]) -> int:
    """Kill the work at its first step, its second and so on until it comes through; return how many there were."""
    for step in range(1, 1000):
        prepare()
        status = in_child(killed_at(step, work))
        check()
        if status == DONE:
            return step - 1
        assert status == KILLED
    raise AssertionError("the work never came to its end")


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory of the test's own, for the many writes of one that is killed at every step."""
    with quick_directory() as directory:
        yield Path(directory)


def entries(directory: Path) -> list[str]:
    """Everything that a directory holds."""
    return sorted(path.name for path in directory.iterdir())


def visible(directory: Path) -> list[str]:
    """What a reader who lists the directory takes for files: those that do not begin with a dot."""
    return [name for name in entries(directory) if not name.startswith(".")]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- what a write makes ---


def test_a_write_makes_the_directories_and_the_file_with_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "daily" / "report.json"
    before = os.umask(0o077)
    try:
        atomic_write(path, NEW)
        atomic_write(tmp_path / "metrics.prom", NEW, mode=0o644)
    finally:
        os.umask(before)
    assert path.read_bytes() == NEW
    assert (mode_of(path), mode_of(tmp_path / "metrics.prom")) == (0o640, 0o644)
    assert entries(path.parent) == ["report.json"]


def test_a_secret_is_never_readable_by_others_on_its_way(memory: Path) -> None:
    path = memory / "key.pem"
    seen: list[int] = []

    def look() -> None:
        seen.extend(mode_of(entry) for entry in memory.iterdir())

    kill_at_every_step(lambda: None, lambda: atomic_write(path, NEW, mode=0o600), look)
    assert set(seen) == {0o600}


def test_a_link_in_the_way_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    victim = tmp_path / "passwd"
    victim.write_bytes(OLD)
    path = tmp_path / "report.json"
    path.symlink_to(victim)
    atomic_write(path, NEW)
    assert not path.is_symlink()
    assert (path.read_bytes(), victim.read_bytes()) == (NEW, OLD)


def test_a_directory_in_the_way_is_an_error_that_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(IsADirectoryError):
        atomic_write(tmp_path / "report.json", NEW)
    assert entries(tmp_path) == ["report.json"]


def test_a_reader_beside_a_writer_never_sees_a_torn_file(tmp_path: Path) -> None:
    path, contents = tmp_path / "state.json", (OLD, NEW)
    atomic_write(path, OLD)

    def write_often() -> None:
        for number in range(60):
            atomic_write(path, contents[number % 2])

    writer = multiprocessing.get_context("fork").Process(target=write_often)
    writer.start()
    while writer.is_alive():
        assert path.read_bytes() in contents
    writer.join()
    assert writer.exitcode == 0
    assert visible(tmp_path) == ["state.json"]


# --- a new file beside others ---


def test_a_report_of_the_same_second_replaces_none(tmp_path: Path) -> None:
    names = timestamped("daily_health_report", datetime.fromisoformat("2024-05-01T06:00:00+02:00"), ".json")
    made = [atomic_create(tmp_path, names, content) for content in (b"1", b"2", b"3")]
    stem = "daily_health_report_20240501_060000"
    assert [path.name for path in made] == [f"{stem}.json", f"{stem}_2.json", f"{stem}_3.json"]
    assert [path.read_bytes() for path in made] == [b"1", b"2", b"3"]
    assert {mode_of(path) for path in made} == {0o640}
    assert len(entries(tmp_path)) == 3


def test_ten_processes_that_want_one_name_get_ten_files(tmp_path: Path) -> None:
    def create(number: int) -> None:
        atomic_create(tmp_path, lambda attempt: f"report_{attempt}", bytes([number]) * 5000)

    fork = multiprocessing.get_context("fork")
    creators = [fork.Process(target=create, args=(number,)) for number in range(10)]
    for creator in creators:
        creator.start()
    for creator in creators:
        creator.join()
        assert creator.exitcode == 0
    assert entries(tmp_path) == [f"report_{number}" for number in range(10)]
    assert {(tmp_path / name).read_bytes()[:1] for name in entries(tmp_path)} == {bytes([n]) for n in range(10)}


def test_a_link_moves_from_the_old_target_to_the_new(tmp_path: Path) -> None:
    link = tmp_path / "latest_health_report.json"
    atomic_symlink(link, "daily_1.json")
    atomic_symlink(link, "daily_2.json")
    assert str(link.readlink()) == "daily_2.json"
    assert entries(tmp_path) == [link.name]


def test_a_link_over_a_directory_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    with pytest.raises(OSError, match="latest"):
        atomic_symlink(tmp_path / "latest", "report_1.json")
    assert entries(tmp_path) == ["latest"]


# --- SIGKILL at every step ---


def test_a_write_killed_at_any_step_leaves_the_old_file_or_the_new(memory: Path) -> None:
    path, met = memory / "state.json", set()

    def check() -> None:
        met.add(path.read_bytes())
        assert visible(memory) == ["state.json"]
        assert mode_of(path) == 0o640

    steps = kill_at_every_step(lambda: atomic_write(path, OLD), lambda: atomic_write(path, NEW), check)
    assert met == {OLD, NEW}
    assert steps > 10


def test_a_report_killed_at_any_step_is_whole_or_absent(memory: Path) -> None:
    directory, met = memory / "reports", set()

    def check() -> None:
        found = {name: (directory / name).read_bytes() for name in visible(directory)} if directory.exists() else {}
        met.add(tuple(found))
        assert set(found.values()) <= {NEW}

    def prepare() -> None:
        shutil.rmtree(directory, ignore_errors=True)

    kill_at_every_step(prepare, lambda: atomic_create(directory, lambda attempt: f"r{attempt}", NEW), check)
    assert met == {(), ("r0",)}


def test_a_link_killed_at_any_step_points_at_the_old_or_the_new(memory: Path) -> None:
    link, met = memory / "latest", set()

    def check() -> None:
        met.add(str(link.readlink()))
        assert visible(memory) == ["latest"]

    kill_at_every_step(lambda: atomic_symlink(link, "old"), lambda: atomic_symlink(link, "new"), check)
    assert met == {"old", "new"}


# --- no room ---


def test_a_file_size_limit_publishes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    atomic_write(path, OLD)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        atomic_write(path, NEW)

    assert in_child(limited) == FAILED
    assert path.read_bytes() == OLD
    assert entries(tmp_path) == ["state.json"]


# --- faults in the system calls themselves, by strace ---

WRITE = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from jobs.core.files import atomic_write
path = Path({path!r})
path.exists()
try:
    atomic_write(path, b"new\\n" * 75_000)
except OSError as error:
    print(error.errno, file=sys.stderr)
    sys.exit(3)
"""
CALLS = "openat,write,fchmod,fsync,?rename,?renameat,?renameat2,?unlink,unlinkat"


@pytest.fixture
def strace() -> str:
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is not installed")
    return program


def traced(program: str, path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Write NEW to the path in a process of its own under strace; its log of system calls is the standard error."""
    command = [program, "-f", "-e", f"trace={CALLS}", *options, sys.executable, "-S", "-c"]
    script = WRITE.format(root=str(ROOT), path=str(path))
    return subprocess.run([*command, script], capture_output=True, text=True, timeout=60, check=False)


def own_calls(log: str, path: Path) -> list[tuple[str, int]]:
    """The system calls of the write itself as (name, how many-th of its name in the whole process)."""
    counts: dict[str, int] = {}
    calls, begun = [], False
    for line in log.splitlines():
        match = re.match(r"(?:\[pid +\d+\] )?(\w+)\(", line)
        if not match:
            continue
        counts[match[1]] = counts.get(match[1], 0) + 1
        begun = begun or f".{path.name}." in line
        if begun:
            calls.append((match[1], counts[match[1]]))
    return calls


def test_content_is_synced_before_the_rename_and_the_directory_after(strace: str, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    names = [name for name, _ in own_calls(traced(strace, path).stderr, path)]
    rename = next(index for index, name in enumerate(names) if name.startswith("rename"))
    assert names[0] == "openat"
    assert names[rename - 1] == "fsync"
    assert max(index for index, name in enumerate(names) if name in ("write", "fchmod")) < rename - 1
    assert names[rename + 1 : rename + 3] == ["openat", "fsync"]


def test_a_write_killed_in_any_of_its_system_calls_leaves_the_old_file_or_the_new(strace: str, tmp_path: Path) -> None:
    path, met = tmp_path / "state.json", set()
    calls = own_calls(traced(strace, path).stderr, path)
    for name, number in calls:
        atomic_write(path, OLD)
        run = traced(strace, path, "-e", f"inject={name}:signal=KILL:when={number}")
        assert run.returncode == KILLED
        met.add(path.read_bytes())
        assert visible(tmp_path) == ["state.json"]
    assert met == {OLD, NEW}


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("fsync:error=EIO:when=1", errno.EIO),
        ("write:error=ENOSPC:when=1", errno.ENOSPC),
        ("write:error=EDQUOT:when=1", errno.EDQUOT),
        ("fchmod:error=EPERM:when=1", errno.EPERM),
        ("?rename,?renameat,?renameat2:error=EROFS:when=1", errno.EROFS),
    ],
)
def test_a_failing_system_call_is_a_failed_write_that_keeps_the_old_file(
    strace: str, tmp_path: Path, fault: str, code: int
) -> None:
    path = tmp_path / "state.json"
    atomic_write(path, OLD)
    run = traced(strace, path, "-o", str(tmp_path.parent / "log"), "-e", f"inject={fault}")
    assert (run.returncode, run.stderr) == (FAILED, f"{code}\n")
    assert path.read_bytes() == OLD
    assert entries(tmp_path) == ["state.json"]


def test_a_directory_that_cannot_be_synced_is_a_failed_write(strace: str, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    run = traced(strace, path, "-o", str(tmp_path.parent / "log"), "-e", "inject=fsync:error=EIO:when=2")
    assert (run.returncode, run.stderr) == (FAILED, f"{errno.EIO}\n")
    assert path.read_bytes() == NEW


def test_an_interrupt_in_the_middle_leaves_nothing_behind(strace: str, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    atomic_write(path, OLD)
    run = traced(strace, path, "-o", str(tmp_path.parent / "log"), "-e", "inject=fsync:signal=INT:when=1")
    assert "KeyboardInterrupt" in run.stderr
    assert path.read_bytes() == OLD
    assert entries(tmp_path) == ["state.json"]


def test_a_new_file_is_placed_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Stands for vfat, which needs a kernel module that not every machine has.
    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    name = timestamped("report", datetime(2026, 3, 2, tzinfo=UTC), ".json")

    first = atomic_create(tmp_path, name, b"one")
    second = atomic_create(tmp_path, name, b"two")

    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")
    assert sorted(tmp_path.iterdir()) == sorted([first, second])


def test_only_old_leftovers_of_interrupted_writes_are_removed(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    old_leftover = tmp_path / "deep" / f".state.json.{'0a' * 8}.tmp"
    kept = [tmp_path / f".new.json.{'0b' * 8}.tmp", tmp_path / "state.json", tmp_path / ".cache.tmp"]
    old_leftover.parent.mkdir()
    for file in (old_leftover, *kept):
        file.write_text("x")
    for file in (old_leftover, *kept[1:]):
        os.utime(file, (0, 0))

    assert remove_leftovers(tmp_path, now - timedelta(days=1)) == [old_leftover]
    assert all(file.exists() for file in kept)
    assert not old_leftover.exists()


# --- streams ---


def stream(path: Path, *, mode: int = 0o600) -> None:
    """Write NEW to the path in two pieces."""
    with atomic_stream(path, mode=mode) as file:
        file.write(NEW[:100_000])
        file.write(NEW[100_000:])


def test_a_stream_killed_at_any_step_leaves_the_old_content_or_the_new(memory: Path) -> None:
    path = memory / "backup.dump"
    found: set[bytes] = set()

    def look() -> None:
        found.add(path.read_bytes())
        assert visible(memory) == ["backup.dump"]

    assert kill_at_every_step(lambda: atomic_write(path, OLD), lambda: stream(path), look) > 10
    assert found == {OLD, NEW}


def test_a_stream_whose_block_raises_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), atomic_stream(tmp_path / "backup.dump") as file:
        file.write(NEW)
        raise KeyError
    assert entries(tmp_path) == []


def test_a_stream_has_its_mode_from_the_first_byte_for_its_owner_only(tmp_path: Path) -> None:
    with atomic_stream(tmp_path / "a" / "backup.dump", mode=0o640) as file:
        assert mode_of(Path(file.name) if isinstance(file.name, str) else next((tmp_path / "a").iterdir())) == 0o600
        file.write(NEW)
    assert mode_of(tmp_path / "a" / "backup.dump") == 0o640


# --- small files of our own ---


def test_a_small_file_is_read_whole_and_nothing_else_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert read_small(tmp_path / "file", 5) == b"12345"
    for name, reason in {
        "link": "symbolic link",
        "directory": "not a regular file",
        "pipe": "not a regular file",
    }.items():
        with pytest.raises(UnfitFile, match=reason):
            read_small(tmp_path / name, 5)
    with pytest.raises(UnfitFile, match="longer than 4 bytes"):
        read_small(tmp_path / "file", 4)
    with pytest.raises(FileNotFoundError):
        read_small(tmp_path / "none", 5)


def test_what_is_set_aside_takes_the_place_of_nothing(tmp_path: Path) -> None:
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)
    for content in (b"first", b"second"):
        (tmp_path / "state.json").write_bytes(content)
        set_aside(tmp_path / "state.json", now)
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    stem = "state.json.corrupt-20260302_120000"
    assert found == {stem: b"first", f"{stem}_2": b"second"}
