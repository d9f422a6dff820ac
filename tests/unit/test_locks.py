"""Locks between processes, and what their holders say about themselves."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.locks import Busy, FileLock, is_held


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "one.lock"


def test_the_second_is_told_who_the_first_is(file: Path) -> None:
    lock = FileLock(file, "pid 1 since noon")
    with pytest.raises(Busy) as busy:
        FileLock(file, "pid 2")
    assert busy.value.holder == "pid 1 since noon"
    lock.say("pid 1, nearly done")
    with pytest.raises(Busy, match="nearly done"):
        FileLock(file, "pid 2")
    lock.release()
    FileLock(file, "pid 2").release()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(("content", "shown"), [(b"", "another process"), (b"\x1b[31mred\n\xff", "[31mred")])
def test_what_a_holder_wrote_is_shown_as_plain_text(file: Path, content: bytes, shown: str) -> None:
    lock = FileLock(file, "x")
    file.write_bytes(content)
    with pytest.raises(Busy) as busy:
        FileLock(file, "y")
    assert busy.value.holder == shown
    lock.release()


def test_a_lock_goes_with_its_process_however_that_ends(file: Path) -> None:
    program = "import sys; from pathlib import Path; from exporter.locks import FileLock; "
    program += "FileLock(Path(sys.argv[1]), 'child'); print(flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        assert child.stdout
        assert child.stdout.readline()
        with pytest.raises(Busy, match="child"):
            FileLock(file, "us")
    finally:
        child.kill()
        child.communicate()
    FileLock(file, "us").release()


def test_a_lock_lives_as_long_as_a_process_that_was_handed_it(file: Path) -> None:
    lock = FileLock(file, "parent")
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(lock.descriptor,))
    try:
        lock.release()
        with pytest.raises(Busy, match="parent"):
            FileLock(file, "us")
    finally:
        child.communicate()
    FileLock(file, "us").release()


def test_a_link_in_the_place_of_the_file_is_not_followed(file: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    file.parent.mkdir()
    file.symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic link"):
        FileLock(file, "us")
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_lock_can_be_looked_at_without_being_taken(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    assert not is_held(file)
    assert not file.exists()
    lock = FileLock(file, "me")
    assert is_held(file)
    lock.release()
    assert not is_held(file)
    FileLock(file, "me again").release()
