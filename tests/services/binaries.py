"""Where the programs of the services are; a test that needs one that is missing is skipped (with CI: fails)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

# Debian keeps daemons where an ordinary user's PATH does not look.
_SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def need(*names: str, package: str) -> str:
    """The path of the first of `names` that is installed; skip the test naming the Debian package if none is."""
    for name in names:
        if path := shutil.which(name, path=_SEARCH):
            return path
    return _missing(names[0], package)


def need_postgres(name: str) -> str:
    """The path of a PostgreSQL program of the newest version that Debian's packages have installed."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    return str(found[-1]) if found else need(name, package="postgresql")


def need_root(purpose: str) -> None:
    """Skip the test unless it runs as root."""
    if os.geteuid() != 0:
        pytest.skip(f"{purpose} needs root")


def _missing(name: str, package: str) -> str:
    pytest.skip(f"{name} is not installed: apt install {package} (or run tests/services/install)")
