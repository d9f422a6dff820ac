"""The audit log: every decision about a remediation, each entry chained to the one before it by its hash.

An entry's hash is SHA-256 over its sequence number, the hash of the entry before it and its own canonical JSON (keys
sorted, no blanks, ASCII), each on a line. Whoever changes, removes or moves an entry breaks the chain from there on;
what is cut off at the end shows by the number that SQLite remembers as given last. Whoever can write the file can also
make a whole new chain: against that, each entry's number and hash are logged, an anchor that is kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from exporter.bridge.model import Alert
from exporter.store import Store
from jobs.core.model import clean_message

DAEMON = "daemon"
"""Who decided, where no person did; else `token:NAME` or `user:NAME`."""
BEGINNING = "0" * 64
"""What stands for the hash before the first entry."""
_PAGE = 500


@dataclass(frozen=True)
class Link:
    """An entry's place in the chain."""

    sequence: int
    hash: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"


@dataclass
class Book:
    """The audit log within one transaction (`db`)."""

    db: sqlite3.Connection
    links: list[Link] = field(default_factory=list)

    def note(
        self,
        now: datetime,
        who: str,
        what: str,
        outcome: str,
        *,
        detail: str = "",
        alert: Alert | None = None,
        rule: str = "",
        remediation: int | None = None,
    ) -> None:
        """Enter a decision: who decided what, and what came of it."""
        about = alert and {
            "name": alert.name,
            "fingerprint": alert.fingerprint,
            "starts_at": alert.starts_at.isoformat(),
        }
        entry = {"at": now.isoformat(), "who": who, "what": what, "outcome": outcome, "detail": clean_message(detail)}
        self.links.append(append(self.db, {**entry, "alert": about, "rule": rule, "remediation": remediation}))


@contextmanager
def recorded(store: Store) -> Iterator[Book]:
    """One transaction with the entries that belong to it; they are logged once they are durable. Raise StoreError."""
    with store.transaction() as db:
        book = Book(db)
        yield book
    for link in book.links:
        logging.getLogger(__name__).info("audit entry", extra={"sequence": link.sequence, "hash": link.hash})


def append(db: sqlite3.Connection, entry: Mapping[str, Any]) -> Link:
    """Add an entry at the end of the chain, within a transaction."""
    last = db.execute("SELECT hash FROM audit ORDER BY sequence DESC LIMIT 1").fetchone()
    # Numbers go on after the last that was ever given, so that a gap stays where the end was cut off.
    sequence = _last_given(db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()) + 1
    previous, text = last[0] if last else BEGINNING, canonical(entry)
    link = Link(sequence, _hash(sequence, previous, text.encode()))
    db.execute("INSERT INTO audit VALUES (?, ?, ?, ?)", (sequence, text, previous, link.hash))
    return link


def canonical(entry: Mapping[str, Any]) -> str:
    """An entry as the one text that its hash is taken of."""
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class Verdict:
    """What a look at the whole chain found: how many entries are whole, the last of them, and the first `fault`."""

    entries: int
    last: Link | None
    fault: str = ""


def verify(store: Store, anchor: Link | None = None) -> Verdict:
    """Follow the chain from its beginning to its end; an `anchor` must be one of its links. Raise StoreError."""
    # Asked first, as others may add entries while we read.
    given = _last_given((store.rows("SELECT seq FROM sqlite_sequence WHERE name = 'audit'") or [None])[0])
    whole, anchored = Link(0, BEGINNING), anchor is None
    for sequence, text, previous, found in _rows(store):
        fault = _fault(whole, sequence, text, previous, found)
        if fault:
            return Verdict(whole.sequence, whole if whole.sequence else None, fault)
        whole = Link(sequence, found)
        if anchor and anchor.sequence == sequence:
            if anchor.hash != found:
                return Verdict(sequence, whole, f"entry {sequence}: another one than the anchor names ({found} here)")
            anchored = True
    fault = _fault_at_end(given, whole, None if anchored else anchor)
    return Verdict(whole.sequence, whole if whole.sequence else None, fault)


def entries(store: Store, limit: int) -> list[dict[str, Any]]:
    """The newest entries, newest first, with their sequence numbers and hashes. Raise StoreError."""
    sql = "SELECT sequence, CAST(entry AS BLOB), CAST(hash AS BLOB) FROM audit ORDER BY sequence DESC LIMIT ?"
    rows = store.rows(sql, limit)
    return [{**_readable(text), "sequence": at, "hash": found.decode("ascii", "replace")} for at, text, found in rows]


def _rows(store: Store) -> Iterator[tuple[int, bytes, str, str]]:
    """Every entry as it is in the file; whoever changed one need not have left text."""
    after = 0
    sql = (
        "SELECT sequence, CAST(entry AS BLOB), CAST(previous AS BLOB), CAST(hash AS BLOB) FROM audit"
        " WHERE sequence > ? ORDER BY sequence LIMIT ?"
    )
    while rows := store.rows(sql, after, _PAGE):
        for sequence, text, *hashes in rows:
            previous, found = (value.decode("ascii", "replace") for value in hashes)
            yield sequence, text, previous, found
        after = rows[-1][0]


def _fault(before: Link, sequence: int, text: bytes, previous: str, found: str) -> str:
    if sequence != before.sequence + 1:
        return f"entry {before.sequence + 1}: removed; the next one that is there is {sequence}"
    if found != _hash(sequence, previous, text):
        return f"entry {sequence}: changed, or put where another one was: its hash is not that of what it says"
    if previous != before.hash:
        return f"entry {sequence}: does not follow the one before it, which was exchanged"
    return ""


def _fault_at_end(given: int, whole: Link, missing: Link | None) -> str:
    if given > whole.sequence:
        return f"entry {whole.sequence + 1}: cut off at the end; {given} was the last number given"
    if missing:
        return f"entry {missing.sequence}: cut off at the end; the anchor names it, and the last is {whole.sequence}"
    return ""


def _last_given(row: Any) -> int:
    return int(row[0]) if row else 0


def _hash(sequence: int, previous: str, text: bytes) -> str:
    return hashlib.sha256(f"{sequence}\n{previous}\n".encode() + text).hexdigest()


def _readable(text: bytes) -> dict[str, Any]:
    """What an entry says; one that was tampered with may say anything."""
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        entry = None
    return entry if isinstance(entry, dict) else {"detail": f"cannot be read: {text[:200]!r}"}
