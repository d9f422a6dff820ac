"""Which directory trees are looked at in which scope."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from jobs.clients.host import Mount
from jobs.clients.tree import Trees, translate
from jobs.security.filesystem.settings import USUAL, FileSystemSettings

REMOTE = re.compile(r"nfs4?|cifs|smb3|9p|ceph|glusterfs|fuse\..*")
IN_MEMORY = ("/tmp", "/dev/shm", "/run", "/var/tmp")  # noqa: S108
"""Where files are put by everybody, on file systems that are no disk."""


def trees(settings: FileSystemSettings, base_dir: Path, mounts: Sequence[Mount], *, full: bool) -> Trees:
    """The trees of a scope, none within another, and what is left out of them.

    A place that was configured counts even where it is not there: it is missed then. Of the usual ones that is no
    matter. Mount points are never even looked at: a file server that is gone would keep us for ever.
    """
    chosen = settings.full_directories if full else settings.directories
    local = [os.fsdecode(mount.path) for mount in mounts if not REMOTE.fullmatch(mount.kind)]
    if chosen is not None:
        wanted = [base_dir, *(base_dir / path for path in chosen)]
    else:
        usual = [*local, *IN_MEMORY] if full else USUAL
        wanted = [base_dir, *(Path(path) for path in usual if Path(path).is_dir())]
    wanted += [path for path in settings.secret_directories if path.is_absolute()]
    real = [os.path.realpath(path) for path in wanted]
    if settings.other_file_systems:
        real += [point for point in local if _is_below(point, real)]
    excluded = re.compile("|".join(map(translate, settings.exclude)) or r"(?!)", re.DOTALL)
    roots = [root for root in dict.fromkeys(real) if not excluded.fullmatch(root) or root == real[0]]
    points = [os.fsdecode(mount.path) for mount in mounts]
    return Trees(
        outermost(roots, points, excluded), [point for point in points if point not in roots], settings.exclude
    )


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
    return any(path.startswith(f"{root.rstrip('/')}/") for root in roots)
