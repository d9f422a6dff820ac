"""Bearer tokens: made here, shown once, kept as SHA-256 with the scopes that they open."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from jobs.core.files import atomic_write
from jobs.core.model import Value

SCOPES = ("read", "operate", "alert")
"""`alert` opens the intake of alerts and nothing else; `operate` opens it as well."""
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}")


class TokenError(ValueError):
    """What was asked is not right; the message is one line."""


class TokenFileError(TokenError):
    """The token file cannot be used."""


class Token(Value):
    """What is kept of a token."""

    name: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: tuple[Literal["read", "operate", "alert"], ...]
    created: str


class Tokens:
    """The tokens in `file` (mode 0600), read anew when it changes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._stamp: tuple[int, int] | None = None
        self._tokens: tuple[Token, ...] = ()

    def load(self) -> tuple[Token, ...]:
        """Every token; raise TokenError if the file cannot be read."""
        try:
            stat = self.file.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if stamp != self._stamp:
                self._tokens = TypeAdapter(tuple[Token, ...]).validate_json(self.file.read_bytes())
                self._stamp = stamp
        except FileNotFoundError:
            self._tokens, self._stamp = (), None
        except OSError as error:
            raise TokenFileError(f"{self.file}: cannot be read: {error.strerror}") from None
        except ValidationError:
            raise TokenFileError(f"{self.file}: is not a token file; make a new one with `token create`") from None
        return self._tokens

    def create(self, name: str, scopes: tuple[Any, ...], now: datetime) -> str:
        """Add a token of 256 random bits and return it: this is the only time it can be seen."""
        if not _NAME.fullmatch(name):
            raise TokenError(f"{name!r} cannot name a token: letters, digits, '_', '.' and '-' only (64 at most)")
        tokens = self.load()
        if any(token.name == name for token in tokens):
            raise TokenError(f"a token called {name!r} exists already; choose another name")
        secret = secrets.token_urlsafe(32)
        made = Token(name=name, sha256=_hash(secret.encode()), scopes=scopes, created=now.isoformat(timespec="seconds"))
        content = json.dumps([token.model_dump() for token in (*tokens, made)], indent=2)
        atomic_write(self.file, content.encode() + b"\n", mode=0o600)
        return secret

    def scopes(self, authorization: bytes) -> frozenset[str]:
        """What an Authorization header opens: nothing, unless it is `Bearer` with a known token."""
        return self.opened(authorization)[1]

    def opened(self, authorization: bytes) -> tuple[str, frozenset[str]]:
        """The name of the token in an Authorization header, and what it opens."""
        kind, _, secret = authorization.partition(b" ")
        if kind.lower() != b"bearer":
            return "", frozenset()
        presented = _hash(secret.strip())
        name, opened = "", frozenset[str]()
        for token in self.load():  # every one is compared, so that the time tells nothing
            if hmac.compare_digest(token.sha256, presented):
                name, opened = token.name, frozenset(token.scopes)
        return name, opened | {"read", "alert"} if "operate" in opened else opened


def _hash(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
