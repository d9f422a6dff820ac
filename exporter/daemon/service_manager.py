"""What the daemon tells the service manager that started it, as sd_notify(3) has it; without one, nothing.

A datagram of NAME=VALUE lines goes to the socket that NOTIFY_SOCKET names: a path, or with `@` an abstract name.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import MutableMapping

logger = logging.getLogger(__name__)
_OURS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class ServiceManager:
    """The way to the service manager. Telling it never fails, and never waits: the daemon serves either way."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Take the manager's variables out of `environment`: what the daemon starts has nothing to tell it."""
        address, period, pid = (environment.pop(name, "") for name in _OURS)
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        for_us = not pid or pid == str(os.getpid())
        self.watchdog_seconds = int(period) / 1e6 if for_us and period.isdigit() and address else 0.0
        """Silence after which the manager takes the daemon for stuck; 0: it does not watch."""

    def ready(self, status: str) -> None:
        """The daemon serves."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The configuration is being read anew; `ready` ends that."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The daemon ends its runs, and then itself."""
        self._tell("STOPPING=1", "STATUS=ending its runs")

    async def keep_alive(self) -> None:
        """Say at each half of the watchdog's time that the event loop turns; what waits for a disk does not stop it."""
        while self.watchdog_seconds:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_seconds / 2)

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
                way.setblocking(False)
                way.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            logger.warning("the service manager was not told", extra={"what": lines[0], "reason": error.strerror})
