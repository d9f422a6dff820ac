"""What a directory tree holds, so that a test can say that nothing in it has changed."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path


def tree_digest(path: Path) -> dict[str, str]:
    """Each name below `path` with its kind, mode, owner, size and content (a link's target); times are left out.

    Two digests are compared with `==`, and pytest shows the names that differ.
    """
    return {str(found.relative_to(path)): _describe(found) for found in sorted([path, *path.rglob("*")])}


def _describe(path: Path) -> str:
    status = path.lstat()
    head = f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid}"
    if path.is_symlink():
        return f"{head} -> {path.readlink()}"
    if path.is_file():
        return f"{head} {status.st_size} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return head
