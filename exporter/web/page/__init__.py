"""The status page: `/` and what belongs to it, files beside this one. All that they show comes from the API."""

from __future__ import annotations

import gzip
import hashlib
import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from exporter import __version__
from exporter.web.accept import wants_gzip
from exporter.web.answers import HEADERS, Problem
from jobs.pages.sheet import style_hash

ASSETS = Path(__file__).parent / "assets"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_NAME = re.compile(r"[a-z-]{1,32}\.(css|js|svg)")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' '{report}'; img-src 'self'; connect-src 'self'; "
    "frame-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Only what this server gives, and no text that becomes markup or script (Trusted Types). A report that the page shows
in a frame is bound by this as well, and has its own style sheet, which is known by its hash (`report`)."""
_HEADERS = HEADERS | {
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
    "vary": "accept-encoding",
}


@dataclass(frozen=True)
class _Asset:
    """A file as it is sent. Only its compressed form is kept: hardly anybody asks for another."""

    packed: bytes
    etag: str


class StatusPage:
    """The handlers; plain functions, as the first request for a file waits for the disk."""

    def __init__(self, telemetry_path: Callable[[], str]) -> None:
        self._telemetry_path = telemetry_path

    def routes(self) -> list[Route]:
        """Where they are."""
        return [Route("/", self.page), Route("/assets/{name}", self.asset)]

    def page(self, request: HttpRequest) -> Response:
        """The page, the same for everybody: it holds no data, only links and what to show data with."""
        return _sent(request, "index.html", _asset("index.html", self._telemetry_path()))

    def asset(self, request: HttpRequest) -> Response:
        """A style sheet, a script or an icon."""
        name = request.path_params["name"]
        if not _NAME.fullmatch(name) or not (ASSETS / name).is_file():
            raise Problem(404, "the status page has no such file")
        return _sent(request, name, _asset(name))


@lru_cache(maxsize=64)
def _asset(name: str, telemetry_path: str = "") -> _Asset:
    """A file, read when it is first asked for: most daemons are never looked at."""
    text = (ASSETS / name).read_text(encoding="utf-8")
    if telemetry_path:
        links = {"{telemetry-path}": telemetry_path.removeprefix("/"), "{version}": __version__}
        for placeholder, value in links.items():
            text = text.replace(placeholder, html.escape(value))
    content = text.encode()
    return _Asset(gzip.compress(content, mtime=0), f'W/"{hashlib.sha256(content).hexdigest()[:32]}"')


@lru_cache(maxsize=1)
def _policy() -> str:
    return _POLICY.format(report=style_hash())


def _sent(request: HttpRequest, name: str, asset: _Asset) -> Response:
    headers = _HEADERS | {"etag": asset.etag, "content-security-policy": _policy()}
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    body = asset.packed
    if wants_gzip(request.headers.get("accept-encoding", "").encode("latin-1")):
        headers["content-encoding"] = "gzip"
    else:
        body = gzip.decompress(body)
    return Response(body, headers=headers, media_type=_TYPES[Path(name).suffix])
