"""A gate before /metrics, where `web.metrics_need_token` is set; where it is not, there is none."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.web.access.permission import Access
from exporter.web.access.token_look import TokenLook
from exporter.web.access.tokens import TokenError
from exporter.web.answers import Problem, problem, unavailable


class MetricsGate:
    """An ASGI application that hands requests on, those for `path` only of who may scrape."""

    def __init__(self, application: ASGIApp, path: str, access: Access, look: TokenLook) -> None:
        self._application, self._path, self._access, self._look = application, path, access, look

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI 3)."""
        if scope["type"] == "http" and scope["path"] == self._path:
            request = Request(scope)
            try:
                await self._look.refresh()
                self._access.demand_remembered(request, "scrape")
            except Problem as refusal:
                await problem(request, refusal)(scope, receive, send)
                return
            except TokenError as error:
                await unavailable(request, error)(scope, receive, send)
                return
        await self._application(scope, receive, send)
