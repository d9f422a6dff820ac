"""A connection that a maintenance works over, and the lock that it may hold."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from jobs.clients import postgres_tables as client
from jobs.clients.errors import ClientError
from jobs.clients.postgres_session import Session

_LOCK_WAIT_SECONDS = 5.0


class NotLocked(ClientError):
    """Somebody else maintains the database."""


class Connection:
    """A connection to the database that is opened when it is needed, and anew where the server has ended it."""

    def __init__(
        self, opener: Callable[[], AbstractContextManager[Session]], lock_timeout_seconds: float, *, holds_lock: bool
    ) -> None:
        self._opener, self._lock_timeout_seconds, self._holds_lock = opener, lock_timeout_seconds, holds_lock
        self._stack = ExitStack()
        self._session: Session | None = None
        self.losses = 0

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def session(self) -> Session:
        """A session that lives; raise ClientError where there is none to be had, NotLocked without the lock."""
        if self._session is None or not self._session.alive:
            self._stack.close()
            session = self._stack.enter_context(self._opener())
            client.prepare(session, self._lock_timeout_seconds)
            if self._holds_lock and not self._locked(session, wait_seconds=_LOCK_WAIT_SECONDS if self.losses else 0):
                raise NotLocked(f"another maintenance is at work in {session.database!r}")
            self._session = session
        return self._session

    @property
    def alive(self) -> bool:
        """Whether the session that was opened last can still be used."""
        return self._session is not None and self._session.alive

    def lost(self) -> None:
        """The server has ended the session: the next one is a new one."""
        self.losses += 1
        self._session = None

    def _locked(self, session: Session, wait_seconds: float) -> bool:
        """Take the lock; that of a session which was ended is free a moment after its end is known."""
        deadline = time.monotonic() + wait_seconds
        while not client.try_lock(session):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)
        return True
