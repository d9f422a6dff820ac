"""The archives: `archive/logs/NAME_TIME.log.gz`, each beside its checksum, complete or not there at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jobs.core.files import atomic_stream, atomic_write, remove_leftovers, timestamped
from jobs.core.privileges import may_give_files_away
from jobs.logs.compress import Packed, file_sha256, pack
from jobs.logs.places import Place, Refused, open_place

SUM_SUFFIX = ".sha256"
_ARCHIVE = re.compile(r".+_(\d{8}_\d{6})(?:_\d{1,9})?(?:\.log)?\.gz", re.DOTALL)
_AS_IT_IS = (-1, -1)
_MAX_STEM = 180
_OWN_INODES = 2
_ROOM_STEP_BYTES = 16 << 20


@dataclass(frozen=True)
class Archive:
    """One archive: `at` is when it was made, `bytes` what it takes with its checksum's file."""

    place: Place
    name: str
    at: float
    bytes: int


@dataclass(frozen=True)
class Written:
    """A new archive and what is in it."""

    name: str
    packed: Packed


class Archives:
    """The archive directory, made when the first archive is written."""

    def __init__(self, base_dir: Path, stack: ExitStack, min_free_bytes: int) -> None:
        self.path = base_dir / "archive" / "logs"
        # Where the scripts that this job replaces kept some of theirs, and never removed any.
        self._older = base_dir / "logs" / "rotated"
        self._stack, self._min_free_bytes = stack, min_free_bytes
        self._place: Place | None = None

    @property
    def place(self) -> Place:
        """The directory, open; it is made where there is none."""
        if self._place is None:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._place = open_place(self.path, self._stack)
        return self._place

    def places(self) -> list[Place]:
        """The directories that archives are in, as far as they exist; Refused where one is not safe."""
        found = []
        for path in (self.path, self._older):
            with contextlib.suppress(FileNotFoundError):
                found.append(open_place(path, self._stack))
        return found

    def listed(self, places: Sequence[Place]) -> list[Archive]:
        """Every archive, oldest first; whatever else is there is passed over."""
        found = [archive for place in places for archive in _archives(place)]
        return sorted(found, key=lambda archive: (archive.at, archive.name))

    def remove_leftovers(self, now: datetime) -> None:
        """Remove what runs that were killed have left half written: files on their way, sums without an archive."""
        remove_leftovers(self.place.by_descriptor, now)
        names = set(self.place.names())
        for name in names:
            if _is_sum(name) and name.removesuffix(SUM_SUFFIX) not in names:
                os.unlink(name, dir_fd=self.place.descriptor)

    def write(
        self,
        stem: str,
        now: datetime,
        source: int,
        size: int,
        *,
        before_publishing: Callable[[str], None],
        progress: Callable[[int], None] = lambda done: None,
    ) -> Written:
        """Archive the first `size` bytes of an open file under a new name, with the owner and mode of the file.

        The bytes are proven, synced and read back before `before_publishing` is told the name; only then does
        the archive get it. Raise OSError or Refused, and leave nothing behind.
        """
        status = os.fstat(source)
        name = self._free_name(stem, now)
        directory = self.place.by_descriptor
        mode, owner = _owner_and_mode(status)
        try:
            with atomic_stream(directory / name, mode=mode) as file:
                packed = pack(source, size, file, self._guard_room(progress))
                if owner != _AS_IT_IS:
                    os.fchown(file.fileno(), *owner)
                atomic_write(directory / f"{name}{SUM_SUFFIX}", f"{packed.sha256}  {name}\n".encode(), mode=mode)
                before_publishing(name)
        except BaseException as error:
            self.withdraw(name)
            if isinstance(error, OSError):
                raise self._explained(error) from error
            raise
        return Written(name, packed)

    def withdraw(self, name: str) -> None:
        """Take back an archive whose source was left as it is."""
        for one in (name, f"{name}{SUM_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(one, dir_fd=self.place.descriptor)
        with contextlib.suppress(OSError):  # what was taken back may come back after a power cut, beside its source
            self.place.sync()

    def open_sound(self, name: str) -> int | None:
        """A descriptor of an archive that is what its checksum says; None where it is not there, or is not."""
        try:
            expected = (self.place.by_descriptor / f"{name}{SUM_SUFFIX}").read_text(errors="replace").split(" ")[0]
            descriptor = self.place.open(name, os.O_RDONLY)
        except (OSError, Refused):
            return None
        if file_sha256(descriptor) == expected:
            return descriptor
        os.close(descriptor)
        return None

    def _free_name(self, stem: str, now: datetime) -> str:
        names = timestamped(stem, now, ".log.gz")
        attempt = 0
        while os.path.lexists(self.place.by_descriptor / names(attempt)):
            attempt += 1
        return names(attempt)

    def _guard_room(self, progress: Callable[[int], None]) -> Callable[[int], None]:
        looked = -_ROOM_STEP_BYTES

        def step(done: int) -> None:
            nonlocal looked
            if done - looked >= _ROOM_STEP_BYTES:
                looked = done
                self._check_room()
                progress(done)

        return step

    def _check_room(self) -> None:
        figures = os.fstatvfs(self.place.descriptor)
        free = figures.f_bavail * figures.f_frsize
        if free < self._min_free_bytes:
            raise Refused(
                "no_space", f"{self.path}: {free >> 20} MB are left there, less than jobs.log_rotation.min_free_mb"
            )

    def _explained(self, error: OSError) -> OSError:
        if error.errno == errno.ENOSPC:
            figures = os.fstatvfs(self.place.descriptor)
            # Ours are removed by now: of the archive on its way and of its checksum.
            if figures.f_files and figures.f_favail <= _OWN_INODES:
                return OSError(errno.ENOSPC, "no inodes left on its file system", str(self.path))
        return OSError(error.errno, error.strerror or str(error), str(self.path))


def remove_archive(archive: Archive) -> None:
    """Delete an archive and its checksum."""
    os.unlink(archive.name, dir_fd=archive.place.descriptor)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{archive.name}{SUM_SUFFIX}", dir_fd=archive.place.descriptor)


def stem_of(directory: Path, name: str, own_directory: Path) -> str:
    """The first part of an archive's name: the log's name, for other directories than our own with the path to it."""
    stem = name.removesuffix(".log") or name
    if directory != own_directory:
        inside = directory.is_relative_to(own_directory)
        way = directory.relative_to(own_directory) if inside else directory
        stem = "-".join([*(part for part in way.parts if part != "/"), stem])
    return safe_stem(stem)


def safe_stem(stem: str) -> str:
    """A first part of a name that leads nowhere else and is not too long, whoever chose it."""
    clean = re.sub(r"[^A-Za-z0-9._-]", "_", stem).lstrip(".") or "log"
    if len(clean) > _MAX_STEM:
        clean = f"{clean[-_MAX_STEM:]}-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]}"
    return clean


def _is_sum(name: str) -> bool:
    return name.endswith(SUM_SUFFIX) and _ARCHIVE.fullmatch(name.removesuffix(SUM_SUFFIX)) is not None


def _archives(place: Place) -> list[Archive]:
    found = []
    for name in place.names():
        match = _ARCHIVE.fullmatch(name)
        with contextlib.suppress(FileNotFoundError, ValueError):  # removed meanwhile; or such a day does not exist
            if match and stat.S_ISREG((status := place.status(name)).st_mode):
                made = datetime.strptime(match[1], "%Y%m%d_%H%M%S").astimezone().timestamp()
                # What was copied here, or renamed, is as old as the younger of the two says.
                found.append(Archive(place, name, max(made, status.st_mtime), _size(place, name, status)))
    return found


def _size(place: Place, name: str, status: os.stat_result) -> int:
    try:
        return status.st_size + place.status(f"{name}{SUM_SUFFIX}").st_size
    except OSError:
        return status.st_size


def _owner_and_mode(status: os.stat_result) -> tuple[int, tuple[int, int]]:
    """Permission bits and owner for an archive: those of its source; where we may not give it away, ours alone."""
    mode = stat.S_IMODE(status.st_mode) & 0o666
    if may_give_files_away():
        return mode, (status.st_uid, status.st_gid)
    ours = status.st_uid == os.geteuid() and status.st_gid in (os.getegid(), *os.getgroups())
    if not ours:
        return mode & 0o600, _AS_IT_IS
    return mode, _AS_IT_IS if status.st_gid == os.getegid() else (-1, status.st_gid)
