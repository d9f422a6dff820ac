"""Bearer tokens: made here, shown once, kept as SHA-256 with the scopes that they open."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError

from exporter.locks import Busy, FileLock
from jobs.core.files import atomic_write
from jobs.core.model import Value

ScopeName = Literal["scrape", "read", "operate", "alert"]
SCOPES: tuple[ScopeName, ...] = get_args(ScopeName)
_OPENS: dict[str, frozenset[str]] = {
    "scrape": frozenset({"scrape"}),
    "read": frozenset({"scrape", "read"}),
    "operate": frozenset(SCOPES),
    "alert": frozenset({"alert"}),
}
"""What each scope opens: `scrape` the metrics where they need a token, `alert` nothing but the intake of alerts."""
_LOCK_SECONDS = 5.0
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}")


_Stamp = tuple[int, int, int, int]


class TokenError(ValueError):
    """What was asked is not right; the message is one line."""


class TokenFileError(TokenError):
    """The token file cannot be used."""


class Token(Value):
    """What is kept of a token."""

    name: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: tuple[ScopeName, ...]
    created: str


class Tokens:
    """The tokens in `file` (mode 0600), read anew when it changes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        # One value, so that of two threads that read at once none pairs what is old with the stamp of what is new.
        self._loaded: tuple[_Stamp | None, tuple[Token, ...]] = (None, ())

    def load(self) -> tuple[Token, ...]:
        """Every token; raise TokenError if the file cannot be read."""
        try:
            stat = self.file.stat()
            stamp = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_size)
            known, tokens = self._loaded
            if stamp != known:
                tokens = TypeAdapter(tuple[Token, ...]).validate_json(self.file.read_bytes())
                self._loaded = (stamp, tokens)
        except FileNotFoundError:
            self._loaded, tokens = (None, ()), ()
        except OSError as error:
            self._loaded = (None, ())
            raise TokenFileError(f"{self.file}: cannot be read: {error.strerror}") from None
        except ValidationError:
            self._loaded = (None, ())
            raise TokenFileError(f"{self.file}: is not a token file; make a new one with `token create`") from None
        return tokens

    def create(self, name: str, scopes: tuple[Any, ...], now: datetime) -> str:
        """Add a token of 256 random bits and return it: this is the only time it can be seen."""
        if not _NAME.fullmatch(name):
            raise TokenError(f"{name!r} cannot name a token: letters, digits, '_', '.' and '-' only (64 at most)")
        with self._alone():
            tokens = self.load()
            if any(token.name == name for token in tokens):
                raise TokenError(f"a token called {name!r} exists already; choose another name")
            secret, created = secrets.token_urlsafe(32), now.isoformat(timespec="seconds")
            self._write((*tokens, Token(name=name, sha256=_hash(secret.encode()), scopes=scopes, created=created)))
        return secret

    def revoke(self, name: str) -> Token:
        """Take a token away and return what was kept of it; raise TokenError where there is none of this name."""
        with self._alone():
            tokens = self.load()
            revoked = next((token for token in tokens if token.name == name), None)
            if revoked is None:
                names = ", ".join(token.name for token in tokens) or "none"
                raise TokenError(f"no token is called {name[:100]!r}; there are: {names}")
            self._write(tuple(token for token in tokens if token is not revoked))
        return revoked

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let nobody else change the file: of two changes at once, one would be lost. Raise TokenFileError, OSError."""
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                lock = FileLock(self.file.with_suffix(".lock"), "a command that changes tokens")
                break
            except Busy as busy:
                if time.monotonic() > deadline:
                    raise TokenFileError(f"{self.file}: is being changed by {busy.holder}; try again") from None
                time.sleep(0.01)
        try:
            yield
        finally:
            lock.release()

    def _write(self, tokens: tuple[Token, ...]) -> None:
        content = json.dumps([token.model_dump() for token in tokens], indent=2)
        atomic_write(self.file, content.encode() + b"\n", mode=0o600)

    def scopes(self, authorization: bytes) -> frozenset[str]:
        """What an Authorization header opens: nothing, unless it is `Bearer` with a known token."""
        return self.opened(authorization)[1]

    def opened(self, authorization: bytes) -> tuple[str, frozenset[str]]:
        """The name of the token in an Authorization header, and what it opens."""
        return _opened(self.load(), authorization)

    def remembered(self, authorization: bytes) -> tuple[str, frozenset[str]]:
        """The same by what was last read of the file: this never waits for the disk."""
        return _opened(self._loaded[1], authorization)


def _opened(tokens: tuple[Token, ...], authorization: bytes) -> tuple[str, frozenset[str]]:
    kind, _, secret = authorization.partition(b" ")
    if kind.lower() != b"bearer":
        return "", frozenset()
    presented = _hash(secret.strip())
    name, opened = "", frozenset[str]()
    for token in tokens:  # every one is compared, so that the time tells nothing
        if hmac.compare_digest(token.sha256, presented):
            name, opened = token.name, frozenset[str]().union(*(_OPENS[scope] for scope in token.scopes))
    return name, opened


def _hash(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
