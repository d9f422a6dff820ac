"""Who may do what: a token with the scope; for reading also a visitor, or a request of this very machine.

A visitor is whom the door of a web configuration file has let in by a password or a certificate
(`exporter.web.door`).
"""

from __future__ import annotations

import ipaddress
import math
import re

from starlette.requests import Request

from exporter.web.answers import Problem
from exporter.web.lockout import Lockout
from exporter.web.tokens import Tokens

_HOST = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:[0-9]+)?")
_NAMES_OF_TOKENS = frozenset({"token", "access_token"})
_PUT_OFF = {"alert": 503}
"""Alertmanager gives a flush up that is answered 429, and tries again after 503."""


class Access:
    """Decides on requests; may wait for the disk."""

    def __init__(self, tokens: Tokens, lockout: Lockout) -> None:
        self._tokens = tokens
        self._lockout = lockout

    def demand(self, request: Request, scope: str) -> str:
        """Let pass who has a token with the scope, and return its name; a visitor, or who is on this machine (""),

        may read without one.

        Raise Problem for everybody else, TokenError if the tokens cannot be read.
        """
        if not _NAMES_OF_TOKENS.isdisjoint(request.query_params):
            raise _unauthorized("a token in an address is never read, as proxies log it", scope)
        visitor = str(request.scope.get("visitor", ""))
        authorization = request.headers.get("authorization", "").encode("latin-1", "replace")
        if visitor.startswith("user:"):
            authorization = b""  # it is the password, which has been looked at
        name, opened = self._tokens.opened(authorization)
        if scope in opened or (scope == "read" and not authorization and (visitor or _is_local(request))):
            return name or visitor
        if authorization and not opened:
            self._put_off(request, _PUT_OFF.get(scope, 429))
        raise _unauthorized(f"this needs a token with the scope {scope!r}", scope)

    def _put_off(self, request: Request, status: int) -> None:
        """Count a token that is none; answer with a wait where there were too many."""
        wait = self._lockout.failed(request.client.host if request.client else "")
        if wait:
            seconds = str(math.ceil(wait))
            detail = f"too many wrong tokens: the next one is looked at in {seconds} s, a right one at any time"
            raise Problem(status, detail, {"retry-after": seconds})


def _unauthorized(reason: str, scope: str) -> Problem:
    remedy = f"send 'Authorization: Bearer TOKEN'; make one with 'sutazai-exporter token create --scope {scope}'"
    return Problem(401, f"{reason}: {remedy}", {"www-authenticate": "Bearer"})


def _is_local(request: Request) -> bool:
    """Whether the request comes from this machine and by one of its own names: a page that had its name

    pointed at 127.0.0.1 (DNS rebinding) sends another Host.
    """
    named = _HOST.fullmatch(request.headers.get("host", ""))
    peer = request.client.host if request.client else ""
    return named is not None and _is_loopback(peer) and (named[1].lower() == "localhost" or _is_loopback(named[1]))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False
