"""Who may do what: a token with the scope, or for reading a request of this very machine or a visitor let in."""

from __future__ import annotations

import ipaddress
import math
import re

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from exporter.web.access.lockout import Lockout
from exporter.web.access.tokens import Tokens
from exporter.web.answers import Problem

OPEN = ""
"""The scope of what is open to everybody."""
_HOST = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:[0-9]+)?")
_NAMES_OF_TOKENS = frozenset({"token", "access_token"})
_OF_PROXIES = frozenset({"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"})
"""Headers by which a proxy says that it asks for somebody else."""
_READING = frozenset({"scrape", "read"})
"""What takes no token from this machine, nor of a visitor whom a web configuration file lets in."""
_CHALLENGE = {"www-authenticate": "Bearer"}
"""With every refusal that another token would not have got."""
_PUT_OFF = {"alert": 503}
"""Alertmanager gives a flush up that is answered 429, and tries again after 503."""


class Access:
    """Decides on requests; may wait for the disk."""

    def __init__(self, tokens: Tokens, lockout: Lockout) -> None:
        self._tokens = tokens
        self._lockout = lockout

    def demand(self, request: HTTPConnection, scope: str) -> str:
        """Let pass who has a token with the scope, and return its name; reading from this machine needs none ("").

        A visitor whom a web configuration file let in (`scope["visitor"]`) reads without one, too, and is named.
        Raise Problem for everybody else, TokenError if the tokens cannot be read.
        """
        return self._judged(request, scope, *self._tokens.opened(_authorization(request)))

    async def admit(self, request: HTTPConnection, scope: str) -> str:
        """The same without waiting: only for who shows a token is the disk asked, on a thread that may wait for it."""
        if _authorization(request):
            return await run_in_threadpool(self.demand, request, scope)
        return self.demand_remembered(request, scope)

    def demand_remembered(self, request: HTTPConnection, scope: str) -> str:
        """The same by what was last read of the tokens: this waits for no disk."""
        return self._judged(request, scope, *self._tokens.remembered(_authorization(request)))

    def _judged(self, request: HTTPConnection, scope: str, name: str, opened: frozenset[str]) -> str:
        if not _NAMES_OF_TOKENS.isdisjoint(request.query_params):
            raise _unauthorized("a token in an address is never read, as proxies log it", scope)
        if scope in opened:
            return name
        if reads_without_token(request, scope):
            return _visitor(request)
        if shows_token(request) and not opened:
            self._put_off(request, _PUT_OFF.get(scope, 429))
        raise _unauthorized(f"this needs a token with the scope {scope!r}", scope)

    def look_again(self) -> None:
        """Read the tokens again, if they have changed; raise TokenError."""
        self._tokens.load()

    def remembers(self, request: HTTPConnection, scope: str) -> bool:
        """Whether a request would be let pass by what was last read of the tokens; this waits for no disk."""
        return reads_without_token(request, scope) or scope in self._tokens.remembered(_authorization(request))[1]

    def _put_off(self, request: HTTPConnection, status: int) -> None:
        """Count a token that is none; answer with a wait where there were too many."""
        wait = self._lockout.failed(request.client.host if request.client else "")
        if wait:
            seconds = str(math.ceil(wait))
            detail = f"too many wrong tokens: the next one is looked at in {seconds} s, a right one at any time"
            raise Problem(status, detail, {"retry-after": seconds, **_CHALLENGE})


def reads_without_token(request: HTTPConnection, scope: str) -> bool:
    """Whether this is reading, by who needs no token for it. Who shows one must show a right one."""
    if scope not in _READING or shows_token(request):
        return False
    return bool(_visitor(request)) or _is_local(request)


def shows_token(request: HTTPConnection) -> bool:
    """Whether a request has something to show: a visitor's password, which let him in, is not for us to judge."""
    authorization = _authorization(request)
    is_password = bool(_visitor(request)) and not authorization.lower().startswith(b"bearer")
    return bool(authorization) and not is_password


def _authorization(request: HTTPConnection) -> bytes:
    return request.headers.get("authorization", "").encode("latin-1", "replace")


def _visitor(request: HTTPConnection) -> str:
    return str(request.scope.get("visitor") or "")


def _unauthorized(reason: str, scope: str) -> Problem:
    make = f"sutazai-exporter token create --name NAME --scope {scope}"
    remedy = f"send 'Authorization: Bearer TOKEN'; make one with '{make}'"
    return Problem(401, f"{reason}: {remedy}", _CHALLENGE)


def _is_local(request: HTTPConnection) -> bool:
    """Whether the request comes from this machine and by one of its own names: a page that had its name

    pointed at 127.0.0.1 (DNS rebinding) sends another Host. What a proxy passes on is somebody else's.
    """
    if not _OF_PROXIES.isdisjoint(request.headers):
        return False
    named = _HOST.fullmatch(request.headers.get("host", ""))
    peer = request.client.host if request.client else ""
    return named is not None and _is_loopback(peer) and (named[1].lower() == "localhost" or _is_loopback(named[1]))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False
