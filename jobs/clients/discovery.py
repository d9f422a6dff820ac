"""What is at a usual local address, and how its errors are told: in one line, without secrets."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from urllib.parse import quote, unquote

LOCAL = "127.0.0.1"
_CONNECT_SECONDS = 1.0


def listens(host: str, port: int) -> bool:
    """Whether anybody takes TCP connections there."""
    try:
        socket.create_connection((host, port), _CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def told(error: object, secrets: Iterable[str | None] = ()) -> str:
    """An error's message as one line of at most 300 characters, each secret in it replaced by `***`."""
    text = str(error) or type(error).__name__
    for secret in secrets:
        for spelling in sorted({secret, unquote(secret), quote(secret, safe="")} if secret else (), key=len)[::-1]:
            text = text.replace(spelling, "***")
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:299]}…"
