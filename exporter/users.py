"""Users of this machine: who we are, who a number is, and whose a file is for those who may not read it."""

from __future__ import annotations

import os
import pwd
from pathlib import Path


def name_of(uid: int) -> str:
    """The name of a user; his number, where he has none here."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def user_name() -> str:
    """Who is at the command line: the name of this process's user, which the environment cannot change."""
    return name_of(os.getuid())


def other_owner(file: Path) -> str:
    """Whose a file is that this user may not read, or the first directory above it that stands; empty if he may."""
    for place in (file, *file.parents):
        try:
            status = place.stat()
        except OSError:
            continue
        needed = os.R_OK if place == file else os.X_OK
        if os.access(place, needed):
            return ""
        owner = name_of(status.st_uid)
        return f"user {owner}" if owner.isdecimal() else owner
    return ""
