"""JSON bodies of requests: small objects of texts, read strictly."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from starlette.requests import ClientDisconnect, Request

from exporter.web.answers import Problem, media_type

MAX_BYTES = 1 << 20
"""The intake of alerts, and every connection, has a limit of its own."""


async def texts(request: Request, keys: Collection[str]) -> dict[str, str]:
    """The body as an object of texts with no other keys than these; an empty body is an empty object. Raise Problem."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > MAX_BYTES:
        raise _too_large()
    if _is_empty(request) and (not keys or "content-type" not in request.headers):
        return {}
    # What a form on another site can send says another type.
    if media_type(request) != "application/json":
        raise Problem(415, "the body must be JSON, with the content type application/json")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "the body must not be compressed")
    return _checked(await _read(request), keys)


def _is_empty(request: Request) -> bool:
    return request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers


async def _read(request: Request) -> bytes:
    content = bytearray()
    try:
        async for chunk in request.stream():
            content += chunk
            if len(content) > MAX_BYTES:
                raise _too_large()
    except ClientDisconnect:
        raise Problem(400, "the body is not complete") from None
    return bytes(content)


def _too_large() -> Problem:
    return Problem(413, f"the body has more than {MAX_BYTES} bytes", {"connection": "close"})


def _checked(content: bytes, keys: Collection[str]) -> dict[str, str]:
    try:
        body = json.loads(content or b"{}", object_pairs_hook=_object, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        said = f": {error}" if isinstance(error, _Refused) else ""
        raise Problem(400, f"the body is not JSON{said}") from None
    if not isinstance(body, dict) or not set(body) <= set(keys) or not all(isinstance(v, str) for v in body.values()):
        allowed = f"no other keys than {', '.join(sorted(keys))}, all text" if keys else "no keys"
        raise Problem(400, f"the body must be an object with {allowed}")
    return body


class _Refused(ValueError):
    """What some readers of JSON accept, each in its own way."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Refused("a key is given twice")
    return found


def _no_number(text: str) -> Any:
    raise _Refused("NaN and Infinity are no numbers of it")
