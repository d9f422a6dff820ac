"""The scanner of the kernel's network settings: hints for a host that is to be hardened, none of them urgent.

What holds for an interface comes of its own setting and that of `all`: the larger, both together, or either, as each
setting has it (https://docs.kernel.org/networking/ip-sysctl.html and include/linux/inetdevice.h).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from jobs.clients import kernel
from jobs.core.model import Severity
from jobs.security.scanner import Area, Look, Scanner, Weakness

Values = Mapping[str, int]


@dataclass(frozen=True)
class Hint:
    """A setting of every interface: `weak` says of its own value, that of `all` and whether it forwards."""

    version: int
    name: str
    wanted: int
    severity: Severity
    why: str
    weak: Callable[[int, int, bool], bool]


HINTS = (
    Hint(4, "accept_source_route", 0, Severity.LOW, "senders choose the way of packets", lambda own, all_, _: own > 0 < all_),
    Hint(6, "accept_source_route", 0, Severity.LOW, "senders choose the way of packets", lambda own, all_, _: min(own, all_) > 0),
    Hint(
        4, "accept_redirects", 0, Severity.LOW, "whoever is on the network can lead its traffic over himself",
        lambda own, all_, forwards: (own > 0 < all_) if forwards else (own > 0 or all_ > 0),
    ),
    Hint(
        6, "accept_redirects", 0, Severity.LOW, "whoever is on the network can lead its traffic over himself",
        lambda own, _, forwards: own > 0 and not forwards,
    ),
    Hint(4, "rp_filter", 2, Severity.LOW, "packets with forged senders come in", lambda own, all_, _: max(own, all_) == 0),
)  # fmt: skip
_SINGLE = {
    "ipv4/tcp_syncookies": (lambda value: value == 0, 1, Severity.LOW, "a flood of SYN packets keeps others out"),
    "ipv4/icmp_echo_ignore_broadcasts": (lambda value: value == 0, 1, Severity.LOW, "it takes part in floods of ICMP"),
    "ipv4/ip_forward": (
        lambda value: value == 1, 0, Severity.INFO, "it passes on packets of others; containers and VPNs need that",
    ),
    "ipv6/conf/all/forwarding": (
        lambda value: value == 1, 0, Severity.INFO, "it passes on packets of others; containers and VPNs need that",
    ),
}  # fmt: skip


def scan(look: Look) -> None:
    """Tell which settings are not as a hardened host has them."""
    names = list(_names())
    found = kernel.values(names)
    look.scanned(len(found))
    for weakness in judge(found):
        look.found(weakness)


def _names() -> Iterator[str]:
    yield from _SINGLE
    for version in (4, 6):
        for interface in kernel.interfaces(version):
            yield f"ipv{version}/conf/{interface}/forwarding"
            yield from (f"ipv{version}/conf/{interface}/{hint.name}" for hint in HINTS if hint.version == version)


def judge(found: Values) -> list[Weakness]:
    """Given the values by name (`ipv4/conf/all/rp_filter`), return what is weak."""
    weaknesses = []
    for name, (weak, wanted, severity, why) in _SINGLE.items():
        if name in found and weak(found[name]):
            weaknesses.append(_weakness(name.replace("/", "."), severity, f"{why}", wanted))
    for hint in HINTS:
        weak_ones = list(_weak_interfaces(hint, found))
        if weak_ones:
            subject = f"ipv{hint.version}.conf.*.{hint.name}"
            on = f"{', '.join(weak_ones[:5])}{' and others' if len(weak_ones) > 5 else ''}"
            weaknesses.append(_weakness(subject, hint.severity, f"{hint.why} ({on})", hint.wanted))
    return weaknesses


def _weak_interfaces(hint: Hint, found: Values) -> Iterator[str]:
    start, end = f"ipv{hint.version}/conf/", f"/{hint.name}"
    of_all = found.get(f"{start}all{end}", 0)
    for name, own in found.items():
        interface = name.removeprefix(start).removesuffix(end)
        if name == f"{start}{interface}{end}" and interface not in ("all", "lo"):
            forwards = found.get(f"{start}{interface}/forwarding", 0) > 0
            if hint.weak(own, of_all, forwards):
                yield interface


def _weakness(name: str, severity: Severity, why: str, wanted: int) -> Weakness:
    setting = f"net.{name}"
    return Weakness(
        rule="kernel_setting",
        subject=setting,
        severity=severity,
        message=f"{setting}: {why}",
        remedy=f"write {setting.replace('*', 'all')} = {wanted} (and the same for default) in /etc/sysctl.d"
        if "*" in setting
        else f"write {setting} = {wanted} in /etc/sysctl.d",
    )


KERNEL = Scanner("kernel", Area.NETWORK, "Settings of the kernel's network", "settings", scan, full_only=True)
