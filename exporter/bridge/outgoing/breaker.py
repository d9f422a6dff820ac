"""How each channel does: its failures in a row, and until when nothing is tried in it. The table `channels`.

What is known is in the store, so that the next process knows it as well. Every function works within a transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

FAILURES = 3
"""After so many failures in a row nothing is tried in that channel for a while, and then one message alone."""
FIRST_SECONDS, CAP_SECONDS = 10.0, 300.0
"""For how long: the first time, and at most; each time twice as long."""


def note_success(db: sqlite3.Connection, channel: str, stamp: float) -> None:
    """A channel took a message."""
    db.execute(
        "INSERT INTO channels (name, last_attempt, last_success) VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
        " SET failures = 0, closed_until = 0, last_attempt = excluded.last_attempt,"
        " last_success = excluded.last_success, error = ''",
        (channel, stamp, stamp),
    )


def note_failure(db: sqlite3.Connection, channel: str, stamp: float, error: str, *, closes: bool) -> None:
    """A channel did not do what was asked; if it `closes`, one that fails again and again is left alone."""
    db.execute(
        "INSERT INTO channels (name, failures, last_attempt, error) VALUES (?, 1, ?, ?) ON CONFLICT DO UPDATE"
        " SET failures = failures + 1, last_attempt = excluded.last_attempt, error = excluded.error",
        (channel, stamp, error),
    )
    failures = db.execute("SELECT failures FROM channels WHERE name = ?", (channel,)).fetchone()[0]
    if closes and failures >= FAILURES:
        wait = min(CAP_SECONDS, FIRST_SECONDS * 2.0 ** min(failures - FAILURES, 30))
        close(db, channel, stamp + wait)


def note_recovery(db: sqlite3.Connection, channel: str) -> None:
    """A channel that had failed works, though no message went through it."""
    db.execute("UPDATE channels SET failures = 0, error = '' WHERE name = ? AND failures > 0", (channel,))


def close(db: sqlite3.Connection, channel: str, until: float) -> None:
    """Try nothing in a channel before a Unix time."""
    db.execute("UPDATE channels SET closed_until = max(closed_until, ?) WHERE name = ?", (until, channel))


def reopen(db: sqlite3.Connection, channel: str | None) -> None:
    """Try a channel again at once (None: every channel)."""
    db.execute("UPDATE channels SET closed_until = 0 WHERE name = coalesce(?, name)", (channel,))


def forget_others(db: sqlite3.Connection, configured: Sequence[str]) -> None:
    """Forget what is known of channels that there are no more."""
    known = json.dumps(list(configured))
    db.execute("DELETE FROM channels WHERE name NOT IN (SELECT value FROM json_each(?))", (known,))
