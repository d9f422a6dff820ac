"""Host names to addresses, without ever holding up an event loop."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading


class Names:
    """Looks each name up once for everybody who asks within one event loop.

    Each on a thread of its own: a resolver cannot be interrupted, and loops wait for their own threads on closing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lookups: dict[str, asyncio.Future[list[str]]] = {}

    async def addresses(self, host: str) -> list[str]:
        """The addresses of `host`, the preferred first and never none; raise OSError if it has none."""
        if is_address(host):
            return [host]
        if host not in self._lookups:
            self._lookups[host] = self._loop.create_future()
            threading.Thread(target=self._resolve, args=(host, self._lookups[host]), daemon=True).start()
        return await asyncio.shield(self._lookups[host])

    def _resolve(self, host: str, future: asyncio.Future[list[str]]) -> None:
        addresses: list[str] = []
        failure = ""
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        except (OSError, UnicodeError) as error:
            failure = getattr(error, "strerror", None) or str(error)
        try:
            self._loop.call_soon_threadsafe(_settle, host, future, addresses, failure)
        except RuntimeError:  # the loop is closed: everybody who waited has timed out
            return


def is_address(host: str) -> bool:
    """Whether `host` is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _settle(host: str, future: asyncio.Future[list[str]], addresses: list[str], failure: str) -> None:
    if addresses:
        future.set_result(addresses)
    else:
        future.set_exception(OSError(f"cannot resolve {host}: {failure or 'it has no address'}"))
        future.exception()  # whoever waited may have timed out; that is no unhandled error
