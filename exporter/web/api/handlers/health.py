"""Whether the daemon lives and is ready: answered from memory, whatever the disk does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response

from exporter.web.answers import HEADERS
from exporter.web.api.operations import Call

if TYPE_CHECKING:
    from exporter.daemon import Daemon


class Health:
    """The handlers."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    async def healthy(self, call: Call) -> Response:
        """200 as long as the process answers at all."""
        return PlainTextResponse("SutazAI Exporter is healthy.\n", headers=HEADERS)

    async def ready(self, call: Call) -> Response:
        """200 while the schedule is being watched, else 503."""
        if self._daemon.ready.is_set() and not self._daemon.is_stopping():
            return PlainTextResponse("SutazAI Exporter is ready.\n", headers=HEADERS)
        return PlainTextResponse("SutazAI Exporter is starting or stopping.\n", status_code=503, headers=HEADERS)
