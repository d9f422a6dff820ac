"""How far a container is kept apart from its host: privileges, namespaces, capabilities, security profiles."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.core.model import Severity
from jobs.security.containers.container import Audited
from jobs.security.containers.flaw import Engine, Flaw

NAMESPACES = {
    "pid": (Severity.HIGH, "sees and may signal every process of the host (pid: host)"),
    "network": (Severity.MEDIUM, "uses the host's network: it can listen anywhere, and reach what listens on loopback"),
    "ipc": (Severity.MEDIUM, "shares the host's memory segments and message queues (ipc: host)"),
    "user": (Severity.MEDIUM, "opts out of the remapping of users (userns_mode: host)"),
    "uts": (Severity.LOW, "may change the host's name (uts: host)"),
}
USUAL_CAPABILITIES = frozenset((
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
CAPABILITIES = {
    **dict.fromkeys(_WHOLE_HOST, Severity.CRITICAL),
    **dict.fromkeys(_MUCH_OF_IT, Severity.HIGH),
    **dict.fromkeys(_LITTLE, Severity.LOW),
}
"""How much each gives away (capabilities(7)); the others are medium."""


def judge_privileged(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """`--privileged` takes the whole isolation away."""
    if container.privileged:
        yield Flaw(
            "privileged_container", Severity.CRITICAL,
            "is privileged: root in it is root of the host, with every device and capability",
            "remove privileged: true, and give it the one device or capability that it needs",
        )  # fmt: skip


def judge_namespaces(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """Namespaces of the host that the container lives in."""
    for kind, (severity, says) in NAMESPACES.items():
        if kind in container.host_namespaces:
            remedy = "publish the ports that are needed" if kind == "network" else f"remove the {kind} mode 'host'"
            yield Flaw(f"host_{kind}_namespace", severity, says, remedy)


def judge_user(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """Root in a container is root on the host, once it gets out; not where the engine remaps users."""
    if container.is_root:
        remapped = engine.remaps_root and "user" not in container.host_namespaces
        yield Flaw(
            "root_user", Severity.LOW if remapped else Severity.MEDIUM, "runs as root",
            "set user: (or USER in the image) to a number other than 0",
        )  # fmt: skip


def judge_capabilities(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """Capabilities beyond those that every container has."""
    for name in container.capabilities:
        if name not in USUAL_CAPABILITIES:
            yield Flaw(
                "added_capability", CAPABILITIES.get(name, Severity.MEDIUM), f"has the capability {name}",
                f"remove {name} from cap_add", thing=name,
            )  # fmt: skip


def judge_profiles(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """Profiles that were switched off. A privileged container never has them: that is told once."""
    if container.privileged:
        return
    if "seccomp=unconfined" in container.security_options:
        yield Flaw(
            "seccomp_unconfined", Severity.HIGH, "may use every system call (seccomp=unconfined)",
            "remove seccomp=unconfined from security_opt",
        )  # fmt: skip
    if "apparmor=unconfined" in container.security_options:
        yield Flaw(
            "apparmor_unconfined", Severity.MEDIUM, "has no AppArmor profile (apparmor=unconfined)",
            "remove apparmor=unconfined from security_opt",
        )  # fmt: skip
    if not container.masked:
        yield Flaw(
            "system_paths_unconfined", Severity.HIGH, "sees what is hidden of /proc and /sys (systempaths=unconfined)",
            "remove systempaths=unconfined from security_opt",
        )  # fmt: skip


def judge_new_privileges(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """Whether a set-user-ID program in the container can make its caller root."""
    said = next((o for o in container.security_options if o.startswith("no-new-privileges")), None)
    forbidden = engine.no_new_privileges if said is None else not said.endswith("=false")
    if not forbidden:
        yield Flaw(
            "new_privileges_allowed", Severity.LOW, "lets its programs gain privileges (set-user-ID)",
            "add no-new-privileges:true to security_opt",
        )  # fmt: skip


JUDGES = (
    judge_privileged, judge_namespaces, judge_user, judge_capabilities, judge_profiles, judge_new_privileges,
)  # fmt: skip
