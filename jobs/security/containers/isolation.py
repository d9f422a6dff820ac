"""How far a container is kept apart from its host: privileges, namespaces, capabilities, security profiles."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.core.model import Severity
from jobs.security.containers.container import Audited
from jobs.security.containers.flaw import Engine, Flaw
from jobs.security.host_access import CONFINEMENTS, NAMESPACES, PRIVILEGED, of_capability

_NAMESPACES = {
    "pid": "sees and may signal every process of the host (pid: host)",
    "network": "uses the host's network: it can listen anywhere, and reach what listens on loopback",
    "ipc": "shares the host's memory segments and message queues (ipc: host)",
    "user": "opts out of the remapping of users (userns_mode: host)",
    "uts": "may change the host's name (uts: host)",
}
_CONFINEMENTS = {
    "seccomp=unconfined": ("seccomp_unconfined", "may use every system call"),
    "apparmor=unconfined": ("apparmor_unconfined", "has no AppArmor profile"),
    "systempaths=unconfined": ("system_paths_unconfined", "sees what is hidden of /proc and /sys"),
}


def judge_privileged(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """`--privileged` takes the whole isolation away."""
    if container.privileged:
        yield Flaw(
            "privileged_container", PRIVILEGED,
            "is privileged: root in it is root of the host, with every device and capability",
            "remove privileged: true, and give it the one device or capability that it needs",
        )  # fmt: skip


def judge_namespaces(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """Namespaces of the host that the container lives in."""
    for kind, says in _NAMESPACES.items():
        if kind in container.host_namespaces:
            remedy = "publish the ports that are needed" if kind == "network" else f"remove the {kind} mode 'host'"
            yield Flaw(f"host_{kind}_namespace", NAMESPACES[kind], says, remedy)


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
        if severity := of_capability(name):
            remedy = f"remove {name} from cap_add"
            yield Flaw("added_capability", severity, f"has the capability {name}", remedy, thing=name)


def judge_profiles(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """Profiles that were switched off. A privileged container never has them: that is told once."""
    if container.privileged:
        return
    off = container.security_options if container.masked else {*container.security_options, "systempaths=unconfined"}
    for option, (rule, says) in _CONFINEMENTS.items():
        if option in off:
            yield Flaw(rule, CONFINEMENTS[option], f"{says} ({option})", f"remove {option} from security_opt")


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
