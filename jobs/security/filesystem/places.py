"""Which directory trees are looked at in which scope."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.clients.host import Host
from jobs.clients.tree import Trees, mount_points, translate
from jobs.security.filesystem.settings import KEPT_BY_US, SEARCHED, USUAL, FileSystemSettings, Paths

REMOTE = re.compile(r"nfs4?|cifs|smb3|9p|ceph|glusterfs|fuse\..*")
IN_MEMORY = ("/tmp", "/dev/shm", "/run", "/var/tmp")  # noqa: S108
"""Where files are put by everybody, on file systems that are no disk."""


@dataclass(frozen=True)
class Mounts:
    """Where file systems are mounted: `local` ones on this machine's disks, `remote` ones, and the `points` of all."""

    local: Sequence[str]
    remote: Sequence[str]
    points: Sequence[str]


def mounted(host: Host) -> Mounts:
    """Where file systems are mounted now."""
    local: list[str] = []
    remote: list[str] = []
    for mount in host.mounts():
        (remote if REMOTE.fullmatch(mount.kind) else local).append(os.fsdecode(mount.path))
    return Mounts(local, remote, mount_points())


def checked(settings: FileSystemSettings, base_dir: Path, mounts: Mounts, *, full: bool) -> Trees:
    """The trees whose modes are checked. A place that was configured counts even where it is not there: it is missed.

    Of the usual places those count that are there.
    """
    chosen: Paths | None = settings.full_directories if full else settings.directories
    if chosen is None:
        usual = [*mounts.local, *IN_MEMORY] if full else USUAL
        chosen = _present(map(Path, usual), mounts)
    chosen += tuple(path for path in settings.secret_directories if path.is_absolute())
    return _trees([base_dir, *chosen], mounts, settings.exclude, others=settings.other_file_systems)


def searched(settings: FileSystemSettings, base_dir: Path, mounts: Mounts, *, full: bool) -> Trees:
    """The trees that are searched for secrets; what a base directory keeps them in is left out."""
    chosen: Paths = settings.search_directories
    if full and settings.full_search_directories is None:
        chosen += _present(map(Path, SEARCHED), mounts)
    elif full and settings.full_search_directories:
        chosen += settings.full_search_directories
    found = _trees(
        [base_dir, *chosen], mounts, (*settings.exclude, *settings.search_exclude), others=settings.other_file_systems
    )
    kept = [os.path.realpath(base_dir / path) for path in (*settings.secret_directories, *map(Path, KEPT_BY_US))]
    return Trees(found.roots, [*found.skipped, *kept], found.patterns)


def _trees(wanted: Sequence[Path], mounts: Mounts, exclude: Sequence[str], *, others: bool) -> Trees:
    """None of the roots within another. Mount points are not even looked at: a dead server would keep us for ever."""
    base, *rest = [os.path.realpath(wanted[0] / path) for path in wanted]
    if others:
        rest += [point for point in mounts.local if _is_below(point, [base, *rest])]
    excluded = re.compile("|".join(map(translate, exclude)) or r"(?!)", re.DOTALL)
    roots = [base, *(root for root in rest if not excluded.fullmatch(root))]
    skipped = [point for point in mounts.points if point not in roots]
    return Trees(outermost(roots, mounts.points, excluded), skipped, exclude)


def _present(paths: Iterable[Path], mounts: Mounts) -> Paths:
    """Those that are there. A file server is not asked: a dead one would never answer."""
    return tuple(path for path in paths if not _is_below(f"{path}", mounts.remote) and path.is_dir())


def outermost(roots: Iterable[str], mount_points: Iterable[str], excluded: re.Pattern[str]) -> list[str]:
    """The roots that are not reached from another one: with no mount point and nothing excluded in between."""
    borders = frozenset(mount_points)
    known = frozenset(roots)

    def is_reached(root: str) -> bool:
        path = root
        while path != "/" and path not in borders and not excluded.fullmatch(path):
            path = os.path.dirname(path)  # noqa: PTH120
            if path in known:
                return True
        return False

    return [root for root in sorted(known) if not is_reached(root)]


def _is_below(path: str, roots: Sequence[str]) -> bool:
    return any(f"{path}/".startswith(f"{root.rstrip('/')}/") for root in roots)
