"""What of the host a container holds in its hands, and who can reach it: mounts, devices, published ports."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jobs.core.addresses import is_everywhere
from jobs.core.containers import clean
from jobs.core.model import Severity
from jobs.security.containers.container import Audited
from jobs.security.containers.flaw import Engine, Flaw
from jobs.security.host_access import ENGINE_SOCKET, has_engine_socket, of_mount, plain
from jobs.security.known_services import known

HARMLESS_DEVICES = re.compile(r"/dev/(null|zero|full|u?random|tty|nvidia.*|dri(/.*)?|kfd|snd(/.*)?)")
"""Graphics cards are what a stack like this is for."""
WHOLE_HOST_DEVICES = re.compile(
    r"/dev(/(k?mem|port|(disk|mapper)(/.*)?|([shv]|xv)d[a-z]+\d*|(nvme|mmcblk|dm-|loop|md)\d.*))?"
)
"""Memory and disks: whoever has them has everything that is in them."""

WEB_PORTS = frozenset((80, 443))
"""What is published to be reached, most often on purpose."""


def judge_mounts(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """What of the host's own file system is in the container."""
    for mount in container.mounts:
        path = plain(mount.source)
        how = "writable" if mount.writable else "read-only"
        if has_engine_socket(path):
            yield Flaw(
                "engine_socket_mounted", ENGINE_SOCKET,
                f"has {clean(path)} of the host ({how}): who can speak to a container engine is root of the host, "
                "also over a socket that is mounted read-only",
                "remove the mount, or put a filtering socket proxy between them", thing=clean(path),
            )  # fmt: skip
        elif (severity := of_mount(path, writable=mount.writable)) is not None:
            yield Flaw(
                "host_directory_mounted", severity, f"has {clean(path)} of the host ({how})",
                "mount only the directory that it needs, read-only where that suffices", thing=clean(path),
            )  # fmt: skip


def judge_devices(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """Devices of the host beyond graphics and sound."""
    for device in map(plain, container.devices):
        if not HARMLESS_DEVICES.fullmatch(device):
            whole = WHOLE_HOST_DEVICES.fullmatch(device)
            yield Flaw(
                "host_device", Severity.CRITICAL if whole else Severity.MEDIUM,
                f"has the host's device {clean(device)}", "remove it from devices", thing=clean(device),
            )  # fmt: skip
    for rule in container.device_rules:
        if rule.split()[:1] == ["a"] or "*:*" in rule:
            yield Flaw(
                "host_device", Severity.CRITICAL, f"may make and use any device (rule {clean(rule, 64)!r})",
                "remove it from device_cgroup_rules", thing=clean(rule, 64),
            )  # fmt: skip


def judge_ports(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """Ports that answer on every address of the host: what the engine publishes goes past most firewalls' rules."""
    everywhere = [one for one in container.published if is_everywhere(one.address)]
    for port, protocol in sorted({(one.port, one.protocol) for one in everywhere}):
        severity, what = _reach(port, protocol)
        yield Flaw(
            "port_published_everywhere", severity,
            f"publishes port {port}/{protocol}{what} on every address of the host, past its firewall",
            f"publish it on loopback, 127.0.0.1:{port}:{port}, or on the one address that needs it",
            thing=f"{port}/{protocol}",
        )  # fmt: skip


def _reach(port: int, protocol: str) -> tuple[Severity, str]:
    if service := known(protocol, port, ""):
        return service.severity, f" ({service.name})"
    return (Severity.INFO if port in WEB_PORTS else Severity.LOW), ""


JUDGES = (judge_mounts, judge_devices, judge_ports)
