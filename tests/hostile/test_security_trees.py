"""Trees that want to keep a scan, lead it elsewhere, or have its report lie."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.clients.tree import Told, Trees, entries, records
from jobs.core.model import Finding
from jobs.security.filesystem.modes import MODES
from jobs.security.filesystem.secrets import SECRETS, order_of
from jobs.security.scanner import OutOfTime, Scanner, Seen
from tests.services.binaries import need_root
from tests.services.looks import clients_of, look
from tests.services.planted import mixed

RACE_SECONDS = float(os.environ.get("TREE_RACE_SECONDS", "2"))
QUIET = {
    **{"directories": [], "full_directories": [], "full_search_directories": []},
    **{"run_by_root": [], "program_directories": []},
}
BOTH = pytest.mark.parametrize("scanner", [MODES, SECRETS], ids=lambda scanner: scanner.name)


def scan(scanner: Scanner, base: Path, *, seconds: float = 60, **changes: object) -> Seen:
    return look(scanner, clients_of(base), {"filesystem": {**QUIET, **changes}}, seconds=seconds)


def secret() -> str:
    return f"DB_PASSWORD={mixed(14)}\n"


def weak(path: Path) -> Path:
    """A file that both scanners find."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(secret())
    path.chmod(0o666)
    return path


@BOTH
def test_what_is_no_file_keeps_nobody(tmp_path: Path, scanner: Scanner) -> None:
    os.mkfifo(tmp_path / "pipe.pem")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        (tmp_path / "loop").symlink_to("loop")
        (tmp_path / "up").symlink_to("..")
        (tmp_path / "self").symlink_to(".")
        weak(tmp_path / "found")
        seen = scan(scanner, tmp_path)
    assert [weakness.subject for weakness in seen.weaknesses] == [f"{tmp_path}/found"]
    assert seen.missed == []


@BOTH
def test_names_that_are_no_text_are_told_in_text_and_apart(tmp_path: Path, scanner: Scanner) -> None:
    names = [b"caf\xe9", b"caf\\xe9", "café".encode(), b"a\nb", b"\x1b[31m", b"-rf", b"\"'<b>", b"\xff" * 200]
    for name in names:
        weak(tmp_path / os.fsdecode(name))
    seen = scan(scanner, tmp_path)
    findings = [
        Finding(kind=w.rule, subject=w.subject, severity=w.severity, message=w.message) for w in seen.weaknesses
    ]
    assert len({finding.subject for finding in findings}) == len(names)
    assert [f.subject for f in findings] == [w.subject for w in seen.weaknesses], "nothing had to be cleaned"
    assert all(w.message.isprintable() and w.path.isprintable() for w in seen.weaknesses)


@BOTH
def test_a_tree_of_ten_thousand_levels_is_gone_through(scanner: Scanner) -> None:
    # In memory: a disk takes longer to make it and to remove it than the scan takes.
    base, depth, step = Path(tempfile.mkdtemp(prefix="sutazai-deep-", dir="/dev/shm")), 10_000, "d"
    descriptor = os.open(base, os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir(step, dir_fd=descriptor)
        deeper = os.open(step, os.O_DIRECTORY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    file = os.open("found", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor)
    os.write(file, secret().encode())
    os.fchmod(file, 0o666)
    os.close(file)
    os.close(descriptor)
    try:
        (weakness,) = scan(scanner, base).weaknesses
        assert weakness.subject.endswith("/d/found")
        assert len(weakness.subject) < 1100
    finally:
        subprocess.run(["rm", "-rf", str(base)], check=True)


@BOTH
def test_a_file_that_grows_all_the_time_keeps_nobody(tmp_path: Path, scanner: Scanner) -> None:
    file, stop = weak(tmp_path / "growing.log"), threading.Event()

    def grow() -> None:
        with file.open("ab", buffering=0) as log:
            while not stop.is_set() and log.tell() < 200_000_000:
                log.write(b"a line\n" * 1000)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        assert len(scan(scanner, tmp_path).weaknesses) == 1
    finally:
        stop.set()
        writer.join()


_RACER = """
import contextlib, os, sys
place, outside = sys.argv[1:]
print("racing", flush=True)
while True:
    for names in (("inner", "away"), ("away", "inner")):
        with contextlib.suppress(OSError):
            os.rename(f"{place}/{names[0]}", f"{place}/{names[1]}")
            if names[1] == "away":
                os.symlink(outside, f"{place}/inner")
            continue
        with contextlib.suppress(OSError):
            os.unlink(f"{place}/inner")
    with contextlib.suppress(OSError):
        os.unlink(f"{place}/inner")
    with contextlib.suppress(OSError):
        os.rename(f"{place}/away", f"{place}/inner")
    with contextlib.suppress(OSError):
        os.symlink(f"{outside}/secret-0", f"{place}/inner/fresh")
        os.replace(f"{place}/inner/fresh", f"{place}/inner/file")
    with contextlib.suppress(OSError):
        os.unlink(f"{place}/inner/file")
        open(f"{place}/inner/file", "w").close()
"""


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


@BOTH
def test_a_racer_that_swaps_directories_and_links_leads_nowhere(tmp_path: Path, scanner: Scanner) -> None:
    base, outside = tmp_path / "base", tmp_path / "outside"
    for number in range(40):
        weak(base / "place" / "inner" / f"d{number}" / "file").chmod(0o644)
        weak(outside / f"d{number}" / "secret")
        weak(outside / f"secret-{number}")
        (base / "place" / "inner" / f"d{number}" / "file").write_text("x = 1\n")
    runs, ends = 0, time.monotonic() + RACE_SECONDS
    with racer(base / "place", outside):
        while time.monotonic() < ends or runs < 3:
            seen = scan(scanner, base)
            assert [w.subject for w in seen.weaknesses if "secret" in w.subject] == []
            assert seen.missed == []
            runs += 1


@BOTH
def test_nothing_of_the_working_directory_is_loaded(
    tmp_path: Path, scanner: Scanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, here = tmp_path / "base", tmp_path / "here"
    weak(base / "found")
    for module in ("json.py", "bisect.py", "hyperscan.py", "jobs/__init__.py", "sitecustomize.py"):
        (here / module).parent.mkdir(parents=True, exist_ok=True)
        (here / module).write_text(f"open({str(tmp_path / 'loaded')!r}, 'w'); raise SystemExit(9)")
    monkeypatch.chdir(here)
    assert len(scan(scanner, base).weaknesses) == 1
    assert not (tmp_path / "loaded").exists()


def test_a_directory_of_many_files_is_told_in_little(tmp_path: Path) -> None:
    for number in range(5_000):
        descriptor = os.open(tmp_path / f"{number}", os.O_CREAT | os.O_WRONLY, 0o666)
        os.fchmod(descriptor, 0o666)
        os.close(descriptor)
    (weakness,) = scan(MODES, tmp_path).weaknesses
    assert "5,000 files" in weakness.message


@BOTH
def test_time_that_is_over_ends_the_programs_and_keeps_what_was_told(tmp_path: Path, scanner: Scanner) -> None:
    weak(tmp_path / "found")
    for number in range(3000):
        (tmp_path / "many" / f"{number}").mkdir(parents=True)
    with pytest.raises(OutOfTime):
        scan(scanner, tmp_path, seconds=0.01)
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in _read(path)]
    assert left == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_tree_of_two_files_is_looked_at_once_by_two_processes(tmp_path: Path) -> None:
    for number in range(200):
        weak(tmp_path / f"{number % 20}" / f"{number}" / "file")
    told = Told()
    paths = [entry.path for entry in entries(Trees([str(tmp_path)]), [], [], told, timeout_seconds=60)]
    assert len(paths) == len(set(paths)) == 200
    assert told.looked_at == 1 + 20 + 200 + 200


def test_the_memory_of_a_search_does_not_grow_with_the_files(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}.txt").write_bytes(secret().encode() + b"text\n" * 400_000)
    limit = ["prlimit", "--data=100000000"]
    order = order_of(Trees([str(tmp_path)]), 1 << 30)
    script = (
        "import json, sys; from jobs.clients.tree import Told, records\n"
        "order = json.loads(sys.stdin.read())\n"
        "print(len(list(records('jobs.clients.secret_search', order, Told(), timeout_seconds=60))))"
    )
    argv = [*limit, sys.executable, "-c", script]
    done = subprocess.run(
        argv, input=json.dumps(order), capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2]
    )
    assert (done.stdout, done.stderr) == (f"{20 + 1}\n", "")


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_directories_that_cannot_be_read_or_entered_are_missed(mode: int) -> None:
    need_root("becoming another user")
    base = Path(f"/tmp/sutazai-unread-{os.getpid()}-{mode}")
    weak(base / "open")
    weak(base / "closed" / "file")
    (base / "closed").chmod(mode)
    try:
        from tests.integration.test_security_modes import as_nobody

        found, (missed,), _ = as_nobody(base)
        assert found == {"world_writable_file": ["open"]}
        assert missed.startswith(f"1 could not be read: {base}/closed (Permission denied)")
    finally:
        shutil.rmtree(base)


def test_a_search_whose_program_fails_is_an_error(tmp_path: Path) -> None:
    from jobs.clients.errors import ClientError

    order = {**order_of(Trees([str(tmp_path)]), 1), "rules": [["broken", "(", False, False]]}
    with pytest.raises(ClientError, match=r"secret_search ended with 1: .*error"):
        list(records("jobs.clients.secret_search", order, Told(), timeout_seconds=60))
