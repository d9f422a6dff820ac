"""A gate before /metrics: from elsewhere a scrape takes a token, unless `web.metrics_need_token` says otherwise."""

from __future__ import annotations

from functools import lru_cache

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.web.access.permission import Access, reads_without_token, shows_token
from exporter.web.access.token_look import TokenLook
from exporter.web.access.tokens import TokenError
from exporter.web.answers import Problem, problem, unavailable

_MOST_REMEMBERED = 16
"""So many kinds of scrapes are known again: each holds headers, which may be as long as a stranger wants them."""


class MetricsGate:
    """An ASGI application that hands requests on, those for `path` only of who may scrape."""

    def __init__(self, application: ASGIApp, path: str, access: Access, look: TokenLook) -> None:
        self._application, self._path, self._access, self._look = application, path, access, look

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI 3)."""
        if scope["type"] == "http" and scope["path"] == self._path and not _needs_none(scope):
            request = Request(scope)
            try:
                await self._demand(request)
            except Problem as refusal:
                await problem(request, refusal)(scope, receive, send)
                return
            except TokenError as error:
                await unavailable(request, error)(scope, receive, send)
                return
        await self._application(scope, receive, send)

    async def _demand(self, request: Request) -> None:
        # Who shows none has none to be looked up, and is refused whatever the disk does.
        if shows_token(request):
            await self._look.refresh()
        self._access.demand_remembered(request, "scrape")


def _needs_none(scope: Scope) -> bool:
    """Whether this is a scrape by who needs no token for it; one with a query has a closer look."""
    client = scope["client"]
    return not scope["query_string"] and _judged(client and client[0], scope.get("visitor"), tuple(scope["headers"]))


@lru_cache(maxsize=_MOST_REMEMBERED)
def _judged(peer: str | None, visitor: str | None, headers: tuple[tuple[bytes, bytes], ...]) -> bool:
    """A Prometheus asks with the same headers each time: to judge them costs a fifth of what a scrape does."""
    client = (peer, 0) if peer else None
    request = Request({"type": "http", "client": client, "visitor": visitor, "headers": headers, "query_string": b""})
    return reads_without_token(request, "scrape")
