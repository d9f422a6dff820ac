"""What the API answers: JSON, and refusals as problem details."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Problem(HTTPException):
    """A refusal as RFC 9457 problem details."""


def answer(content: Any, status: int = 200) -> Response:
    """JSON."""
    return JSONResponse(content, status_code=status, headers=HEADERS)


def limit_of(request: HttpRequest) -> int:
    """How many entries are asked for (`?limit=N`); raise Problem."""
    text = request.query_params.get("limit", "50")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:5]) <= 1000):
        raise Problem(400, "limit must be a whole number from 1 to 1000")
    return int(text)
