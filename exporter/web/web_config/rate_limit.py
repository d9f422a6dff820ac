"""The rate limit of a web configuration file, as Go's rate.Limiter keeps it."""

from __future__ import annotations

import time
from collections.abc import Callable

from exporter.web.web_config.model import RateLimit


class Bucket:
    """A bucket of tokens: full at first, one more each interval."""

    def __init__(self, limit: RateLimit, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._monotonic = monotonic
        self._tokens, self._at = float(limit.burst), monotonic()

    def take(self) -> bool:
        """Whether there was a token left."""
        if not self.limit.interval:
            return True
        now = self._monotonic()
        self._tokens = min(float(self.limit.burst), self._tokens + (now - self._at) / self.limit.interval)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
