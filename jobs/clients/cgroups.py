"""What containers use, read from their cgroups: some small files each, where the engine's API takes a second or two.

Both versions and both drivers: a container's group is called `ID` (cgroupfs) or `docker-ID.scope` (systemd), below
`docker`, `system.slice`, the user's own slice (rootless) or a parent that somebody chose. Files and units:
https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.core.usage import Usage, limited, working_set_bytes

_MAX_FILE_BYTES = 65536
_MAX_GROUPS = 50_000
_MAX_DEPTH = 12
_GROUP = re.compile(r"(?:[a-z0-9]+-)?([0-9a-f]{64})(?:\.scope)?")
_USUAL = ("docker", "system.slice")
_CONTROLLERS = ("cpuacct", "memory", "blkio")
_MAX_DIGITS = 24
_RBYTES, _WBYTES = re.compile(rb"\brbytes=(\d{1,20})\b"), re.compile(rb"\bwbytes=(\d{1,20})\b")
# Of version 1. The throttling counts only once somebody has set a limit (Linux 6.10).
_THROTTLING = "blkio.throttle.io_service_bytes_recursive"
_SCHEDULERS = ("blkio.bfq.io_service_bytes_recursive", "blkio.io_service_bytes_recursive")
_READ, _WRITE = re.compile(rb" Read (\d{1,20})\b"), re.compile(rb" Write (\d{1,20})\b")


@dataclass(frozen=True)
class Hierarchies:
    """Where the groups are: the one hierarchy of version 2, or of version 1 one for each controller."""

    unified: Path | None
    controllers: Mapping[str, Path]

    @property
    def roots(self) -> list[Path]:
        """Where to look for a container; the path below is the same in every hierarchy."""
        memory = self.controllers.get("memory") or self.controllers.get("cpuacct")
        return [memory] if memory else [self.unified] if self.unified else []


class Cgroups:
    """The control groups of this machine that can be seen from here.

    From inside a container those of its neighbours usually cannot: then nothing is found, which is no error.
    """

    def __init__(self, mountinfo: Path = Path("/proc/self/mountinfo")) -> None:
        self._mountinfo = mountinfo
        self._parents: list[str] = list(_USUAL)

    def usage(self, ids: Collection[str]) -> dict[str, Usage]:
        """What each of these containers uses; those whose group is not seen, or gone by now, are left out."""
        found = parse_hierarchies(self._mountinfo.read_bytes())
        if found.unified and not found.controllers:
            read = _unified_usage(str(found.unified))
        else:
            read = _split_usage({name: str(place) for name, place in found.controllers.items()})
        paths = self._paths(found, set(ids))
        return {one: usage for one, path in paths.items() if (usage := read(path)) is not None}

    def _paths(self, found: Hierarchies, ids: set[str]) -> dict[str, str]:
        """The groups of the containers: looked for where they usually are, the rest in the whole tree."""
        paths: dict[str, str] = {}
        for root in found.roots:
            for parent in self._parents:
                paths.update(_matching(_children(root / parent), ids, parent))
            if len(paths) < len(ids):
                paths.update(_walked(root, ids - paths.keys()))
        # A program that asks again need not search again.
        self._parents = list(dict.fromkeys([*_USUAL, *(path.rpartition("/")[0] for path in paths.values())]))
        return paths


def parse_hierarchies(mountinfo: bytes) -> Hierarchies:
    """Given `/proc/self/mountinfo` (proc_pid_mountinfo(5)), return where cgroups are mounted."""
    unified: Path | None = None
    controllers: dict[str, Path] = {}
    for line in mountinfo.splitlines():
        fields = line.split(b" ")
        if b"-" not in fields:
            continue
        kind, _, options = (*fields[fields.index(b"-") + 1 :], b"", b"", b"")[:3]
        place = Path(os.fsdecode(fields[4]))
        if kind == b"cgroup2":
            unified = place
        elif kind == b"cgroup":
            names = set(options.decode(errors="replace").split(","))
            controllers |= {name: place for name in _CONTROLLERS if name in names}
    return Hierarchies(unified, controllers)


def _children(directory: Path) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:  # there is no such group, or no more
        return []


def _matching(names: Iterable[str], ids: set[str], parent: str) -> Iterator[tuple[str, str]]:
    for name in names:
        match = _GROUP.fullmatch(name)
        if match and match[1] in ids:
            yield match[1], f"{parent}/{name}"


def _walked(root: Path, ids: set[str]) -> dict[str, str]:
    """The groups of `ids` wherever they are below `root`, looked for level by level."""
    found: dict[str, str] = {}
    level, left = ["."], _MAX_GROUPS
    for _ in range(_MAX_DEPTH):
        below: list[str] = []
        for parent in level:
            names = _children(root / parent)
            found.update(_matching(names, ids, parent))
            below += [f"{parent}/{name}" for name in names if not _GROUP.fullmatch(name)]
            left -= 1
            if left < 0 or len(found) == len(ids):
                return found
        level = below
    return found


def _unified_usage(root: str) -> Callable[[str], Usage | None]:
    def read(path: str) -> Usage | None:
        group = f"{root}/{path}"
        microseconds = _after(_content(group, "cpu.stat"), b"usage_usec ")
        current, io = _number(_content(group, "memory.current")), _content(group, "io.stat")
        if microseconds is None and current is None:
            return None
        return Usage(
            cpu_seconds=None if microseconds is None else microseconds / 1e6,
            memory_bytes=_working_set(current, _content(group, "memory.stat"), b"\ninactive_file "),
            limit_bytes=limited(_number(_content(group, "memory.max")) or 0),
            read_bytes=_device_sum(io, _RBYTES),
            written_bytes=_device_sum(io, _WBYTES),
        )

    return read


def _split_usage(controllers: Mapping[str, str]) -> Callable[[str], Usage | None]:
    cpuacct, memory, blkio = (controllers.get(name, "/nonexistent") for name in _CONTROLLERS)
    transferred = _who_counts(blkio)

    def read(path: str) -> Usage | None:
        nanoseconds = _number(_content(f"{cpuacct}/{path}", "cpuacct.usage"))
        group = f"{memory}/{path}"
        used, details = _number(_content(group, "memory.usage_in_bytes")), _content(group, "memory.stat")
        io = _content(f"{blkio}/{path}", transferred)
        if nanoseconds is None and used is None:
            return None
        return Usage(
            cpu_seconds=None if nanoseconds is None else nanoseconds / 1e9,
            memory_bytes=_working_set(used, details, b"\ntotal_inactive_file "),
            limit_bytes=limited(_after(details, b"\nhierarchical_memory_limit ") or 0),
            read_bytes=_device_sum(io, _READ),
            written_bytes=_device_sum(io, _WRITE),
        )

    return read


def _who_counts(blkio: str) -> str:
    """The file that tells bytes on this host: that of the disk's scheduler, where it counts, else the throttling's."""
    for name in _SCHEDULERS:
        content = _content(blkio, name)
        if _device_sum(content, _READ) or _device_sum(content, _WRITE):
            return name
    return _THROTTLING


def _content(group: str, name: str) -> bytes | None:
    """A file of a group; None in a group that is gone, or has no such controller."""
    try:
        descriptor = os.open(f"{group}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return os.read(descriptor, _MAX_FILE_BYTES)
    except OSError:  # ENODEV: the group went away while its file was open
        return None
    finally:
        os.close(descriptor)


def _working_set(used: int | None, details: bytes | None, inactive: bytes) -> int | None:
    return None if used is None else working_set_bytes(used, _after(details, inactive) or 0)


def _after(content: bytes | None, name: bytes) -> int | None:
    """The number in the line that begins with `name`; some dozens of others are not looked at."""
    _, found, rest = (content or b"").partition(name)
    return _number(rest[:_MAX_DIGITS].partition(b"\n")[0]) if found else None


def _number(content: bytes | None) -> int | None:
    """A file that holds a number, None for `max`."""
    digits = (content or b"").rstrip()
    return int(digits) if digits.isdigit() and len(digits) < _MAX_DIGITS else None


def _device_sum(content: bytes | None, pattern: re.Pattern[bytes]) -> int | None:
    """The sum over all devices; a group that has done none has an empty file."""
    return None if content is None else sum(int(number) for number in pattern.findall(content))
