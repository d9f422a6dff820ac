"""The backup of a database: what pg_dump writes, and what the dumped snapshot holds, to compare a restore with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from jobs.backups.sink import GzipWriter, Sink
from jobs.backups.targets import Facts
from jobs.clients.errors import ClientError
from jobs.core.backups import Format

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.clients.postgres import Postgres
    from jobs.clients.postgres_content import Content
    from jobs.clients.postgres_session import Session

_DUMP_PART = 0.25
"""What a compressed dump is of its database, about, as long as no dump of it is known."""
_JOIN_SECONDS = 30.0
# A server may end whoever idles in a transaction, as we do once the rows are counted (17 on: any long transaction).
_STAY = """
SELECT set_config(name, '0', false) FROM pg_settings
 WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')
"""


def database_maker(
    clients: Clients, postgres: Postgres, database: str, form: Format, *, lock_timeout_seconds: float
) -> Callable[[Sink, float], Facts]:
    """What makes the backup of one database."""

    def make(sink: Sink, timeout_seconds: float) -> Facts:
        from jobs.clients.pg_dump import Completeness, dumping

        with postgres.session(database) as session:
            [(size,)] = session.query("SELECT pg_database_size(current_database())")
            sink.expect(int(size * _DUMP_PART))
            snapshot = _export_snapshot(session)
            with (
                dumping(
                    postgres,
                    session,
                    snapshot,
                    form,
                    clients.docker,
                    timeout_seconds=timeout_seconds,
                    lock_timeout_seconds=lock_timeout_seconds,
                ) as (program, tool),
                _Counting(session, timeout_seconds) as counting,
            ):
                completeness = Completeness(form)
                with _compressing(form, sink) as out:
                    for chunk in program.chunks():
                        counting.check()
                        completeness.feed(chunk)
                        out.write(chunk)
                    out.finish()
                program.wait()
                completeness.check()
                content = counting.result()
            return Facts(
                tool=tool,
                server_version=_spelt(session.server_version),
                database=database,
                schema_fingerprint=content.schema_fingerprint,
                row_counts=content.row_counts,
            )

    return make


class _Counting:
    """Reads on a thread what the snapshot of `session` holds, while pg_dump writes it."""

    def __init__(self, session: Session, timeout_seconds: float) -> None:
        self._session, self._timeout_seconds = session, timeout_seconds
        self._content: Content | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._count, name="row counts", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._session.cancel()
            self._thread.join(_JOIN_SECONDS)

    def check(self) -> None:
        """Raise what has gone wrong so far."""
        if self._error is not None:
            raise self._error

    def result(self) -> Content:
        """What was found; raise ClientError where it could not be."""
        self._thread.join(self._timeout_seconds)
        self.check()
        if self._content is None:
            raise ClientError(f"the rows could not be counted within {self._timeout_seconds:g} s")
        return self._content

    def _count(self) -> None:
        from jobs.clients.postgres_content import read_content

        try:
            self._content = read_content(self._session, timeout_seconds=self._timeout_seconds)
        except Exception as error:  # noqa: BLE001  # raised again by `check`, in the thread that asked
            self._error = error


class _Plain:
    """A writer that compresses nothing: pg_dump has done so."""

    def __init__(self, sink: Sink) -> None:
        self.write = sink.write

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def finish(self) -> None:
        """Nothing is under way."""


def _compressing(form: Format, sink: Sink) -> GzipWriter | _Plain:
    return GzipWriter(sink.write) if form is Format.SQL else _Plain(sink)


def _export_snapshot(session: Session) -> str:
    """Begin a transaction and name its snapshot: as long as it is open, others can look at the same state."""
    session.query(_STAY)
    session.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    [(snapshot,)] = session.query("SELECT pg_export_snapshot()")
    return str(snapshot)


def _spelt(server_version: int) -> str:
    """A version as people write it: 15.18 for 150018, 9.6.24 for 90624."""
    major, rest = divmod(server_version, 10000)
    return f"{major}.{rest}" if major >= 10 else f"{major}.{rest // 100}.{rest % 100}"
