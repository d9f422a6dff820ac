"""The sandbox of a unit without systemd as PID 1: what of it can be had by the same calls of the kernel.

Stood for are: the user, its capabilities (bounding and ambient), no new privileges, a file system that is read-only but
for ReadWritePaths, a network of its own, and system calls that are denied (by strace, which makes them fail as seccomp
would). Left out are ProtectHome, PrivateTmp, PrivateDevices, the Protect* of the kernel and the limits of namespaces.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.services.binaries import need

_MOUNTS = """
set -e
mount --make-rprivate /
while [ "$1" != -- ]; do mount --bind "$1" "$1"; writable="$writable $1"; shift; done
shift
while read -r _ _ _ _ place _; do
    case "$place" in /proc|/proc/*|/dev|/dev/*|/sys|/sys/*) continue ;; esac
    case " $writable " in *" $place "*) continue ;; esac
    # A mount of somebody else may be gone by now, and its directory with it.
    said=$(mount -o remount,bind,ro "$place" 2>&1) || [ ! -e "$place" ] || { echo "$said" >&2; exit 1; }
done < /proc/self/mountinfo
exec "$@"
"""


class UnitSandbox:
    """What the text of a unit asks for, as a command to run others under; it ends in exec."""

    def __init__(self, text: str, *, uid: int) -> None:
        self._lines = [line for line in text.splitlines() if "=" in line and not line.startswith("#")]
        self._uid = uid

    def values(self, name: str) -> list[str]:
        """The values of a directive, in order."""
        return [line.partition("=")[2] for line in self._lines if line.startswith(f"{name}=")]

    def environment(self) -> dict[str, str]:
        """The unit's own environment."""
        return dict(value.strip('"').split("=", 1) for value in self.values("Environment"))

    def prefix(self) -> list[str]:
        """The command: what comes after it runs as the unit would."""
        writable = [value.removeprefix("-") for value in self.values("ReadWritePaths")]
        there = [place for place in writable if Path(place).exists()]
        network = ["--net"] if self.values("PrivateNetwork") == ["yes"] else []
        return [
            *("unshare", "--mount", *network, "sh", "-c", _MOUNTS, "sh", *there, "--"),
            *self._identity(),
            *self._denied(),
        ]

    def _identity(self) -> list[str]:
        bounding, ambient = (
            ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in self._names(directive))])
            for directive in ("CapabilityBoundingSet", "AmbientCapabilities")
        )
        return [
            *("setpriv", f"--reuid={self._uid}", f"--regid={self._uid}", "--clear-groups", "--no-new-privs"),
            *(f"--inh-caps={ambient}", f"--ambient-caps={ambient}", f"--bounding-set={bounding}"),
        ]

    def _names(self, directive: str) -> list[str]:
        return [name for value in self.values(directive) for name in value.split()]

    def _denied(self) -> list[str]:
        names: dict[str, None] = {}
        for value in self.values("SystemCallFilter")[1:]:  # the first one allows what most services call
            sets = value.removeprefix("~").split()
            if value.startswith("~"):
                names |= dict.fromkeys(_system_calls(sets))
            else:
                names = {name: None for name in names if name not in set(_system_calls(sets))}
        calls = ",".join(f"?{name}" for name in names)
        return [need("strace", package="strace"), "-f", "-qq", "-o", "/dev/null", "-e", f"inject={calls}:error=EPERM"]


def _system_calls(sets: Iterable[str]) -> list[str]:
    """The system calls of systemd's sets, those within them included."""
    found: list[str] = []
    for name in sets:
        if not name.startswith("@"):
            found.append(name)
            continue
        listed = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
        inner = [line.strip() for line in listed.stdout.splitlines()[1:]]
        found += _system_calls([one for one in inner if re.fullmatch(r"@?\w+(-\w+)*", one)])
    return found
