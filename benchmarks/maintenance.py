"""Maintenance of a PostgreSQL database of 200 tables, beside vacuumdb over as many connections."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from benchmarks.harness import Figure, Gap, Row, in_turns, ratio_at_most
from exporter.clock import SystemClock
from exporter.store import Store
from jobs import database_maintenance
from jobs.clients import Clients
from jobs.core.model import Request, Result
from jobs.core.settings import PostgresSettings, World
from tests.services.exporter_daemon import command_line, environment_of, write_config
from tests.services.postgres import PostgresServer
from tests.services.process import plain_environment

TABLES, ROWS, FEW = 200, 10_000, 10
# Pages have room for the new rows: else these would wander between the old pages and new ones at the end, and each
# second run would find its dead rows all in one place.
DATABASE = "sutazai"
_TABLE = """
CREATE TABLE t{number} (id int PRIMARY KEY, word text, value int) WITH (fillfactor = 70);
INSERT INTO t{number} SELECT i, md5(i::text), i FROM generate_series(1, {rows}) i;
CREATE INDEX ON t{number} (word)
"""


class _Silent:
    """A Reporter of a run that nobody listens to."""

    def progress(self, done: int, total: int, message: str) -> None:
        """Nothing."""

    def log(self, level: str, message: str) -> None:
        """Nothing."""


def measure(runs: int) -> Iterator[Figure | Gap]:
    """All tables dirty, then one in twenty; each side gets its own dirt, made right before and not measured.

    The job analyzes what it vacuums where the statistics are stale, which they are of every dirty table, so the peer
    that does equal work is `vacuumdb --analyze`.
    """
    with closing(PostgresServer()) as server, tempfile.TemporaryDirectory(prefix="sutazai-bench-") as directory:
        for number in range(TABLES):
            server.execute(_TABLE.format(number=number, rows=ROWS))
        base = Path(directory, "base")
        base.mkdir()
        _vacuumdb(server, "--analyze")
        for dirty in (TABLES, FEW):
            yield from _figures(server, base, dirty, runs)


def _figures(server: PostgresServer, base: Path, dirty: int, runs: int) -> Iterator[Figure]:
    sides = {
        "ours": partial(_job, server, base, dirty),
        "analyze": lambda: _vacuumdb(server, "--analyze"),
        "plain": lambda: _vacuumdb(server),
        "command": partial(_command, server, base),
    }
    times = in_turns({name: _after_dirt(server, dirty, side) for name, side in sides.items()}, runs)
    what = f"{dirty} of {TABLES} tables dirty"
    goal = ratio_at_most(1.05 if dirty == TABLES else 1 / 5)
    yield Figure(what, "s", times["ours"], times["analyze"], "vacuumdb -j2 --analyze", goal)
    yield Figure(
        what, "s", times["ours"], times["plain"], "vacuumdb -j2, no analyze", None if dirty == TABLES else goal
    )
    yield Figure(f"{what}, as a command", "s", times["command"], times["analyze"], "vacuumdb -j2 --analyze")


def _after_dirt(server: PostgresServer, dirty: int, side: Callable[[], None]) -> Callable[[], float]:
    """Seconds of one side, which finds a fifth of the rows of so many tables updated and no others; the mean of two.

    Every other time the new versions of the rows find their places on other pages, which takes a fifth longer to
    clean: of sides in turns some would always have the better half of it.
    """

    def measured() -> float:
        return (once() + once()) / 2

    def once() -> float:
        _vacuumdb(server, "--analyze")  # what the other side left, and the catalogs' own dead rows
        for number in range(dirty):
            server.execute(f"UPDATE t{number} SET word = md5(word) WHERE id % 5 = 0")
        server.execute("CHECKPOINT")
        began = time.perf_counter()
        side()
        return time.perf_counter() - began

    return measured


def _vacuumdb(server: PostgresServer, *options: str) -> None:
    argv = [server.program("vacuumdb"), "-j2", *options, f"--dbname={server.dsn_of(DATABASE)}"]
    subprocess.run(argv, env=plain_environment(), check=True, capture_output=True, timeout=600)


def _job(server: PostgresServer, base: Path, dirty: int) -> None:
    store = Store(base / "store.db")
    clients = Clients(
        world=World(base_dir=base, postgres=PostgresSettings(dsn=SecretStr(server.dsn), databases=(DATABASE,))),
        clock=SystemClock(),
        report=_Silent(),
        open_budgets=lambda: store,
        open_history=lambda: store,
    )
    request = Request(task="database-maintenance", mode="standard")
    # The peer makes no backups either.
    result = database_maintenance.run(database_maintenance.Settings(backup_enabled=False), clients, request)
    store.close()
    _check(result, dirty)


def _check(result: Result, dirty: int) -> None:
    done = [action for action in result.actions if " public." in action.subject and action.done]
    if len(done) != dirty:
        raise RuntimeError(f"{len(done)} of {dirty} dirty tables were vacuumed: {result.summary}")


def _command(server: PostgresServer, base: Path) -> None:
    document = {
        "postgres": {"dsn": server.dsn, "databases": [DATABASE]},
        "jobs": {"database_maintenance": {"backup_enabled": False}},
    }
    config = write_config(base.with_name("exporter.yml"), document)
    env = environment_of(base, {"SUTAZAI_CONFIG_FILE": str(config)})
    argv = command_line("run", "database-maintenance")
    subprocess.run(argv, env=env, cwd=base.parent, check=True, capture_output=True, timeout=600)


ROW = Row("maintenance", "what is due in 200 tables, beside vacuumdb -j2", measure)
