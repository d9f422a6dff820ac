"""Whose files are, for those who may not read them."""

from __future__ import annotations

import os
import pwd
from pathlib import Path


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
        try:
            return pwd.getpwuid(status.st_uid).pw_name
        except KeyError:
            return f"user {status.st_uid}"
    return ""
