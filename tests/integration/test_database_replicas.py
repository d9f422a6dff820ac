"""The database maintenance of a primary and its replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.maintenance import DIRTY, Maintenance, done, figures, kinds, postgres_of
from tests.services.postgres import PostgresServer
from tests.services.postgres_standby import PostgresStandby
from tests.services.wait import wait_for


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresServer]:
    server = PostgresServer(wal_level="replica", max_wal_senders=4, hot_standby_feedback="on")
    yield server
    server.close()


@pytest.fixture(scope="module")
def standby(primary: PostgresServer) -> Iterator[PostgresStandby]:
    for statement in DIRTY.format(name="dirty", rows=2000).split(";\n"):
        primary.execute(statement)
    server = PostgresStandby(primary, wal_receiver_status_interval="1s")
    wait_for(lambda: primary.execute("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"), 60, "it streams")
    yield server
    server.close()


@pytest.fixture
def maintenance(run_cli: Callable[..., Any], tmp_path: Path) -> Maintenance:
    return Maintenance(run_cli, tmp_path)


def test_a_replica_is_measured_and_never_maintained(standby: PostgresStandby, maintenance: Maintenance) -> None:
    result = maintenance(postgres_of(standby), code=0)
    assert done(result, catalogs=True) == set()
    assert figures(result, "postgres_in_recovery") == [1]
    assert figures(result, "postgres_replay_delay_seconds") == [0]
    assert [finding["kind"] for finding in result["findings"]][:1] == ["replica"]


def test_a_replica_that_lags_postpones_the_maintenance_of_its_primary(
    primary: PostgresServer, standby: PostgresStandby, maintenance: Maintenance
) -> None:
    standby.execute("SELECT pg_wal_replay_pause()")
    try:
        paused = [("paused",)]
        wait_for(lambda: standby.execute("SELECT pg_get_wal_replay_pause_state()") == paused, 60, "it is paused")
        primary.execute("UPDATE dirty SET word = 'filler to be replayed' || word")
        result = maintenance(postgres_of(primary), settings={"max_replica_lag_mb": 0.01}, code=1)
    finally:
        standby.execute("SELECT pg_wal_replay_resume()")
    assert done(result, catalogs=True) == set()
    assert kinds(result) == {"postponed", "replica_lag"}
    [lag] = figures(result, "postgres_replica_lag_bytes", server="main", replica="walreceiver")
    assert lag > 10_000


def test_a_replica_that_keeps_up_does_not(
    primary: PostgresServer, standby: PostgresStandby, maintenance: Maintenance
) -> None:
    assert standby.execute("SELECT pg_is_in_recovery()") == [(True,)]
    result = maintenance(postgres_of(primary), code=0)
    assert ("vacuum", "public.dirty") in done(result)


def test_a_replica_that_has_nothing_to_replay_is_no_time_behind(
    primary: PostgresServer, standby: PostgresStandby, maintenance: Maintenance
) -> None:
    assert standby.execute("SELECT pg_is_in_recovery()") == [(True,)]
    untold = "SELECT 1 FROM pg_stat_replication WHERE replay_lag IS NULL AND replay_lsn >= pg_current_wal_lsn()"
    wait_for(lambda: primary.execute(untold), 60, "the server no longer tells how late the replica is")
    result = maintenance(postgres_of(primary), mode="statistics", code=0)
    [lag_seconds] = figures(result, "postgres_replica_lag_seconds", server="main", replica="walreceiver")
    assert 0 <= lag_seconds < 1


def test_a_slot_that_nobody_reads_is_counted(primary: PostgresServer, maintenance: Maintenance) -> None:
    primary.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
    try:
        result = maintenance(postgres_of(primary), mode="statistics", code=0)
    finally:
        primary.execute("SELECT pg_drop_replication_slot('forgotten')")
    assert figures(result, "postgres_replication_slots", active="false") == [1]
    assert figures(result, "postgres_replication_slots", active="true") == [0]
