"""What every answer of the API has in common: its headers, and refusals as problem details (RFC 9457)."""

from __future__ import annotations

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
_OF_ROUTING = {
    404: "there is nothing at this path; /api/v1/openapi.json tells of those there are",
    405: "this path takes {allowed}",
}


class Problem(HTTPException):
    """A refusal as RFC 9457 problem details."""


def answer(content: Any, status: int = 200) -> Response:
    """An answer in JSON."""
    return JSONResponse(content, status_code=status, headers=HEADERS)


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
