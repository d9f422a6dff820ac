"""What of its host a container can be given, and how bad it is: in one that was made, and in a file that makes it."""

from __future__ import annotations

import posixpath
import re

from jobs.core.model import Severity

_C, _H, _M, _L = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW

PRIVILEGED = _C
"""The whole isolation is off: root in it is root of the host."""
NAMESPACES = {"pid": _H, "network": _M, "ipc": _M, "user": _M, "uts": _L}
"""Namespaces of the host's own that it lives in."""
CONFINEMENTS = {
    "seccomp=unconfined": _H, "systempaths=unconfined": _H, "apparmor=unconfined": _M, "label=disable": _M,
}  # fmt: skip
"""Security options that switch off one of the engine's (or SELinux's) confinements."""

_USUAL = frozenset((
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
    "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
))  # fmt: skip
"""What every container has unless it drops it (moby's oci/caps/defaults.go); added after `cap_drop: ALL` it is care."""
_WHOLE_HOST = ("ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO")
_MUCH_OF_IT = (
    "BPF", "CHECKPOINT_RESTORE", "DAC_READ_SEARCH", "MAC_ADMIN", "MAC_OVERRIDE", "NET_ADMIN", "PERFMON", "SYS_BOOT",
    "SYS_PTRACE",
)  # fmt: skip
_LITTLE = ("BLOCK_SUSPEND", "IPC_LOCK", "SYS_NICE", "SYS_RESOURCE", "WAKE_ALARM")
_CAPABILITIES = {
    **dict.fromkeys(_USUAL),
    **dict.fromkeys(_WHOLE_HOST, _C),
    **dict.fromkeys(_MUCH_OF_IT, _H),
    **dict.fromkeys(_LITTLE, _L),
}

ENGINE_SOCKET = _C
"""Who can speak to a container engine is root of the host, also over a socket that is mounted read-only."""
_SOCKETS = re.compile(r"(docker|containerd|podman|crio|cri-dockerd|buildkitd)\.sock")
_SOCKET_DIRECTORIES = frozenset(("/run", "/run/docker", "/run/containerd", "/run/podman", "/run/crio"))
_DIRECTORIES = {
    "/": (_C, _H), "/boot": (_C, _M), "/dev": (_C, _H), "/etc": (_C, _H), "/home": (_H, _M), "/proc": (_C, _L),
    "/root": (_C, _H), "/sys": (_H, _L), "/usr": (_C, _L), "/bin": (_C, _L), "/sbin": (_C, _L), "/lib": (_C, _L),
    "/lib64": (_C, _L), "/opt": (_H, _L), "/srv": (_M, _L), "/var": (_C, _H), "/var/lib": (_C, _H),
    "/var/lib/docker": (_C, _H), "/var/lib/containerd": (_C, _H), "/var/lib/kubelet": (_C, _H),
    "/var/log": (_M, _L), "/var/spool/cron": (_C, _L),
}  # fmt: skip
"""Directories of the host that are not meant for a container: how bad it is to write there, and how bad to read."""
_BELOW = {
    "/etc/shadow": (_C, _H), "/etc/gshadow": (_C, _H), "/etc/passwd": (_C, _L), "/etc/group": (_C, _L),
    "/etc/sudoers": (_C, _L), "/etc/sudoers.d": (_C, _L), "/etc/ssh": (_C, _H), "/etc/pam.d": (_C, _L),
    "/etc/cron.d": (_C, _L), "/etc/cron.daily": (_C, _L), "/etc/crontab": (_C, _L), "/etc/systemd": (_C, _L),
    "/etc/ld.so.preload": (_C, _L), "/etc/kubernetes": (_C, _H), "/etc/docker": (_C, _M), "/root/.ssh": (_C, _H),
    "/usr/bin": (_C, _L), "/usr/sbin": (_C, _L), "/usr/local/bin": (_C, _L), "/boot": (_C, _M),
    "/var/lib/docker": (_C, _M), "/var/lib/containerd": (_C, _M), "/var/lib/kubelet": (_C, _M),
}  # fmt: skip
"""The same, with everything below them."""


def of_capability(name: str) -> Severity | None:
    """How much a capability (without `CAP_`) gives away (capabilities(7)); None for one that every container has."""
    return _CAPABILITIES.get(name, _M)


def plain(path: str) -> str:
    """A path of the host as the host itself calls it: /var/run is a link to /run."""
    path = posixpath.normpath("/" + path.lstrip("/"))
    return path.removeprefix("/var") if path == "/var/run" or path.startswith("/var/run/") else path


def has_engine_socket(path: str) -> bool:
    """Whether a plain path is an engine's socket, or a directory with one."""
    return _SOCKETS.fullmatch(posixpath.basename(path)) is not None or path in _SOCKET_DIRECTORIES


def of_mount(path: str, *, writable: bool) -> Severity | None:
    """How bad it is to have a plain path of the host in a container; None where nothing is."""
    below = (grades for parent, grades in _BELOW.items() if f"{path}/".startswith(f"{parent}/"))
    grades = _DIRECTORIES.get(path) or next(below, None)
    return None if grades is None else grades[0 if writable else 1]
