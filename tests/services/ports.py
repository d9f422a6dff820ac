"""Ports on loopback that nothing listens on."""

from __future__ import annotations

import os
import random
import socket

# Below 32768, where the kernel starts to give out ports for outgoing connections: it could take one between
# our probe and the service's bind.
_FIRST, _LAST = 20000, 32000
# Test processes that run side by side (gw0, gw1 …) each choose among ports of their own.
_WORKERS = 8
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
_PORTS = range(_FIRST + _worker, _LAST, _WORKERS)
# Rows of ports stand below those: each is as long as there are processes, and theirs take turns.
_ROWS = range(12000 + _worker * _WORKERS, 19900, _WORKERS * _WORKERS)
_given: set[int] = set()


def free_port() -> int:
    """A TCP port that was free a moment ago and has not been given out before in this process."""
    for port in random.sample(_PORTS, k=len(_PORTS)):
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise RuntimeError(f"no free port from {_FIRST} to {_LAST}")


def free_row(count: int) -> int:
    """The first of so many ports (at most eight), one after the other, which were all free a moment ago."""
    assert count <= _WORKERS
    for first in random.sample(_ROWS, k=len(_ROWS)):
        row = range(first, first + count)
        if first not in _given and all(map(_is_free, row)):
            _given.add(first)
            return first
    raise RuntimeError(f"no {count} free ports in a row from {_ROWS.start} to {_ROWS.stop}")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True
