"""Writing what `init` has gathered: all of it or nothing, whatever interrupts it; what was there is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jobs.core.files import UnfitFile, atomic_create, atomic_write, read_small, timestamped

CONFIG_MODE, SECRET_MODE, SECRET_DIRECTORY_MODE, DIRECTORY_MODE = 0o640, 0o600, 0o700, 0o755
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Written:
    """A file that is as it should be now, whether it was `changed`, and where the one is kept that it replaced."""

    path: Path
    changed: bool
    backup: Path | None = None


class Taken(Exception):
    """A file is there already, and may not be replaced; `path` is it."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path


def write_all(
    config_file: Path, text: str, secrets: Mapping[Path, str], base_dir: Path, now: datetime, *, force: bool
) -> list[Written]:
    """Write the secrets, then the configuration that needs them; raise Taken or OSError, and leave all as it was then.

    Whoever runs this as root leaves what it makes to the owner of the base directory.
    """
    wanted = {file: (secret.encode(), SECRET_MODE) for file, secret in secrets.items()}
    wanted[config_file] = (text.encode(), CONFIG_MODE)
    check_free(wanted, force=force)
    with _undone_on_error() as undo:
        if secrets:
            make_directory(base_dir, DIRECTORY_MODE, base_dir, undo)
            make_directory(base_dir / "secrets_secure", SECRET_DIRECTORY_MODE, base_dir, undo)
        make_directory(config_file.parent, DIRECTORY_MODE, base_dir, undo)
        return [_written(file, *content, base_dir, now, undo) for file, content in wanted.items()]


def check_free(files: Mapping[Path, object], *, force: bool) -> None:
    """Raise Taken for the first that is there, unless with `force`."""
    taken = next((file for file in files if os.path.lexists(file)), None)
    if taken is not None and not force:
        raise Taken(taken)


@contextmanager
def _undone_on_error() -> Iterator[ExitStack]:
    with ExitStack() as undo:
        yield undo
        undo.pop_all()


def make_directory(directory: Path, mode: int, base_dir: Path, undo: ExitStack) -> None:
    """Make a directory, where there is none, with those above it."""
    if directory.is_dir():
        return
    make_directory(directory.parent, DIRECTORY_MODE, base_dir, undo)
    directory.mkdir()
    undo.callback(directory.rmdir)
    directory.chmod(mode)
    _hand_over(directory, base_dir)


def _written(file: Path, content: bytes, mode: int, base_dir: Path, now: datetime, undo: ExitStack) -> Written:
    if _is_as_wanted(file, content, mode):
        return Written(file, changed=False)
    backup = _kept(file, now, undo)
    undo.callback(_put_back, file, backup)
    atomic_write(file, content, mode=mode)
    _hand_over(file, base_dir)
    return Written(file, changed=True, backup=backup)


def _is_as_wanted(file: Path, content: bytes, mode: int) -> bool:
    try:
        return read_small(file, _MAX_BYTES) == content and file.stat().st_mode & 0o777 == mode
    except (OSError, UnfitFile):
        return False  # whatever is wrong with it, replacing it says so


def _kept(file: Path, now: datetime, undo: ExitStack) -> Path | None:
    """A copy of a file that is about to be replaced, with its permission bits."""
    if not os.path.lexists(file):
        return None
    try:
        content = read_small(file, _MAX_BYTES)
    except UnfitFile as error:
        raise OSError(0, f"what is there is not replaced: {error}", str(file)) from None
    status = file.stat()
    backup = atomic_create(file.parent, timestamped(file.stem, now, file.suffix), content, mode=status.st_mode & 0o777)
    undo.callback(backup.unlink, missing_ok=True)
    os.chown(backup, status.st_uid, status.st_gid)
    return backup


def _put_back(file: Path, backup: Path | None) -> None:
    if backup is None:
        file.unlink(missing_ok=True)
        return
    status = backup.stat()
    atomic_write(file, backup.read_bytes(), mode=status.st_mode & 0o777)
    os.chown(file, status.st_uid, status.st_gid)


def _hand_over(path: Path, base_dir: Path) -> None:
    if os.geteuid() == 0 and base_dir.is_dir():
        owner = base_dir.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
