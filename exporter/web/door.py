"""The door of a web configuration file: every request passes it before anything else looks at it.

In the order of the exporter-toolkit's handler: the rate limit, the configured headers, then who it is. A password of
`basic_auth_users` opens it, and so does a bearer token of our own, as a request cannot carry both. Whom it has let in
by a password or a client certificate it tells on as `scope["visitor"]`: "user:NAME" or "certificate:NAME".
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.settings import WebSettings
from exporter.web.access.lockout import Lockout
from exporter.web.access.passwords import Passwords, TooMany
from exporter.web.access.token_look import TokenLook
from exporter.web.access.tokens import TokenError, Tokens
from exporter.web.answers import HEADERS, problem_details
from exporter.web.web_config.loading import WebConfig
from exporter.web.web_config.rate_limit import Bucket

HEALTH_PATHS = frozenset({"/-/healthy", "/-/ready"})
INTAKE_PATH = "/api/v1/alerts"
"""Alertmanager gives a flush up that is answered 429, and tries again after 503."""
_BASIC = (b"www-authenticate", b'Basic realm="SutazAI Exporter", charset="UTF-8"')
_BEARER = (b"www-authenticate", b"Bearer")


@dataclass(frozen=True)
class Refusal:
    """Why a request does not pass."""

    status: int
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Door:
    """An ASGI application around another one; `current` gives the web configuration that is in force."""

    def __init__(
        self,
        inside: ASGIApp,
        current: Callable[[], WebConfig],
        tokens: Tokens,
        look: TokenLook,
        settings: WebSettings,
    ) -> None:
        self._inside = inside
        self._current = current
        self._tokens, self._look = tokens, look
        self._free = HEALTH_PATHS if settings.health_without_authentication else frozenset[str]()
        self._lockout = Lockout(what="passwords or tokens")
        self._passwords = Passwords(self._lockout)
        self._bucket = Bucket(current().rate_limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it (ASGI 3)."""
        config = self._current()
        if config.headers:
            send = _with_headers(send, config.headers)
        refusal = self._rate(config) or await self._who(scope, config)
        if refusal is None:
            await self._inside(scope, receive, send)
        else:
            await _answer(refusal, scope, send)

    def _rate(self, config: WebConfig) -> Refusal | None:
        if self._bucket.limit != config.rate_limit:
            self._bucket = Bucket(config.rate_limit)
        if self._bucket.take():
            return None
        retry = b"%d" % math.ceil(config.rate_limit.interval)
        return Refusal(429, "more requests than rate_limit allows", ((b"retry-after", retry),))

    async def _who(self, scope: Scope, config: WebConfig) -> Refusal | None:
        """Find out who asks; None lets them in."""
        if scope.get("certificate"):
            scope["visitor"] = f"certificate:{scope['certificate']}"
        if not config.users or scope["path"] in self._free:
            return None
        authorization = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        kind, _, credentials = authorization.partition(b" ")
        if kind.lower() == b"basic":
            return await self._by_password(scope, config, credentials.strip())
        if kind.lower() == b"bearer":
            return await self._by_token(scope, authorization)
        return Refusal(401, "this needs a user of the web configuration file, or a bearer token", (_BASIC,))

    async def _by_password(self, scope: Scope, config: WebConfig, credentials: bytes) -> Refusal | None:
        try:
            name, colon, password = base64.b64decode(credentials, validate=True).partition(b":")
        except binascii.Error:
            colon = b""
        if not colon:
            return Refusal(401, "the credentials cannot be read", (_BASIC,))
        address = scope["client"][0] if scope["client"] else ""
        try:
            if await self._passwords.are_right(config.users, name, password, address):
                scope["visitor"] = f"user:{name.decode()}"
                return None
        except TooMany:
            return self._put_off(scope, 1.0, "too many passwords are being looked at; try again in a second", _BASIC)
        return self._wrong(scope, "user or password is wrong", _BASIC)

    async def _by_token(self, scope: Scope, authorization: bytes) -> Refusal | None:
        try:
            await self._look.refresh()
        except TokenError as error:
            return Refusal(503, str(error))
        _, opened = self._tokens.remembered(authorization)
        if not opened:
            return self._wrong(scope, "the token is wrong", _BEARER)
        # The API looks itself what a token opens; what is not the API has the door alone.
        if opened == {"alert"} and not scope["path"].startswith("/api/"):
            return Refusal(401, "this token opens the intake of alerts and nothing else", (_BEARER,))
        return None

    def _wrong(self, scope: Scope, detail: str, challenge: tuple[bytes, bytes]) -> Refusal:
        wait = self._lockout.failed(scope["client"][0] if scope["client"] else "")
        if wait:
            return self._put_off(scope, wait, "too many wrong passwords or tokens; a right one has its turn", challenge)
        return Refusal(401, detail, (challenge,))

    def _put_off(self, scope: Scope, seconds: float, detail: str, challenge: tuple[bytes, bytes]) -> Refusal:
        status = 503 if scope["path"] == INTAKE_PATH else 429
        return Refusal(status, detail, ((b"retry-after", b"%d" % math.ceil(seconds)), challenge))


def _with_headers(send: Send, headers: tuple[tuple[bytes, bytes], ...]) -> Send:
    """Add headers to an answer. Those that it has itself stay; of two policies a browser keeps both."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message.get("headers", ())} - {b"content-security-policy"}
            added = [header for header in headers if header[0] not in there]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return sending


async def _answer(refusal: Refusal, scope: Scope, send: Send) -> None:
    """Refuse with a problem document (RFC 9457)."""
    body = json.dumps(problem_details(refusal.status, refusal.detail)).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        *((name.encode(), value.encode()) for name, value in HEADERS.items()),
        *refusal.headers,
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
