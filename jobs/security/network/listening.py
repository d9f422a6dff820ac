"""The scanner of what listens: every TCP and UDP socket that is open to others, against what is allowed."""

from __future__ import annotations

import os

from jobs.security.network.exposure import Exposure, is_client, judge
from jobs.security.network.reading import listening
from jobs.security.scanner import Area, Look, Scanner


def scan(look: Look) -> None:
    """Tell of everything that listens where it is not allowed to."""
    listing, found = listening(look)
    clients = sum(is_client(listener, listing.ephemeral) for listener in listing.listeners)
    look.scanned(len(listing.listeners))
    look.detail("udp_client_sockets", clients)
    look.detail("listeners", [_line(exposure) for exposure in found])
    nameless = sum(listener.owner is None for listener in listing.listeners)
    if nameless and not listing.all_seen:
        look.missed(
            f"the processes of {nameless} sockets, {_why_not(os.geteuid())}",
            "processes",  # the sockets are all seen: what is closed is known to be
        )
    for exposure in found:
        judgement = judge(exposure, look.settings.network.allowed)
        if judgement.weakness:
            look.found(judgement.weakness)
        if judgement.missed:
            look.missed(judgement.missed)


def _why_not(user: int) -> str:
    """Why a process is not seen: root would be told to become root."""
    if user == 0:
        return "which even root may not look at here (it lacks CAP_SYS_PTRACE, or they run outside of this container)"
    return "which this user may not look at (run the scan as root, or with CAP_SYS_PTRACE)"


def _line(exposure: Exposure) -> dict[str, object]:
    return {
        "protocol": exposure.protocol,
        "port": exposure.port,
        "addresses": list(exposure.addresses),
        "process": exposure.process,
        "user": exposure.user,
        "unit": exposure.unit,
        "container": exposure.container,
        "service": exposure.known.name if exposure.known else "",
    }


LISTENING = Scanner("listening", Area.NETWORK, "Sockets that others can reach", "sockets", scan)
