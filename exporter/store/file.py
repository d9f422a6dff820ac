"""The store's file as all its parts use it: one connection for all threads, transactions, and one kind of error."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from exporter.record import Record
from exporter.store.schema import open_to_read, open_to_write

STALL_SECONDS = 12
"""An access that lasts longer (SQLite itself gives up before that) waits for a disk that is stuck."""


class StoreError(Exception):
    """The store cannot be read or written; the message names the file, the reason and the remedy."""


class StoreFile:
    """The SQLite file `file`; with `read_only` nothing is written, and a file that is not there reads as empty."""

    def __init__(self, file: Path, *, read_only: bool = False) -> None:
        self.file = file
        self._lock = threading.RLock()
        self._began: float | None = None
        self._open = open_to_read if read_only else open_to_write
        with self._errors():
            self._connection: sqlite3.Connection | None = self._open(file)

    def close(self) -> None:
        """Close the file, until it is used again: a connection must not be there when the process is copied."""
        with self._lock:
            if self._connection:
                self._connection.close()
            self._connection = None

    @property
    def is_stalled(self) -> bool:
        """Whether somebody waits in vain for the store: a frozen disk answers nothing."""
        began = self._began
        return began is not None and time.monotonic() - began > STALL_SECONDS

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone; raise StoreError."""
        with self._lock, self._errors():
            if self._connection is None:
                self._connection = self._open(self.file)
            yield self._connection

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction, for the tables that other modules keep in this file; raise StoreError.

        It is committed, durably, when the block ends, and leaves nothing behind when the block raises. Within another
        one it is a part of that.
        """
        with self.reading() as connection:
            if connection.in_transaction:  # ours: the lock is
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """What a query finds, for the tables that other modules keep in this file; raise StoreError."""
        with self.reading() as connection:
            return connection.execute(sql, values).fetchall()

    def records(self, sql: str, *values: Any) -> list[tuple[int, Record]]:
        """The records that a query finds, each with its finish order, by which it is asked for; raise StoreError."""
        found = []
        for order, text in self.rows(sql, *values):
            # A record of an older version that no longer fits is history that cannot be told, not a reason to fail.
            with contextlib.suppress(ValidationError):
                found.append((int(order), Record.model_validate_json(text)))
        return found

    def change_mark(self) -> tuple[int, int]:
        """Something that is different after every change, by this process or another one; raise StoreError."""
        with self.reading() as connection:
            # https://www.sqlite.org/pragma.html#pragma_data_version: of others; of our own there is a count.
            return int(connection.execute("PRAGMA data_version").fetchone()[0]), connection.total_changes

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        before, self._began = self._began, time.monotonic()
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            message = f"{self.file}: the store cannot be used: {reason}; check its disk and its owner"
            raise StoreError(message) from error
        finally:
            self._began = before
