"""The backup of Redis: a snapshot that the server sends as it would to a replica, checked while it passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jobs.backups.sink import Sink
from jobs.backups.targets import Facts

if TYPE_CHECKING:
    from jobs.clients import Clients


def redis_maker(clients: Clients) -> Callable[[Sink, float], Facts]:
    """What makes the backup of Redis."""

    def make(sink: Sink, timeout_seconds: float) -> Facts:
        found = clients.redis.snapshot(sink.write, deadline_seconds=timeout_seconds)
        return Facts(tool="redis", server_version=found.redis_version, keys=found.keys)

    return make
