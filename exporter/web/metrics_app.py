"""/metrics from memory, answered before any routing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any

from starlette.requests import Request

from exporter.exposition import Exposition
from exporter.process_figures import ProcessFigures
from exporter.web.answers import Problem, problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_TEXT = b"text/plain; version=0.0.4; charset=utf-8"
_OPENMETRICS = b"application/openmetrics-text; version=1.0.0; charset=utf-8"


class MetricsApp:
    """An ASGI application that answers `path` with the exposition and hands everything else on."""

    def __init__(self, exposition: Exposition, path: str, otherwise: Application) -> None:
        self._exposition = exposition
        self._path = path
        self._otherwise = otherwise
        self._process = ProcessFigures()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI 3)."""
        if scope["type"] != "http" or scope["path"] != self._path:
            await self._otherwise(scope, receive, send)
            return
        method = scope["method"]
        if method not in ("GET", "HEAD"):
            refusal = Problem(405, "this path takes GET, HEAD", {"allow": "GET, HEAD"})
            await problem(Request(scope), refusal)(scope, receive, send)
            return
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
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})


@lru_cache(maxsize=64)
def wants_openmetrics(accept: bytes) -> bool:
    """Whether an Accept header asks for OpenMetrics 1.0.0 or later, as the Prometheus client library reads it.

    That library itself would bring an HTTP server and more along: half as much memory again as a page of metrics.
    """
    for offer in accept.decode("latin-1").split(","):
        media_type, *parameters = offer.split(";")
        if media_type.strip() in ("application/openmetrics-text", "text/plain"):
            version = next((value for key, _, value in map(_parted, parameters) if key == "version"), "")
            if version.split(".")[0].isdecimal() and int(version.split(".")[0][:9]) >= 1:
                return media_type.strip() != "text/plain"
            if not version and media_type.strip() != "text/plain":
                return True
    return False


def _parted(parameter: str) -> tuple[str, str, str]:
    return parameter.strip().partition("=")


@lru_cache(maxsize=64)
def wants_gzip(accept_encoding: bytes) -> bool:
    """Whether an Accept-Encoding header accepts gzip (RFC 9110 section 12.5.3)."""
    for offer in accept_encoding.decode("latin-1").lower().split(","):
        coding, _, parameters = offer.strip().partition(";")
        if coding.strip() == "gzip":
            weight = parameters.strip().removeprefix("q=")
            return weight.strip("0.") != "" or not weight
    return False
