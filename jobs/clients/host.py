"""This machine: load, memory, file systems, big files. Linux only."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.clients.errors import ClientError, Refused

MAX_LOG_ENTRIES = 1_000_000

# What Docker mounts into every container, from the disk below it.
_DOCKERS_FILES = frozenset({b"/etc/hosts", b"/etc/hostname", b"/etc/resolv.conf"})
# Full by design, or a view of something else.
_IMAGES = frozenset({"squashfs", "iso9660", "udf", "erofs", "cramfs"})
_WITHOUT_DEVICE = re.compile(
    r"nfs4?|cifs|smb3|9p|ceph|glusterfs|zfs|btrfs|virtiofs|fuse\.(sshfs|glusterfs|mergerfs|s3fs)"
)


@dataclass(frozen=True)
class Load:
    """Load averages over 1, 5 and 15 minutes, and how many cores share it."""

    averages: tuple[float, float, float]
    cores: int

    @property
    def per_core(self) -> float:
        """The one-minute load of each core."""
        return self.averages[0] / self.cores


@dataclass(frozen=True)
class Memory:
    """Memory and swap. Available is what programs can still get without swapping."""

    total_bytes: int
    available_bytes: int
    swap_total_bytes: int
    swap_used_bytes: int

    @property
    def used_ratio(self) -> float:
        """The share that programs cannot get any more."""
        return 1 - self.available_bytes / self.total_bytes


@dataclass(frozen=True)
class Mount:
    """A mounted file system: `point` is fit to be shown, `path` to be opened."""

    point: str
    path: bytes
    kind: str
    source: str
    read_only: bool


@dataclass(frozen=True)
class Disk:
    """How full a file system is.

    `free_bytes` is what ordinary users can still write; `inodes` is 0 where it makes them as needed.
    """

    mount: Mount
    size_bytes: int
    used_bytes: int
    free_bytes: int
    inodes: int
    inodes_free: int

    @property
    def used_ratio(self) -> float:
        """As df reckons it: without the blocks that are kept for root."""
        usable = self.used_bytes + self.free_bytes
        return self.used_bytes / usable if usable else 0.0

    @property
    def inodes_used_ratio(self) -> float | None:
        """The share of inodes in use, where their number is fixed."""
        return 1 - self.inodes_free / self.inodes if self.inodes else None


@dataclass(frozen=True)
class BigFiles:
    """Files above a limit, as (path, bytes), the biggest first, and which directories could not be looked at."""

    files: tuple[tuple[str, int], ...]
    missing: tuple[str, ...]
    unreadable: tuple[str, ...]


class Host:
    """What the kernel says of this machine."""

    def name(self) -> str:
        """The host's name."""
        return socket.gethostname()

    def uptime_seconds(self) -> float:
        """How long it has been up, suspension included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot_id(self) -> str:
        """What names the time since the machine was started; the monotonic clock counts within it."""
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def load(self) -> Load:
        """Its load and the cores that this process may use."""
        return Load(os.getloadavg(), len(os.sched_getaffinity(0)))

    def memory(self) -> Memory:
        """Its memory."""
        import psutil

        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        return Memory(memory.total, memory.available, swap.total, swap.used)

    def mounts(self) -> list[Mount]:
        """Its real file systems, each once. Never waits for a server that is gone."""
        return parse_mounts(Path("/proc/self/mountinfo").read_bytes())

    def disk(self, mount: Mount) -> Disk:
        """How full it is. Waits for as long as the file system does: for a dead server for ever.

        Raise Refused where this user may not look at it (not even root may, at another's FUSE mount), or ClientError.
        """
        try:
            figures = os.statvfs(mount.path)
        except PermissionError as error:
            raise Refused(f"{mount.point}: {error.strerror}") from None
        except OSError as error:
            raise ClientError(f"{mount.point}: {error.strerror}") from None
        unit = figures.f_frsize
        return Disk(
            mount=mount,
            size_bytes=figures.f_blocks * unit,
            used_bytes=(figures.f_blocks - figures.f_bfree) * unit,
            free_bytes=figures.f_bavail * unit,
            inodes=figures.f_files,
            inodes_free=figures.f_ffree,
        )

    def big_logs(self, directories: Sequence[Path], max_bytes: int) -> BigFiles:
        """Every `*.log` of more than `max_bytes` below these directories. Symbolic links are not followed."""
        files: set[tuple[str, int]] = set()
        missing = [directory for directory in directories if not _is_directory(directory)]
        unreadable: list[str] = []
        for path, size in _log_files([d for d in directories if d not in missing], unreadable):
            if size > max_bytes:
                files.add((_shown(path), size))
        biggest_first = tuple(sorted(files, key=lambda file: (-file[1], file[0])))
        return BigFiles(biggest_first, tuple(_shown(os.fsencode(d)) for d in missing), tuple(unreadable))


def parse_mounts(mountinfo: bytes) -> list[Mount]:
    """Given `/proc/self/mountinfo` (proc_pid_mountinfo(5)), return the real file systems by mount point.

    Of several mounts of one device the one that shows its root is kept, then the one with the shortest path.
    """
    best: dict[bytes, tuple[tuple[bool, int], Mount]] = {}
    visible: dict[bytes, tuple[bytes, bytes, Mount]] = {}
    for line in mountinfo.splitlines():
        fields = line.split(b" ")
        separator = fields.index(b"-")
        kind, source, super_options = (field.decode(errors="replace") for field in fields[separator + 1 :][:3])
        path = _unescaped(fields[4])
        mount = Mount(_shown(path), path, kind, source, "ro" in super_options.split(","))
        visible[path] = (fields[2], fields[3], mount)  # a later mount hides an earlier one at the same place
    for device, root, mount in visible.values():
        rank = (root != b"/", len(mount.path))
        if _is_real(mount) and (device not in best or rank < best[device][0]):
            best[device] = (rank, mount)
    return sorted((mount for _, mount in best.values()), key=lambda mount: mount.path)


def _is_real(mount: Mount) -> bool:
    if mount.kind in _IMAGES or mount.path in _DOCKERS_FILES:
        return False
    # In a container the root is an overlay; anywhere else an overlay shows the figures of the disk below it.
    on_device = mount.source.startswith("/dev/") and mount.kind not in ("devtmpfs", "overlay")
    return on_device or mount.path == b"/" or bool(_WITHOUT_DEVICE.fullmatch(mount.kind))


def _unescaped(field: bytes) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field)


def _shown(path: bytes) -> str:
    return path.decode(errors="replace")


def _log_files(directories: Iterable[Path], unreadable: list[str]) -> Iterator[tuple[bytes, int]]:
    waiting, left = [os.fsencode(directory) for directory in directories], MAX_LOG_ENTRIES
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0:
                        raise ClientError(f"more than {MAX_LOG_ENTRIES} files below the log directories")
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.name.endswith(b".log") and entry.is_file(follow_symlinks=False):
                        yield entry.path, _size(entry)
        except FileNotFoundError:  # removed since its parent was read
            continue
        except OSError as error:
            unreadable.append(f"{_shown(directory)}: {error.strerror}")


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except PermissionError:  # for reading it to complain of
        return True


def _size(entry: os.DirEntry[bytes]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # rotated away since the directory was read
        return 0
