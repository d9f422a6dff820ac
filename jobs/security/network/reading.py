"""What the scanners of the network have in common: what listens on this host, and whose it is."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.clients import sockets
from jobs.clients.errors import Absent, ClientError
from jobs.core.containers import Container
from jobs.security.network.exposure import Exposure, exposures
from jobs.security.scanner import Look


def listening(look: Look) -> tuple[sockets.Listing, list[Exposure]]:
    """Everything that listens and everything that containers publish; what cannot be seen is told as missed."""
    listing = sockets.listening()
    for failure in listing.failures:
        look.missed(failure)
    return listing, exposures(listing, _containers(look))


def _containers(look: Look) -> Sequence[Container]:
    try:
        return look.clients.docker.containers()
    except Absent:
        return ()
    except ClientError as error:
        look.missed(f"ports that containers publish: {error}")
        return ()
