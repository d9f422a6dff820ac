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
    """A setting that is best at `wanted`. `weak` is given an interface's own value, that of `all`, and whether

    the interface passes on packets of others.
    """

    name: str
    wanted: int
    severity: Severity
    why: str
    weak: Callable[[int, int, bool], bool]


def _either(own: int, of_all: int, forwards: bool) -> bool:
    # A host takes a redirect where either lets it, a router where both do (IN_DEV_RX_REDIRECTS).
    return min(own, of_all) > 0 if forwards else max(own, of_all) > 0


def _both(own: int, of_all: int, forwards: bool) -> bool:
    return min(own, of_all) > 0


def _own_unless_forwarding(own: int, of_all: int, forwards: bool) -> bool:
    return own > 0 and not forwards


def _neither(own: int, of_all: int, forwards: bool) -> bool:
    return max(own, of_all) == 0


_LED_ASTRAY = "whoever is on its network can lead its traffic over himself"
_ROUTED = "senders choose the way of their packets"
_PASSES_ON = "it passes on packets of others; containers and VPNs need that"
HINTS = {
    4: (
        Hint("accept_redirects", 0, Severity.LOW, _LED_ASTRAY, _either),
        Hint("accept_source_route", 0, Severity.LOW, _ROUTED, _both),
        Hint("rp_filter", 2, Severity.LOW, "packets with forged senders come in", _neither),
    ),
    6: (
        Hint("accept_redirects", 0, Severity.LOW, _LED_ASTRAY, _own_unless_forwarding),
        Hint("accept_source_route", 0, Severity.LOW, _ROUTED, _both),
    ),
}
"""Settings of each interface, by version of IP."""
_SINGLE = (
    Hint("ipv4/tcp_syncookies", 1, Severity.LOW, "a flood of SYN packets keeps others out", _neither),
    Hint("ipv4/icmp_echo_ignore_broadcasts", 1, Severity.LOW, "it takes part in floods of ICMP", _neither),
    Hint("ipv4/ip_forward", 0, Severity.INFO, _PASSES_ON, _both),
    Hint("ipv6/conf/all/forwarding", 0, Severity.INFO, _PASSES_ON, _both),
)


def scan(look: Look) -> None:
    """Tell which settings are not as a hardened host has them."""
    names = list(_names())
    found = kernel.values(names)
    look.scanned(len(found))
    for weakness in judge(found):
        look.found(weakness)


def _names() -> Iterator[str]:
    yield from (hint.name for hint in _SINGLE)
    for version, hints in HINTS.items():
        for interface in kernel.interfaces(version):
            yield from (f"ipv{version}/conf/{interface}/{name}" for name in ("forwarding", *(h.name for h in hints)))


def judge(found: Values) -> list[Weakness]:
    """Given the values by name (`ipv4/conf/all/rp_filter`), return what is weak."""
    weaknesses = [
        _weakness(hint, hint.name, hint.why)
        for hint in _SINGLE
        if hint.name in found and hint.weak(found[hint.name], found[hint.name], False)
    ]
    for version, hints in HINTS.items():
        for hint in hints:
            weak = list(_weak_interfaces(version, hint, found))
            if weak:
                on = f"{', '.join(weak[:5])}{' and others' if len(weak) > 5 else ''}"
                weaknesses.append(_weakness(hint, f"ipv{version}/conf/*/{hint.name}", f"{hint.why} ({on})"))
    return weaknesses


def _weak_interfaces(version: int, hint: Hint, found: Values) -> Iterator[str]:
    start = f"ipv{version}/conf/"
    of_all = found.get(f"{start}all/{hint.name}", 0)
    interfaces = {name.split("/")[2] for name in found if name.startswith(start)} - {"all", "lo"}
    for interface in sorted(interfaces):
        own = found.get(f"{start}{interface}/{hint.name}")
        forwards = found.get(f"{start}{interface}/forwarding", 0) > 0
        if own is not None and hint.weak(own, of_all, forwards):
            yield interface


def _weakness(hint: Hint, name: str, why: str) -> Weakness:
    setting = f"net.{name.replace('/', '.')}"
    every = " (and the same for default)" if "*" in setting else ""
    return Weakness(
        rule="kernel_setting",
        subject=setting,
        severity=hint.severity,
        message=f"{setting}: {why}",
        remedy=f"write {setting.replace('*', 'all')} = {hint.wanted}{every} in /etc/sysctl.d",
    )


KERNEL = Scanner("kernel", Area.NETWORK, "Settings of the kernel's network", "settings", scan, full_only=True)
