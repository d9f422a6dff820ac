"""Keys that make it safe to ask again: what was asked for with a key is begun once, and answered alike each time.

(https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/) A key is entered with its answer before
anything is enqueued, and marked before the run does anything. So whoever asks again after a crash has begun what was
only enqueued, and never begins a second time what had begun.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from exporter.store.store import Store

KEPT = timedelta(hours=24)
MAX_KEYS = 10_000
"""So many keys of one asker are kept; a further one is refused, as forgetting one could begin something twice."""


class UnderWay(Exception):
    """The first request with this key has not been answered yet."""


class OtherRequest(Exception):
    """The key was given with another request."""


class TooManyKeys(Exception):
    """As many keys of this asker are kept as there may be."""


class Keys:
    """The keys in the store, those of each asker for himself; what is enqueued lives as long as this object."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._life = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._under_way: set[tuple[str, str]] = set()

    def answer(
        self, who: str, key: str, request: str, now: datetime, first: str, enqueue: Callable[[Callable[[], None]], None]
    ) -> str:
        """The answer to a request with a key: `first`, or what the key was answered before.

        Where it is not begun and not enqueued, `enqueue` is called with what it has to call when it begins. Raise
        UnderWay, OtherRequest, TooManyKeys or StoreError.
        """
        with self._alone(who, key):
            answer, is_due = self._claim(who, key, request, now, first)
            if is_due:
                enqueue(lambda: self._mark(who, key))
            return answer

    @contextlib.contextmanager
    def _alone(self, who: str, key: str) -> Iterator[None]:
        with self._lock:
            if (who, key) in self._under_way:
                raise UnderWay
            self._under_way.add((who, key))
        try:
            yield
        finally:
            self._under_way.discard((who, key))

    def _claim(self, who: str, key: str, request: str, now: datetime, first: str) -> tuple[str, bool]:
        """The answer, and whether it is now us who have to enqueue the request."""
        with self._store.transaction() as db:
            db.execute("DELETE FROM idempotency_keys WHERE created < ?", ((now - KEPT).timestamp(),))
            sql = "SELECT request, answer, life, begun FROM idempotency_keys WHERE who = ? AND key = ?"
            found = db.execute(sql, (who, key)).fetchone()
            if found is None:
                count = db.execute("SELECT count(*) FROM idempotency_keys WHERE who = ?", (who,)).fetchone()[0]
                if count >= MAX_KEYS:
                    raise TooManyKeys
                values = (who, key, request, first, self._life, now.timestamp())
                db.execute("INSERT INTO idempotency_keys VALUES (?, ?, ?, ?, ?, 0, ?)", values)
                return first, True
            before, answer, life, begun = found
            if before != request:
                raise OtherRequest
            is_due = not begun and life != self._life
            if is_due:
                sql = "UPDATE idempotency_keys SET life = ? WHERE who = ? AND key = ?"
                db.execute(sql, (self._life, who, key))
            return str(answer), is_due

    def _mark(self, who: str, key: str) -> None:
        with self._store.transaction() as db:
            db.execute("UPDATE idempotency_keys SET begun = 1 WHERE who = ? AND key = ?", (who, key))
