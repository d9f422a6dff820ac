"""File systems of a test's own, on a loop device: to be frozen, made read-only, filled."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.services.binaries import need, need_root
from tests.services.process import private_directory, remove_directory
from tests.services.wait import wait_for


@contextlib.contextmanager
def ext4(megabytes: int = 48) -> Iterator[Path]:
    """A mounted ext4, thawed and unmounted in any case. Whoever uses it must have ended by then."""
    with _on_loop(megabytes, [need("mkfs.ext4", package="e2fsprogs"), "-q", "-F"]) as mount:
        yield mount


@contextlib.contextmanager
def xfs(megabytes: int = 320) -> Iterator[Path]:
    """A mounted XFS, which is never smaller than 300 MB; its image takes only what is written to it."""
    with _on_loop(megabytes, [need("mkfs.xfs", package="xfsprogs"), "-q"]) as mount:
        yield mount


@contextlib.contextmanager
def _on_loop(megabytes: int, make: list[str]) -> Iterator[Path]:
    need_root("mounting a file system")
    directory = private_directory("disk")
    image, mount = directory / "image", directory / "mount"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    _run(*make, str(image))
    _run("mount", "-o", "loop", str(image), str(mount))
    try:
        yield mount
    finally:
        thaw(mount)
        wait_for(lambda: _unmounted(mount), 30, f"{mount} is unmounted")
        remove_directory(directory)


@contextlib.contextmanager
def tmpfs(megabytes: int, inodes: int = 0) -> Iterator[Path]:
    """A mounted tmpfs, of so many inodes if a number is given."""
    need_root("mounting a file system")
    mount = private_directory("tmpfs")
    size = f"size={megabytes}m,mode=0755" + (f",nr_inodes={inodes}" if inodes else "")
    _run("mount", "-t", "tmpfs", "-o", size, "tmpfs", str(mount))
    try:
        yield mount
    finally:
        wait_for(lambda: _unmounted(mount), 30, f"{mount} is unmounted")
        remove_directory(mount)


@contextlib.contextmanager
def frozen(mount: Path) -> Iterator[None]:
    """The file system frozen (fsfreeze(8)): who writes to it waits, and nothing can end the waiting."""
    _run(need("fsfreeze", package="util-linux"), "--freeze", str(mount))
    try:
        yield
    finally:
        thaw(mount)


def thaw(mount: Path) -> None:
    """Undo `frozen`; another process does it, as this one must never wait for the file system itself."""
    subprocess.run([need("fsfreeze", package="util-linux"), "--unfreeze", str(mount)], capture_output=True, timeout=30)


def make_read_only(mount: Path) -> None:
    """What ext4 does by itself after an error of the disk: stop writing, whoever has files open (ext4(5), abort)."""
    _run("mount", "-o", "remount,abort", str(mount))


def _unmounted(mount: Path) -> bool:
    return subprocess.run(["umount", str(mount)], capture_output=True).returncode == 0 or not mount.is_mount()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
