"""A gate before /metrics, where `web.metrics_need_token` is set; where it is not, there is none."""

from __future__ import annotations

import asyncio
import logging

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.web.access import Access
from exporter.web.answers import Problem, problem, unavailable
from exporter.web.tokens import TokenError

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 1.0
"""A disk that does not say by then whether the tokens have changed is not waited for: scrapes go on without it."""


class MetricsGate:
    """An ASGI application that hands requests on, those for `path` only of who may scrape."""

    def __init__(self, application: ASGIApp, path: str, access: Access) -> None:
        self._application, self._path, self._access = application, path, access
        self._look: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI 3)."""
        if scope["type"] == "http" and scope["path"] == self._path:
            request = Request(scope)
            try:
                await self._admit(request)
            except Problem as refusal:
                await problem(request, refusal)(scope, receive, send)
                return
            except TokenError as error:
                await unavailable(request, error)(scope, receive, send)
                return
        await self._application(scope, receive, send)

    async def _admit(self, request: Request) -> None:
        """Raise Problem for who may not scrape, TokenError where the tokens cannot be read."""
        # A look that is under way may have seen the file before it changed: what it misses the next one sees.
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(asyncio.to_thread(self._access.look_again), name="look at the tokens")
        try:
            await asyncio.wait_for(asyncio.shield(self._look), PATIENCE_SECONDS)
        except TimeoutError:
            logger.warning("the tokens are not looked at: the disk does not answer")
        self._access.demand_remembered(request, "scrape")
