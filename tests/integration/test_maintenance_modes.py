"""The modes `backup` and `vacuum` of the database maintenance: one part works, the others stay as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.core.registry import all_jobs
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.maintenance import DIRTY, done
from tests.services.metrics import Metrics
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer
from tests.services.trees import tree_digest

TASK = "database-maintenance"
PARTS = ("postgres/main", "redis", "backups")
WHEN = "sutazai_database_maintenance_timestamp_seconds"
NOT_OF_JOBS = ("sutazai_task_", "sutazai_dropped_series", "process_", "python_")


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty database, in which nothing is due."""
    name = "modes"
    postgres_server.create_database(name)
    postgres_server.execute("VACUUM ANALYZE", database=name)
    yield name
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)", database="postgres")


@pytest.fixture
def config(postgres_server: PostgresServer, redis_server: RedisServer, database: str) -> dict[str, Any]:
    """Both servers, and nothing that comes of its own accord: not this job, nor one that looks at the disks."""
    programs = str(Path(postgres_server.program("pg_dump")).parent)
    return {
        "postgres": {
            "dsn": postgres_server.dsn,
            "databases": [database],
            "programs": [programs],
            "connect_timeout_seconds": 20,
        },
        "redis": {"url": redis_server.url},
        "jobs": {
            **{job.key: {"schedule": []} for job in all_jobs().values()},
            "database_maintenance": {"backup_min_free_mb": 1, "schedule": []},
        },
    }


class Runs:
    """Runs of the maintenance from the command line, on one base directory."""

    def __init__(self, run_cli: Callable[..., Any], config: dict[str, Any], base: Path) -> None:
        self._run_cli, self._config, self.base = run_cli, config, base

    def __call__(self, mode: str, *words: str, code: int = 0) -> dict[str, Any]:
        """The result of a run."""
        ended = self._run_cli("run", TASK, "--json", "--mode", mode, *words, config=self._config)
        assert ended.returncode == code, ended.stdout + ended.stderr
        result: dict[str, Any] = json.loads(ended.stdout)["result"]
        return result

    def backups(self) -> list[str]:
        """The dumps that are there."""
        return sorted(path.name for path in (self.base / "backups" / "database").glob("*.dump"))

    @property
    def report(self) -> dict[str, Any]:
        """The newest report."""
        found: dict[str, Any] = json.loads((self.base / "logs" / "latest_db_maintenance_report.json").read_text())
        return found


@pytest.fixture
def runs(run_here: Callable[..., Any], config: dict[str, Any], tmp_path: Path) -> Runs:
    return Runs(run_here, config, tmp_path / "base")


def dirty(server: PostgresServer, database: str) -> None:
    for statement in DIRTY.format(name="dirty", rows=1000).split(";\n"):
        server.execute(statement, database=database)


def vacuums(server: PostgresServer, database: str) -> int:
    [(count,)] = server.execute(
        "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'dirty'", database=database
    )
    return int(count)


def test_backup_makes_the_backups_and_cleans_nothing(
    runs: Runs, postgres_server: PostgresServer, database: str
) -> None:
    dirty(postgres_server, database)
    result = runs("backup")
    assert {verb for verb, _ in done(result, catalogs=True)} == {"back up"}
    assert len(runs.backups()) == 1
    assert vacuums(postgres_server, database) == 0
    report = runs.report
    assert report["maintenance_type"] == "backup"
    assert report["backup"]["success"] is True and len(report["backup"]["made"]) >= 2
    assert report["redis"]["success"] is report["postgresql"]["servers"]["main"]["success"] is None
    assert report["postgresql"]["servers"]["main"]["databases"][database]["dead_rows"] == 500


def test_vacuum_cleans_what_its_figures_call_for_and_backs_up_nothing(
    runs: Runs, postgres_server: PostgresServer, redis_server: RedisServer, database: str
) -> None:
    dirty(postgres_server, database)
    saved = redis_server.client().lastsave()
    result = runs("vacuum")
    assert done(result) == {("vacuum", "public.dirty")}
    assert vacuums(postgres_server, database) == 1
    assert runs.backups() == []
    assert redis_server.client().lastsave() == saved
    assert [s["value"] for s in result["samples"] if s["family"] == "sutazai_postgres_dead_rows"] == [0]
    assert done(runs("vacuum")) == set(), "what is clean is left alone"
    report = runs.report
    assert report["maintenance_type"] == "vacuum"
    assert report["postgresql"]["servers"]["main"]["success"] is True
    assert report["redis"]["success"] is report["backup"]["success"] is None


@pytest.mark.parametrize(("mode", "planned"), [("backup", {"back up"}), ("vacuum", {"vacuum"})])
def test_a_plan_of_one_part_changes_nothing(
    runs: Runs, postgres_server: PostgresServer, database: str, mode: str, planned: set[str]
) -> None:
    dirty(postgres_server, database)
    runs("statistics")
    before = tree_digest(runs.base)
    plan = runs(mode, "--dry-run")
    assert {action["verb"] for action in plan["actions"] if "pg_catalog" not in action["subject"]} == planned
    assert not any(action["done"] for action in plan["actions"])
    assert (tree_digest(runs.base), vacuums(postgres_server, database)) == (before, 0)


def test_backups_that_are_switched_off_cannot_be_asked_for(
    run_here: Callable[..., Any], config: dict[str, Any]
) -> None:
    config["jobs"]["database_maintenance"]["backup_enabled"] = False
    ended = run_here("run", TASK, "--mode", "backup", config=config)
    assert ended.returncode != 0
    said = [line for line in ended.stderr.splitlines() if "switched off" in line]
    assert len(said) == 1 and "jobs.database_maintenance.backup_enabled" in said[0]
    assert "Traceback" not in ended.stdout + ended.stderr


class Served:
    """A daemon that does the maintenance when it is asked to, and what it then exposes."""

    def __init__(self, daemon: ExporterDaemon, token: str) -> None:
        self._daemon, self._headers = daemon, {"Authorization": f"Bearer {token}"}
        self._count = 0

    def after(self, mode: str) -> Metrics:
        """The metrics after one more run."""
        self._count += 1
        started = self._daemon.post(f"/api/v1/tasks/{TASK}/start", json={"mode": mode}, headers=self._headers)
        assert started.status_code == 202, started.text
        labels = {"task": TASK, "outcome": "ok"}
        self._daemon.wait_metric("sutazai_task_runs_total", labels, lambda count: count == self._count, 60)
        return self._daemon.metrics()


def series(metrics: Metrics) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """The names and labels of what comes of jobs."""
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in metrics.families.values()
        for sample in family.samples
        if not sample.name.startswith(NOT_OF_JOBS)
    }


def times(metrics: Metrics) -> dict[str, float]:
    """When each part was last maintained."""
    return {part: metrics.value(WHEN, part=part) for part in PARTS}


def test_what_a_run_of_one_part_did_not_do_keeps_its_figures_and_their_age(
    exporter_daemon: Callable[..., ExporterDaemon],
    run_cli: Callable[..., Any],
    config: dict[str, Any],
    postgres_server: PostgresServer,
    database: str,
) -> None:
    dirty(postgres_server, database)
    daemon = exporter_daemon(config)
    token = run_cli("token", "create", "--name", "t", "--scope", "operate", base_dir=daemon.base_dir).stdout.strip()
    served = Served(daemon, token)
    whole = served.after("standard")
    assert [whole.value("sutazai_database_maintenance_success", part=part) for part in PARTS] == [1, 1, 1]

    backup = served.after("backup")
    assert series(backup) == series(whole)
    before, now = times(whole), times(backup)
    assert now == {**before, "backups": now["backups"]}
    assert now["backups"] > before["backups"]
    newest = "sutazai_backup_last_success_timestamp_seconds"
    labels = {"kind": "database", "source": f"main/{database}"}
    assert backup.value(newest, **labels) > whole.value(newest, **labels)
    work = {"server": "main", "database": database, "outcome": "done"}
    assert backup.value("sutazai_postgres_maintenance_work", **work) >= 1, "of the maintenance before it"

    vacuum = served.after("vacuum")
    assert series(vacuum) == series(whole)
    last = times(vacuum)
    assert last == {**now, "postgres/main": last["postgres/main"]}
    assert last["postgres/main"] > now["postgres/main"]
    assert vacuum.value(newest, **labels) == backup.value(newest, **labels)

    statistics = served.after("statistics")
    assert (series(statistics), times(statistics)) == (series(whole), last)
