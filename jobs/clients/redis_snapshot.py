"""A snapshot of Redis's data over the network, as a replica gets it (`redis-cli --rdb` does the same).

The server forks and streams an RDB file, from whatever moment it forked; no file of the server's is read or written by
us, and no key is touched. Source of the framing: readSyncBulkPayload in Redis's replication.c.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jobs.clients.errors import ClientError, Refused
from jobs.clients.redis_session import Session
from jobs.clients.redis_wire import BadReply, ErrorReply
from jobs.core.rdb import RdbCheck, RdbError

_MARK_BYTES = 40
_MAX_SILENCE_SECONDS = 60.0
"""A server that has not begun sends a line end every second; Redis's own replicas give up after as long."""


@dataclass(frozen=True)
class SnapshotFacts:
    """What was written. `keys` is their number where all are in one database; `checksum` says that it proved itself."""

    bytes: int
    redis_version: str
    keys: int | None
    checksum: bool


def receive(
    session: Session, write: Callable[[bytes], object], *, deadline_seconds: float, max_bytes: int | None
) -> SnapshotFacts:
    """Ask for a snapshot on a connection that is then of no further use; see `Redis.snapshot`."""
    info = session.info()
    check, written = RdbCheck(), 0
    try:
        for piece in _pieces(session, time.monotonic() + deadline_seconds, max_bytes):
            check.feed(piece)
            written += len(piece)
            if max_bytes is not None and written > max_bytes:
                raise _too_large(session, max_bytes)
            write(piece)
        facts = check.finish()
    except RdbError as error:
        raise ClientError(f"Redis at {session.where}: the snapshot is not whole: {error}") from None
    databases = sum(name.startswith("db") and name[2:].isdigit() for name in info)
    keys = facts.keys if databases <= 1 else None
    return SnapshotFacts(facts.bytes, facts.redis_version or info.get("redis_version", ""), keys, facts.checksum)


def _pieces(session: Session, deadline: float, max_bytes: int | None) -> Iterator[bytes]:
    try:
        frame = _begin(session, deadline)
        if frame.startswith(b"EOF:") and len(frame) == 4 + _MARK_BYTES:
            yield from _until_mark(session, deadline, frame[4:])
        elif frame.isdigit() and len(frame) <= 15:
            length = int(frame)
            if max_bytes is not None and length > max_bytes:
                raise _too_large(session, max_bytes)
            yield from _counted(session, deadline, length)
        else:
            raise BadReply("the snapshot has no known framing")
    except TimeoutError:
        limit = "its deadline" if time.monotonic() >= deadline else f"{_MAX_SILENCE_SECONDS:g} s of silence"
        raise ClientError(f"Redis at {session.where}: the snapshot was not there within {limit}") from None
    except ErrorReply as error:
        _explain(session, error)
    except (BadReply, OSError) as error:  # of the connection: what `write` raises is raised elsewhere
        session.explain(error, ["SYNC"])


def _begin(session: Session, deadline: float) -> bytes:
    """Ask for the snapshot, and return how it will be framed."""
    # Servers before 6.2 know no rdb-only and would go on to stream writes, which we hang up on.
    for option in (("capa", "eof"), ("rdb-only", "1")):
        try:
            session.wire.ask("REPLCONF", *option)
        except ErrorReply as error:
            if error.code == "NOPERM":
                raise
    session.wire.send("SYNC")
    while True:
        _wait(session, deadline)
        line = session.wire.line()
        if line.startswith(b"-"):
            raise ErrorReply(line[1:].decode("utf-8", "replace"))
        if line.startswith(b"$"):
            return line[1:]
        if line:
            raise BadReply("SYNC is answered with something else than a snapshot")


def _counted(session: Session, deadline: float, length: int) -> Iterator[bytes]:
    while length:
        _wait(session, deadline)
        piece = session.wire.piece(min(length, 262144))
        length -= len(piece)
        yield piece


def _until_mark(session: Session, deadline: float, mark: bytes) -> Iterator[bytes]:
    held = b""
    while not held.endswith(mark):
        _wait(session, deadline)
        held += session.wire.piece()
        # The end of what came may be the beginning of the mark.
        if len(held) > _MARK_BYTES:
            yield held[:-_MARK_BYTES]
            held = held[-_MARK_BYTES:]


def _wait(session: Session, deadline: float) -> None:
    session.wire.limit(min(deadline - time.monotonic(), _MAX_SILENCE_SECONDS))


def _explain(session: Session, error: ErrorReply) -> None:
    if error.code == "NOPERM":
        raise Refused(
            f"Redis at {session.where}: the user may not take a snapshot; let it (ACL SETUSER NAME +sync +replconf)"
        ) from None
    session.explain(error, ["SYNC"])


def _too_large(session: Session, max_bytes: int) -> ClientError:
    return ClientError(f"Redis at {session.where}: the snapshot has more than the {max_bytes} bytes that are allowed")
