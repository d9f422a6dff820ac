"""What a process has cost so far, what this machine is, and where its programs are."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import time
from pathlib import Path

from benchmarks.harness import NotMeasured

# Debian keeps daemons where an ordinary user's PATH does not look.
_SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def need(*names: str, package: str) -> str:
    """The path of the first of `names` that is installed; raise NotMeasured naming the Debian package."""
    for name in names:
        if path := shutil.which(name, path=_SEARCH):
            return path
    raise NotMeasured(f"{names[0]} is not installed: apt install {package}")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads, to the nanosecond.

    (The process's CPU clock, whose id clock_getcpuclockid(3) computes so.)
    """
    return time.clock_gettime(~pid << 3 | 2)


def cpu_seconds_with_children(pid: int) -> float:
    """User and system time of a process and of its children that have ended, to the tick (10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS_PER_SECOND


def resident_mb(pid: int) -> float:
    """Resident memory in MB (10^6 bytes)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def raise_descriptor_limit(wanted: int) -> None:
    """Let this process and its children open `wanted` files; raise NotMeasured where that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    except (ValueError, OSError):
        raise NotMeasured(f"needs {wanted} open files and may have {hard}: raise it with ulimit -n") from None


def describe() -> str:
    """The machine in one line: what matters for the figures, and nothing that names it."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, {system}, Python {platform.python_version()}"
