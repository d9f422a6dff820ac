"""What a unit is allowed: little for all of them, and beyond that what its task needs (systemd.exec(5)).

`systemd-analyze security` puts each at 2.0 or below as long as its user is not root. Docker's socket makes its user as
good as root all the same: the sandbox guards against mistakes and what is parsed, not against the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

FILES = ("CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER")
"""Each task writes into the base directory, where files are root's and others' as well."""
CACHE = "sutazai-exporter"
HOME = Path("/var/cache") / CACHE
_HIDDEN_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
_PRIVATE_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 (looked for, not used)

_ALWAYS = (
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "PrivateDevices=yes",
    "PrivateMounts=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    # With CAP_SYS_PTRACE every process is seen all the same.
    "ProtectProc=invisible",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "KeyringMode=private",
    "SystemCallArchitectures=native",
    "SystemCallErrorNumber=EPERM",
    "UMask=0027",
)


@dataclass(frozen=True)
class Needs:
    """What a unit cannot do without, beside `FILES`. `as_root` are capabilities that only root makes use of.

    `network` false: what it does needs none but the engine's socket. `netlink`: it lists addresses and packet filters.
    """

    capabilities: tuple[str, ...] = ()
    as_root: tuple[str, ...] = ()
    network: bool = True
    netlink: bool = False


_OWN_SERVER = ("CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_SYS_ADMIN")
"""As root, a private PostgreSQL server becomes another user's and loses its network."""
TASKS = {
    # Keys belong to whom they belonged to; `nginx -s reload` and its like send a signal.
    "certificate-renewal": Needs(("CAP_CHOWN", "CAP_KILL")),
    # Archives and new logs keep their owner; writers are found among all processes, signalled, or proved absent.
    "log-rotation": Needs(("CAP_CHOWN", "CAP_KILL", "CAP_LEASE", "CAP_SYS_PTRACE"), network=False),
    # Packet filters are listed. Whose a listening port is takes CAP_SYS_PTRACE as well, which root gets.
    "security-scan": Needs(("CAP_NET_ADMIN",), as_root=("CAP_SYS_PTRACE",), netlink=True),
    "backup-verification": Needs(as_root=_OWN_SERVER),
}
DAEMON = Needs(("CAP_KILL", "CAP_LEASE", "CAP_SYS_PTRACE"), as_root=(*_OWN_SERVER, "CAP_NET_ADMIN"), netlink=True)
"""All tasks in one unit: what would take it beyond 2.0 (owners of keys and archives, packet filters) only root gets."""


@dataclass(frozen=True)
class Sandbox:
    """The sandbox of one unit: its user and supplementary groups, what it needs, and where it may write.

    `reads` are files that it must see wherever they are.
    """

    user: str
    groups: Sequence[str] = ()
    needs: Needs = field(default_factory=Needs)
    writes: Sequence[Path] = ()
    reads: Sequence[Path] = ()

    def directives(self) -> list[str]:
        """The lines for [Service], without paths' quoting, which `units` adds."""
        return [f"User={self.user}", *self._groups(), *self._privileges(), *_ALWAYS, *self._places(), *self._network()]

    def _groups(self) -> list[str]:
        return [f"SupplementaryGroups={' '.join(self.groups)}"] if self.groups else []

    @property
    def _is_root(self) -> bool:
        return self.user == "root"

    def _privileges(self) -> list[str]:
        own = (*FILES, *self.needs.capabilities, *(self.needs.as_root if self._is_root else ()))
        names = " ".join(dict.fromkeys(own))
        lines = [f"CapabilityBoundingSet={names}", *([] if self._is_root else [f"AmbientCapabilities={names}"])]
        lines += ["SystemCallFilter=@system-service", "SystemCallFilter=~@privileged @resources"]
        allowed = "@chown @setuid" if "CAP_SETUID" in own else "@chown" if "CAP_CHOWN" in own else ""
        if allowed:
            lines.append(f"SystemCallFilter={allowed}")
        namespaces = "net" if "CAP_SYS_ADMIN" in own else "yes"
        return [*lines, f"RestrictNamespaces={namespaces}"]

    def _places(self) -> list[str]:
        seen = (*self.writes, *self.reads)
        homes = any(_is_below(path, _HIDDEN_HOMES) for path in seen)
        temporary = any(_is_below(path, _PRIVATE_TEMPORARY) for path in seen)
        return [f"ProtectHome={'read-only' if homes else 'yes'}", f"PrivateTmp={'no' if temporary else 'yes'}"]

    def _network(self) -> list[str]:
        if not self.needs.network:
            return ["PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX", "IPAddressDeny=any"]
        netlink = " AF_NETLINK" if self.needs.netlink else ""
        return [f"RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6{netlink}"]


def _is_below(path: Path, places: Sequence[Path]) -> bool:
    return any(path.is_relative_to(place) for place in places)
