"""The outbox: messages that are written down with what they tell of, and wait here for each channel to take them."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from exporter.bridge.families import NOTIFICATIONS
from exporter.bridge.model import Message
from exporter.bridge.outgoing import breaker, standing
from exporter.bridge.outgoing.channels import ALERTMANAGER, channel_names
from exporter.settings import Settings
from exporter.store import Store, add_counters
from jobs.core.model import Severity, clean_message

BASE_SECONDS, CAP_SECONDS = 10.0, 3600.0
"""The first wait before another attempt is up to the first, and each further one up to twice as long."""
_LEAST_SECONDS = 1.0
_SELECT = "SELECT id, channel, message, attempts, state, created, due, finished, error FROM outbox"

# An entry waits for an earlier one of its channel that tells of the same problem, and for one of the same thread if
# that is due or was tried: what is merely held until the quiet hours end is overtaken. {moment} is when the entry
# itself could be sent. (SQLite joins in the given order where the join is a CROSS JOIN: few messages tell of a problem,
# many wait.)
_BLOCKED = """
EXISTS (SELECT 1 FROM outbox e WHERE e.state = 'pending' AND e.channel = o.channel AND e.thread = o.thread
        AND e.id < o.id AND (e.attempts > 0 OR e.due <= {moment}))
OR EXISTS (SELECT 1 FROM told mine CROSS JOIN told other ON other.problem = mine.problem AND other.entry < mine.entry
           CROSS JOIN outbox e ON e.id = other.entry
           WHERE mine.entry = o.id AND e.state = 'pending' AND e.channel = o.channel)
"""
_OPENS = "max(o.due, coalesce(c.closed_until, 0))"
_DUE = f"""
{_SELECT} JOIN (
  SELECT o.id AS ready, coalesce(c.failures, 0) AS failures, row_number() OVER (PARTITION BY o.channel ORDER BY o.id)
  AS place FROM outbox o LEFT JOIN channels c ON c.name = o.channel
  WHERE o.state = 'pending' AND o.channel = coalesce(?, o.channel)
  AND {_OPENS} <= ? AND NOT ({_BLOCKED.format(moment="?")})
) ON id = ready WHERE failures < {breaker.FAILURES} OR place = 1 ORDER BY id LIMIT ?
"""  # noqa: S608  # made of constants
_NEXT_DUE = f"""
SELECT min({_OPENS}) FROM outbox o LEFT JOIN channels c ON c.name = o.channel
WHERE o.state = 'pending' AND NOT ({_BLOCKED.format(moment=_OPENS)})
"""  # noqa: S608  # made of constants


@dataclass(frozen=True)
class Entry:
    """A message on its way through one channel. Times are Unix times; `due` is that of the next attempt.

    `state` is pending, sent, dead (given up), withdrawn (not needed any more) or discarded (by a person).
    """

    id: int
    channel: str
    message: Message
    attempts: int
    state: str
    created: float
    due: float
    finished: float | None
    error: str


def post(
    db: sqlite3.Connection,
    message: Message,
    settings: Settings,
    now: datetime,
    channels: Sequence[str] | None = None,
    not_before: datetime | None = None,
) -> dict[str, int]:
    """Write a message for each channel (all that are configured) and return the entries; twice is as once.

    What is not critical waits until the quiet hours are over. Alertmanager has hours of its own, and hears all at once.
    """
    document, entries = message.model_dump_json(), {}
    for channel in channel_names(settings) if channels is None else channels:
        due = now if channel == ALERTMANAGER else _due(message.severity, not_before or now, settings)
        # What is held back is not late: its age counts from when it may go.
        db.execute(
            "INSERT OR IGNORE INTO outbox (message_id, channel, message, thread, created, due)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (message.id, channel, document, message.thread, due.timestamp(), due.timestamp()),
        )
        row = db.execute("SELECT id FROM outbox WHERE message_id = ? AND channel = ?", (message.id, channel)).fetchone()
        entries[channel] = int(row[0])
    return entries


def quiet_until(moment: datetime, settings: Settings) -> datetime | None:
    """When the quiet hours end in which a moment is; those that follow one another are as one."""
    quiet, until = settings.notifications.quiet_hours, moment
    for _ in range(len(quiet) + 1):
        until = max((end for hours in quiet if (end := hours.until(until))), default=until)
    return until if until > moment else None


def _due(severity: Severity, moment: datetime, settings: Settings) -> datetime:
    return moment if severity is Severity.CRITICAL else quiet_until(moment, settings) or moment


class Outbox:
    """What the channels have to send; every method is one transaction and may raise StoreError."""

    def __init__(self, store: Store, rng: random.Random | None = None) -> None:
        self._store = store
        self._random = rng or random.Random()

    def due(self, now: datetime, limit: int, channel: str | None = None) -> list[Entry]:
        """What can be sent now (through one channel), oldest first: of one that failed again and again, one."""
        stamp, found = now.timestamp(), list[Entry]()
        for row in self._store.rows(_DUE, channel, stamp, stamp, limit):
            if entry := _entry(row):
                found.append(entry)
            else:
                self._give_up_unreadable(row[0], row[1], stamp)
        return found

    def next_due(self) -> float | None:
        """From when on (Unix time) there is something to send; None if nothing waits."""
        value = self._store.rows(_NEXT_DUE)[0][0]
        return None if value is None else float(value)

    def sent(self, entry: Entry, now: datetime) -> None:
        """A channel took it."""
        stamp = now.timestamp()
        with self._store.transaction() as db:
            cursor = db.execute(
                "UPDATE outbox SET state = 'sent', attempts = attempts + 1, finished = ?, error = ''"
                " WHERE id = ? AND state != 'sent'",
                (stamp, entry.id),
            )
            if cursor.rowcount:
                breaker.note_success(db, entry.channel, stamp)
                _count(db, entry.channel, "sent")

    def failed(
        self,
        entry: Entry,
        now: datetime,
        error: str,
        permanent: bool,
        settings: Settings,
        retry_after_seconds: float | None = None,
    ) -> bool:
        """A channel did not take it: try again later, or give up where that is no use or it was long enough.

        Nothing goes to the channel before `retry_after_seconds`, where it asked for that. Return whether it gave up.
        """
        stamp, reason = now.timestamp(), str(clean_message(error))
        age_seconds = stamp - entry.created
        dead = permanent or (entry.attempts > 0 and age_seconds >= settings.notifications.give_up_hours * 3600)
        longest = min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(entry.attempts, 30))
        with self._store.transaction() as db:
            cursor = db.execute(
                "UPDATE outbox SET state = ?, attempts = attempts + 1, due = ?, finished = ?, error = ?"
                " WHERE id = ? AND state = 'pending'",
                (
                    "dead" if dead else "pending",
                    # Full jitter: after an outage of a server that many write to, they do not all come back at once.
                    stamp + max(_LEAST_SECONDS, self._random.uniform(0, longest)),
                    stamp if dead else None,
                    reason,
                    entry.id,
                ),
            )
            if cursor.rowcount:
                breaker.note_failure(db, entry.channel, stamp, reason, closes=not permanent)
                if retry_after_seconds:
                    breaker.close(db, entry.channel, stamp + retry_after_seconds)
                _count(db, entry.channel, "dead" if dead else "failed")
        return dead

    def entries(self, state: str, limit: int) -> list[Entry]:
        """The newest entries in a state, newest first."""
        sql = _SELECT + " WHERE state = ? ORDER BY id DESC LIMIT ?"
        return [entry for row in self._store.rows(sql, state, limit) if (entry := _entry(row))]

    def retry_dead(self, channel: str | None, now: datetime) -> int:
        """Try again, from the beginning, what was given up (in one channel); return how many there are."""
        stamp = now.timestamp()
        with self._store.transaction() as db:
            breaker.reopen(db, channel)
            return db.execute(
                "UPDATE outbox SET state = 'pending', attempts = 0, created = ?, due = ?, finished = NULL"
                " WHERE state = 'dead' AND channel = coalesce(?, channel)",
                (stamp, stamp, channel),
            ).rowcount

    def discard_dead(self, channel: str | None, now: datetime) -> int:
        """Put aside what was given up (in one channel); return how many there were."""
        with self._store.transaction() as db:
            return db.execute(
                "UPDATE outbox SET state = 'discarded', finished = ?"
                " WHERE state = 'dead' AND channel = coalesce(?, channel)",
                (now.timestamp(), channel),
            ).rowcount

    def forget_channels(self, configured: Sequence[str], now: datetime) -> int:
        """Withdraw what waits for channels that there are no more, and what is known of them; return how many."""
        known = json.dumps(list(configured))
        with self._store.transaction() as db:
            breaker.forget_others(db, configured)
            return db.execute(
                "UPDATE outbox SET state = 'withdrawn', finished = ?, error = 'its channel is not configured any more'"
                " WHERE state = 'pending' AND channel NOT IN (SELECT value FROM json_each(?))",
                (now.timestamp(), known),
            ).rowcount

    def prune(self, now: datetime, retention: timedelta) -> None:
        """Forget problems that are long over, and messages that were long done with."""
        with self._store.transaction() as db:
            standing.prune(db, now - retention)

    def _give_up_unreadable(self, entry_id: int, channel: str, stamp: float) -> None:
        with self._store.transaction() as db:
            db.execute(
                "UPDATE outbox SET state = 'dead', finished = ?, error = 'written by another version' WHERE id = ?",
                (stamp, entry_id),
            )
            _count(db, channel, "dead")


def _count(db: sqlite3.Connection, channel: str, result: str) -> None:
    add_counters(db, {(NOTIFICATIONS.name, (("channel", channel), ("result", result))): 1.0})


def _entry(row: Sequence[object]) -> Entry | None:
    number, channel, document, *rest = row
    with contextlib.suppress(ValidationError):  # of an older version: it cannot be sent any more
        return Entry(number, channel, Message.model_validate_json(str(document)), *rest)  # type: ignore[arg-type]
    return None
