"""What every answer of the API has in common: its headers, and refusals as problem details (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_AT_ONCE = 100
"""So many entries of a list are put into JSON in one go."""
_OF_ROUTING = {
    404: "there is nothing at this path; /api/v1/openapi.json tells of those there are",
    405: "this path takes {allowed}",
}


class Problem(HTTPException):
    """A refusal as RFC 9457 problem details."""


def answer(content: Any, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(encoded(content), status_code=status, headers=HEADERS, media_type="application/json")


def encoded(content: Any) -> bytes:
    """A document as JSON, made piece by piece: while one is made, no other thread gets its turn, nor a scrape."""
    return "".join(_pieces(content)).encode()


def _pieces(content: Any) -> Iterator[str]:
    if isinstance(content, dict) and all(isinstance(name, str) for name in content):
        yield "{"
        for number, (name, value) in enumerate(content.items()):
            yield f"{',' if number else ''}{_dumps(name)}:"
            yield from _pieces(value)
        yield "}"
    elif isinstance(content, list) and len(content) > _AT_ONCE:
        for start in range(0, len(content), _AT_ONCE):
            yield f"{',' if start else '['}{_dumps(content[start : start + _AT_ONCE])[1:-1]}"
        yield "]"
    else:
        yield _dumps(content)


def _dumps(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def problem(request: Request, error: Exception) -> Response:
    """The answer to a request that was refused."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else str(error)
    headers = dict(getattr(error, "headers", None) or {}) | HEADERS
    if not isinstance(error, Problem) and status in _OF_ROUTING:
        detail = _OF_ROUTING[status].format(allowed=headers.get("Allow", ""))
    return JSONResponse(problem_details(status, detail), status, headers, media_type="application/problem+json")


def problem_details(status: int, detail: str) -> dict[str, Any]:
    """What is said of a refusal (RFC 9457): the thing, the reason and the remedy in `detail`."""
    return {"type": "about:blank", "status": status, "title": HTTPStatus(status).phrase, "detail": detail}


def unavailable(request: Request, error: Exception) -> Response:
    """The answer where a file that is needed cannot be used."""
    return problem(request, HTTPException(503, str(error)))


def media_type(request: Request) -> str:
    """The content type of a request's body, without parameters."""
    return str(request.headers.get("content-type", "")).partition(";")[0].strip().lower()
