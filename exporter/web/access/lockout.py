"""How long wrong tokens and passwords are put off: by the address that they come from, and all of them together.

It decides how a wrong one is answered and never whether a right one is let in: nobody can lock out its holder.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger(__name__)

FREE = 10
"""Wrong ones of one address before it is put off; each further one doubles the time."""
FREE_OVERALL = 100
"""The same for all addresses together."""
LONGEST_SECONDS = 900.0
FORGET_SECONDS = 3600.0
"""An address that was quiet for so long begins anew."""
MAX_ADDRESSES = 1024
"""Of more addresses those that were quiet longest are forgotten; for so many there is the count of all."""


@dataclass
class _Count:
    failures: int = 0
    last: float = 0.0
    until: float = 0.0

    def add(self, now: float, free: int) -> float:
        """Count a failure; return for how many seconds the next ones are put off."""
        self.failures, self.last = self.failures + 1, now
        if self.failures < free:
            return 0.0
        seconds = min(LONGEST_SECONDS, 2.0 ** min(self.failures - free, 16))
        self.until = now + seconds
        return seconds


class Lockout:
    """Counts wrong tokens, or wrong `what`. Any thread may use it."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, what: str = "tokens") -> None:
        self._monotonic = monotonic
        self._what = what
        self._lock = threading.Lock()
        self._overall = _Count()
        self._clients: OrderedDict[str, _Count] = OrderedDict()

    def failed(self, address: str) -> float:
        """Note a wrong one; return the seconds for which this address is put off already, 0 if it is not."""
        with self._lock:
            now, name = self._monotonic(), client_name(address)
            if now - self._overall.last > FORGET_SECONDS:
                self._overall = _Count()
            client = self._client(name, now)
            wait = max(client.until, self._overall.until) - now
            if wait <= 0:
                self._tell(name, client.add(now, FREE))
                self._tell("any", self._overall.add(now, FREE_OVERALL))
            return max(0.0, wait)

    def wait(self, address: str) -> float:
        """The seconds for which wrong ones of this address are put off, 0 if they are not; nothing is noted."""
        with self._lock:
            client = self._clients.get(client_name(address), _Count())
            return max(0.0, client.until - self._monotonic(), self._overall.until - self._monotonic())

    def _client(self, name: str, now: float) -> _Count:
        client = self._clients.pop(name, None)
        if client is None or now - client.last > FORGET_SECONDS:
            client = _Count()
        self._clients[name] = client  # the newest is the last
        if len(self._clients) > MAX_ADDRESSES:
            self._clients.popitem(last=False)
        return client

    def _tell(self, name: str, seconds: float) -> None:
        if seconds:
            extra = {"client": name, "seconds": int(seconds)}
            logger.warning(f"too many wrong {self._what}: they are put off", extra=extra)


def client_name(address: str) -> str:
    """Whom an address belongs to: in IPv6 a host has all of a /64 to choose from.

    An address that a proxy forwards may be any text: it is not kept.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 6:
        mapped = parsed.ipv4_mapped
        return str(mapped or ipaddress.ip_network((int(parsed), 64), strict=False))
    return str(parsed)
