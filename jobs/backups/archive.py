"""Archives of configuration and certificates: tar.gz, in a fixed order, links kept as links and never followed."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from jobs.backups.failure import BackupFailed
from jobs.backups.sink import GzipWriter, Sink
from jobs.backups.targets import Facts
from jobs.core.model import Finding, Severity

ROOT_PREFIX = "root"
"""In an archive, below this stands what is not below the base directory: `root/etc/sutazai/exporter.yml`."""
MAX_MEMBERS = 100_000
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK_BYTES = 1 << 20


@dataclass
class _Archive:
    """An archive under way."""

    tar: tarfile.TarFile
    base_dir: Path
    max_bytes: int
    bytes: int = 0
    members: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def archive_maker(
    base_dir: Path, paths: Sequence[Path], *, max_bytes: int, source: str
) -> Callable[[Sink, float], Facts]:
    """What makes the archive of `paths`, directories with all that is in them."""

    def make(sink: Sink, timeout_seconds: float) -> Facts:
        with GzipWriter(sink.write) as packed:
            # A stream: tarfile never looks back. PAX holds names of any length and bytes.
            with tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
                archive = _Archive(tar, base_dir, max_bytes)
                for path in sorted(set(paths)):
                    for found in _walk(path, base_dir / "backups"):
                        _add(archive, found)
            packed.finish()
        return Facts(tool="tar", members=archive.members, findings=tuple(_left_out(archive, source)))

    return make


def name_of(path: Path, base_dir: Path) -> str:
    """What a file is called in an archive; never absolute, and never with `..`."""
    if path.is_relative_to(base_dir):
        return str(path.relative_to(base_dir))
    return f"{ROOT_PREFIX}/{str(path).lstrip('/')}"


def _walk(path: Path, without: Path) -> Iterator[Path]:
    """A path and everything below it but for `without`: a directory before what is in it, by name."""
    if path == without:
        return
    yield path
    try:
        names = sorted(entry.name for entry in path.iterdir()) if not path.is_symlink() and path.is_dir() else []
    except FileNotFoundError:
        return
    for name in names:
        yield from _walk(path / name, without)


def _add(archive: _Archive, path: Path) -> None:
    try:
        status, name = path.lstat(), name_of(path, archive.base_dir)
    except FileNotFoundError:
        archive.left_out.append(f"{path} (it is not there)")
        return
    if len(archive.members) >= MAX_MEMBERS:
        raise BackupFailed(f"more than {MAX_MEMBERS} files are to go into one archive", "see backup_config_paths")
    if stat.S_ISREG(status.st_mode):
        _add_file(archive, path, name)
    elif stat.S_ISDIR(status.st_mode):
        archive.tar.addfile(_entry(name, status, tarfile.DIRTYPE))
    elif stat.S_ISLNK(status.st_mode):
        entry = _entry(name, status, tarfile.SYMTYPE)
        entry.linkname = str(path.readlink())
        archive.tar.addfile(entry)
        if not _leads_inside(path, archive.base_dir):
            archive.left_out.append(f"{path} (a link to {entry.linkname})")
    else:
        archive.left_out.append(f"{path} (no file, directory or link)")


def _add_file(archive: _Archive, path: Path, name: str) -> None:
    # Opened before it is looked at: a link put in its place since then is refused.
    with os.fdopen(os.open(path, _READ), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise BackupFailed(f"{path} was replaced while it was read", "run it again")
        archive.bytes += status.st_size
        if archive.bytes > archive.max_bytes:
            raise BackupFailed(
                f"its files are more than backup_max_archive_mb ({archive.max_bytes >> 20} MiB), at {path}",
                "raise it, or name fewer paths",
            )
        entry = _entry(name, status, tarfile.REGTYPE)
        entry.size = status.st_size
        content = _Hashed(file, status.st_size, path)
        archive.tar.addfile(entry, content)  # type: ignore[arg-type]  # it needs no more than `read`
        archive.members[name] = content.sha256


class _Hashed:
    """The first `size` bytes of a file, hashed as they are read; a file that became shorter is an error."""

    def __init__(self, file: IO[bytes], size: int, path: Path) -> None:
        self._file, self._left, self._path = file, size, path
        self._sum = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of what was read."""
        return self._sum.hexdigest()

    def read(self, count: int) -> bytes:
        """The next bytes; tarfile asks for no more than there should be."""
        data = self._file.read(min(count, self._left))
        if len(data) < min(count, self._left):
            raise BackupFailed(f"{self._path} became shorter while it was read", "run it again")
        self._left -= len(data)
        self._sum.update(data)
        return data


def _entry(name: str, status: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime = kind, stat.S_IMODE(status.st_mode), int(status.st_mtime)
    entry.uid, entry.gid = status.st_uid, status.st_gid
    return entry


def _leads_inside(link: Path, base_dir: Path) -> bool:
    """Whether a link points to something below the base directory, in words: what is behind it is not looked at."""
    target = os.path.normpath(link.parent / link.readlink())
    return Path(target).is_relative_to(base_dir)


def _left_out(archive: _Archive, source: str) -> Iterator[Finding]:
    if not archive.left_out:
        return
    more = f" and {len(archive.left_out) - 3} more" if len(archive.left_out) > 3 else ""
    yield Finding(
        kind="backup_incomplete",
        subject=f"backup/{source}",
        severity=Severity.LOW,
        message=f"not in the backup of {source}: {', '.join(archive.left_out[:3])}{more}",
        remedy="correct backup_config_paths, and add what links lead to, if it is wanted",
    )
