"""Follows a web configuration file and the files that it names while the daemon serves.

A new state counts once it has stood still from one look to the next, so that files which are being replaced one by one
are taken together. What cannot be used changes nothing: the last good one stays in force, a metric shows it, and the
log says once why.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from exporter.config import ConfigError
from exporter.metrics import WEB_CONFIG_OK, WEB_CONFIG_TIME, Metrics
from exporter.web.web_config.loading import Files, Stamp, WebConfig, read_web_config, stamp_of

logger = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
ANSWER_SECONDS = 10.0
"""How long an answer may last that began before TLS settings or users changed: one without end is ended."""


class WatchedWebConfig:
    """The web configuration in force, `current`; raise ConfigError where the first one cannot be used."""

    def __init__(self, file: Path, wall: Callable[[], float] = time.time) -> None:
        self._file = file.absolute()
        self._wall = wall
        self._metrics: Metrics | None = None
        self._changed: Mapping[Path, Stamp] | None = None
        self._others_since = 0.0
        files = Files()
        self.current: WebConfig = read_web_config(self._file, files)
        self._stamps = files.stamps
        self._read_at = self._wall()
        _warn(self.current)

    def about(self) -> dict[str, Any]:
        """What the log says of it when the daemon begins to serve."""
        current = self.current
        return {"web_config": str(self._file), "tls": current.tls is not None, "users": len(current.users)}

    def show_in(self, metrics: Metrics) -> None:
        """Show from now on whether the newest state is in force."""
        self._metrics = metrics
        self._show(True)

    def look(self) -> bool:
        """Read the files again if they have changed; say whether another configuration is in force now.

        It waits for the disk.
        """
        found = {path: stamp_of(path) for path in self._stamps}
        if found == self._stamps:
            self._changed = None
            return False
        if found != self._changed:
            self._changed = found  # it may not be all there yet
            return False
        return self._read()

    def _read(self) -> bool:
        files, known = Files(), self._stamps
        self._changed = None
        try:
            fresh = read_web_config(self._file, files)
        except ConfigError as error:
            # Files that it did not come to are looked after still: they may be what is mended.
            self._stamps = {path: stamp_of(path) for path in known} | files.stamps
            for problem in error.problems:
                logger.error("web configuration not read anew: the last good one stays", extra={"problem": problem})
            self._show(False)
            return False
        self._stamps = files.stamps
        if fresh.tls and self.current.tls and fresh.tls.digest == self.current.tls.digest:
            fresh = replace(fresh, tls=self.current.tls)
        if fresh.tls is not self.current.tls or fresh.users != self.current.users:
            self._others_since = time.monotonic()
        self.current, self._read_at = fresh, self._wall()
        _warn(fresh)
        logger.info("web configuration read anew", extra=self.about())
        self._show(True)
        return True

    def _show(self, good: bool) -> None:
        if self._metrics:
            self._metrics.set(WEB_CONFIG_OK, float(good))
            self._metrics.set(WEB_CONFIG_TIME, self._read_at)

    async def follow(self, connections: Callable[[], set[Any]]) -> None:
        """Look each second, for ever, and end what those have open who were let in by other settings."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await loop.run_in_executor(None, self.look)
            except Exception:  # whatever it is, the next look may find better
                logger.exception("the web configuration could not be looked at")
            self._end_outdated(connections())

    def _end_outdated(self, connections: set[Any]) -> None:
        late = time.monotonic() - self._others_since > ANSWER_SECONDS
        for connection in list(connections):
            if connection.secured_by is not self.current.tls:
                connection.shutdown()  # as when the daemon stops: after the answer that is under way
            if late and (connection.answering_since or math.inf) < self._others_since:
                connection.transport.abort()


def _warn(config: WebConfig) -> None:
    for warning in config.warnings:
        logger.warning("web configuration", extra={"problem": warning})
