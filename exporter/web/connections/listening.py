"""The socket that the daemon listens on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

BACKLOG = 1024


class Unavailable(Exception):
    """The daemon cannot serve here; the message names the thing, the reason and the remedy."""


@contextmanager
def listening_socket(address: str) -> Iterator[socket.socket]:
    """A socket that listens on HOST:PORT; raise Unavailable where it cannot."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, int(port)), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while attempting")[0]  # the address is named already
        raise Unavailable(f"{address}: cannot be listened on: {reason}; choose another --web.listen-address") from None
    with listener:
        yield listener
