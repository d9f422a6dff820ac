"""/metrics from memory, answered before any routing."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.exposition import Exposition
from exporter.process_figures import ProcessFigures
from exporter.web.accept import wants_gzip, wants_openmetrics
from exporter.web.answers import Problem, problem

_TEXT = b"text/plain; version=0.0.4; charset=utf-8"
_OPENMETRICS = b"application/openmetrics-text; version=1.0.0; charset=utf-8"


class MetricsApp:
    """An ASGI application that answers `path` with the exposition and hands everything else on."""

    def __init__(self, exposition: Exposition, path: str, otherwise: ASGIApp) -> None:
        self._exposition = exposition
        self._path = path
        self._otherwise = otherwise
        self._process = ProcessFigures()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI 3)."""
        if scope["type"] != "http" or scope["path"] != self._path:
            await self._otherwise(scope, receive, send)
        elif scope["method"] in ("GET", "HEAD"):
            await self._answer(scope, send)
        else:
            refusal = Problem(405, "this path takes GET, HEAD", {"allow": "GET, HEAD"})
            await problem(Request(scope), refusal)(scope, receive, send)

    async def _answer(self, scope: Scope, send: Send) -> None:
        accept = accept_encoding = b""
        for name, value in scope["headers"]:
            if name == b"accept":
                accept = value
            elif name == b"accept-encoding":
                accept_encoding = value
        openmetrics, gzip = wants_openmetrics(accept), wants_gzip(accept_encoding)
        process = self._process.openmetrics if openmetrics else self._process.text
        body = self._exposition.scrape(openmetrics=openmetrics, gzip=gzip, process=process)
        headers = [
            (b"content-type", _OPENMETRICS if openmetrics else _TEXT),
            (b"content-length", b"%d" % len(body)),
            (b"vary", b"accept, accept-encoding"),
        ]
        if gzip:
            headers.append((b"content-encoding", b"gzip"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
