"""Checking a dump beside `gunzip -t && sha256sum`, and restoring it in a drill beside `gunzip | psql`."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC
from functools import cache, partial
from pathlib import Path

from benchmarks.harness import Figure, Gap, Row, in_turns, ratio_at_most
from jobs.core.backups import Format
from jobs.core.drills import DrillState
from jobs.verification.drills import Drills
from jobs.verification.integrity import Integrity, State
from jobs.verification.items import Item, all_items
from jobs.verification.places import Places, find_pg_restore
from jobs.verification.settings import DrillMode
from tests.services.postgres import PostgresServer
from tests.services.process import plain_environment
from tests.services.verification_runs import VerificationRuns

TABLES, ROWS = 8, 350_000
"""About 500 MiB with its indexes."""
_TABLE = """
CREATE TABLE calls_{number} (
  id bigint PRIMARY KEY, agent int NOT NULL, at timestamptz NOT NULL, status text, token text, note text);
INSERT INTO calls_{number}
SELECT i, i * 37 % 1009, '2026-01-01'::timestamptz + i * interval '3 seconds',
       (ARRAY['ok', 'failed', 'late'])[1 + i % 3], md5(i::text),
       'agent ' || i % 97 || ' answered the request of customer ' || i * 31 % 613
  FROM generate_series(1, {rows}) i;
CREATE INDEX ON calls_{number} (agent, at)
"""
_LIMIT_SECONDS = 600.0


def measure(runs: int) -> Iterator[Figure | Gap]:
    """The same dump on both sides; ours compares schema and every row count as well, and the peer compares nothing."""
    with (
        closing(PostgresServer(shared_buffers="128MB", max_wal_size="4GB")) as server,
        tempfile.TemporaryDirectory(prefix="sutazai-bench-") as directory,
    ):
        for number in range(TABLES):
            server.execute(_TABLE.format(number=number, rows=ROWS))
        server.execute("VACUUM ANALYZE")
        made = VerificationRuns(Path(directory), dsn=server.dsn, postgres={"databases": (server.database,)})
        for form in ("sql", "custom"):
            made.make(backup_format=form)
            made.clock.advance(60)
        items = {Format(suffix): item for item in all_items(made.files, UTC) for suffix in [_suffix(item)] if suffix}
        sql, custom = items[Format.SQL], items[Format.CUSTOM_DUMP]
        yield from _checks(made, sql, runs)
        yield from _drills(made, server, sql, custom, runs)


def _suffix(item: Item) -> str:
    return next((form for form in (Format.SQL, Format.CUSTOM_DUMP) if item.path.name.endswith(form)), "")


def _checks(made: VerificationRuns, sql: Item, runs: int) -> Iterator[Figure]:
    integrity = _integrity(made)

    def ours() -> None:
        if integrity.check(sql).state is not State.VERIFIED:
            raise RuntimeError(f"{sql.name} was not verified")

    peer = partial(_shell, 'gunzip -t "$0" && sha256sum "$0"', str(sql.path))
    times = in_turns({"ours": _timed(ours), "peer": _timed(peer)}, runs)
    what = f"check of a .sql.gz of {sql.bytes >> 20} MiB"
    yield Figure(what, "s", times["ours"], times["peer"], "gunzip -t && sha256sum", ratio_at_most(1 / 4))


def _drills(made: VerificationRuns, server: PostgresServer, sql: Item, custom: Item, runs: int) -> Iterator[Figure]:
    sides = {
        "custom": _drill(made, custom, "server"),
        "custom, cluster": _drill(made, custom, "cluster"),
        "sql": _drill(made, sql, "server"),
        "peer": partial(_restore_with_psql, server, sql.path),
    }
    times = in_turns(sides, runs)
    peer, goal = "gunzip | psql", ratio_at_most(1 / 1.5)
    yield Figure("drill of a custom dump, on the server", "s", times["custom"], times["peer"], peer, goal)
    yield Figure(
        "drill of a custom dump, cluster made for it", "s", times["custom, cluster"], times["peer"], peer, goal
    )
    yield Figure("drill of a .sql.gz, on the server", "s", times["sql"], times["peer"], peer)


def _integrity(made: VerificationRuns) -> Integrity:
    return Integrity(lambda: False, cache(partial(find_pg_restore, made.clients())), time.monotonic)


def _drill(made: VerificationRuns, item: Item, mode: DrillMode) -> Callable[[], float]:
    checked, clients = _integrity(made).check(item), made.clients()

    def measured() -> float:
        began = time.perf_counter()
        with Places(clients, mode, None, limit_seconds=_LIMIT_SECONDS) as places:
            drills = Drills(clients, places, lambda: 600.0, limit_seconds=_LIMIT_SECONDS, jobs=2, extensions=())
            drill = drills.drill(checked).drill
        if drill.state is not DrillState.RESTORED:
            raise RuntimeError(f"{item.name}: {drill.reason}")
        return time.perf_counter() - began

    return measured


def _restore_with_psql(server: PostgresServer, dump: Path) -> float:
    server.create_database("peer")
    try:
        began = time.perf_counter()
        script = 'set -o pipefail; gunzip -c "$0" | "$1" -q -X -v ON_ERROR_STOP=1 "$2"'
        _shell(script, str(dump), server.program("psql"), server.dsn_of("peer"))
        return time.perf_counter() - began
    finally:
        server.execute("DROP DATABASE peer", database="postgres")


def _timed(work: Callable[[], None]) -> Callable[[], float]:
    def measured() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return measured


def _shell(script: str, *arguments: str) -> None:
    done = subprocess.run(
        ["bash", "-c", script, *arguments], env=plain_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace")[-300:])


ROW = Row("verification", "checking and restoring dumps", measure, runs=3)
