"""The scanner of the packet filter: whether what comes in is filtered, on IPv4 and on IPv6 alike."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from jobs.clients import firewall, sockets
from jobs.core.addresses import is_everywhere, is_loopback
from jobs.core.model import Severity
from jobs.security.network.exposure import Exposure
from jobs.security.network.filtering import Filtering, filtering, nftables_tables, saved_tables
from jobs.security.network.reading import listening
from jobs.security.scanner import Area, Look, Scanner, Weakness

IPV4, IPV6 = "IPv4", "IPv6"
_SHOW = "see `nft list ruleset`"


def scan(look: Look) -> None:
    """Tell where what comes in is not filtered although something listens on all addresses."""
    rules = firewall.read(look.settings.network.command_timeout_seconds)
    addresses = sockets.own_addresses()
    states = {IPV4: _state(look, rules, IPV4)}
    if any(":" in address for address in addresses):
        states[IPV6] = _state(look, rules, IPV6)
    look.scanned(sum(state is not None for state in states.values()))
    look.detail("packet_filter", {family: state.value if state else "unknown" for family, state in states.items()})
    look.detail("managers", rules.managers)
    _, found = listening(look)
    for weakness in judge(states, found, addresses):
        look.found(weakness)


def _state(look: Look, rules: firewall.Rules, family: str) -> Filtering | None:
    """What becomes of what comes in; None, and told as missed, where rules may be there that were not seen."""
    saved, whole = (rules.ipv4, rules.complete_ipv4) if family == IPV4 else (rules.ipv6, rules.complete_ipv6)
    failures = rules.failures
    tables = [table for text in saved for table in saved_tables(text)]
    if rules.nftables is not None:
        try:
            tables += nftables_tables(rules.nftables, "ip" if family == IPV4 else "ip6")
        except ValueError as error:
            whole, failures = False, (*failures, str(error))
    state = filtering(tables)
    if state is Filtering.DENIES or whole:
        return state
    look.missed(f"whether {family} is filtered: {'; '.join(failures)}")
    return None


def judge(states: dict[str, Filtering | None], found: Sequence[Exposure], addresses: Sequence[str]) -> list[Weakness]:
    """Given the state by address family, what listens and this host's addresses, return what is weak."""
    ipv4, ipv6 = states.get(IPV4), states.get(IPV6)
    everywhere = [one for one in found if any(map(is_everywhere, one.addresses))]
    weaknesses = []
    if ipv4 is Filtering.NONE and everywhere:
        weaknesses.append(_unfiltered(everywhere, ipv6))
    if ipv4 is Filtering.ACCEPTS and everywhere:
        weaknesses.append(_accepts(IPV4))
    if ipv4 is Filtering.DENIES and ipv6 in (Filtering.NONE, Filtering.ACCEPTS):
        weaknesses += _ipv6_open(ipv6, found, addresses)
    return weaknesses


def _unfiltered(everywhere: Sequence[Exposure], ipv6: Filtering | None) -> Weakness:
    both = " or IPv6" if ipv6 is Filtering.NONE else ""
    return Weakness(
        rule="no_packet_filter",
        subject="host",
        severity=Severity.MEDIUM,
        message=f"No packet filter: nothing turns away what comes in over IPv4{both} to {_ports(everywhere)}",
        remedy="let in only what is meant for others (ufw default deny incoming; ufw allow OpenSSH; ufw enable)",
    )


def _accepts(family: str) -> Weakness:
    return Weakness(
        rule="filter_accepts_by_default",
        subject=family,
        severity=Severity.LOW,
        message=f"The packet filter lets in what none of its rules speaks of ({family})",
        remedy=f"give the chain for what comes in the policy drop, after the rules for what is meant; {_SHOW}",
    )


def _ipv6_open(state: Filtering, found: Sequence[Exposure], addresses: Sequence[str]) -> list[Weakness]:
    open_ipv6 = [one for one in found if any(":" in at and not is_loopback(at) for at in one.addresses)]
    reached = [address for address in addresses if ":" in address and not is_loopback(address)]
    if not open_ipv6 or not reached:
        return []
    routed = any(not ipaddress.ip_address(address).is_link_local for address in reached)
    return [
        Weakness(
            rule="ipv6_unfiltered",
            subject=IPV6,
            severity=Severity.HIGH if routed else Severity.MEDIUM,
            message=f"IPv4 is filtered, IPv6 is not ({state.value}), which lets others in to {_ports(open_ipv6)}",
            remedy=f"filter both alike, with a table of the family inet, or IPV6=yes in /etc/default/ufw; {_SHOW}",
        )
    ]


def _ports(found: Sequence[Exposure]) -> str:
    """How many services listen, and the first of their ports."""
    names = ", ".join(sorted({f"{one.protocol}/{one.port}" for one in found})[:5])
    return f"{len(found)} listening service{'' if len(found) == 1 else 's'} ({names})"


FIREWALL = Scanner("firewall", Area.NETWORK, "Whether what comes in is filtered", "address families", scan)
