"""Users of this machine, and whether one of them may write somewhere (permissions alone, without asking the kernel)."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from dataclasses import dataclass
from pathlib import Path

SERVICE_USER = "sutazai"
"""Whom units run as unless told otherwise."""
DOCKER_GROUP = "docker"
USER_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,30}")
"""What every systemd takes for a user's name (systemd.io/USER_NAMES, strict)."""


@dataclass(frozen=True)
class Account:
    """A user by name. `uid` is None where there is none of that name yet."""

    name: str
    uid: int | None
    groups: frozenset[int] = frozenset()

    @property
    def is_root(self) -> bool:
        """Whether permissions do not matter."""
        return self.uid == 0


def account(name: str) -> Account:
    """The user of a name; one that does not exist has no id."""
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):
        return Account(name, None)
    return Account(entry.pw_name, entry.pw_uid, frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid)))


def group_exists(name: str) -> bool:
    """Whether there is such a group: systemd starts no unit that names another."""
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def may_write_to(who: Account, directory: Path) -> bool:
    """Whether a user can make files in a directory that is there."""
    if who.is_root:
        return True
    here = directory.stat()
    if not _allows(here, who, stat.S_IWOTH | stat.S_IXOTH):
        return False
    return all(_allows(above.stat(), who, stat.S_IXOTH) for above in directory.absolute().parents)


def may_reach(who: Account, file: Path) -> bool:
    """Whether a user can come to a file: may go through every directory above it."""
    return who.is_root or all(_allows(above.stat(), who, stat.S_IXOTH) for above in file.absolute().parents)


def _allows(status: os.stat_result, who: Account, bits: int) -> bool:
    """Whether permission bits (as those of others) are given; of owner, group and others one class counts."""
    if status.st_uid == who.uid:
        bits <<= 6
    elif status.st_gid in who.groups:
        bits <<= 3
    return status.st_mode & bits == bits
