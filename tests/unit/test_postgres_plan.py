"""What a PostgreSQL table or index is due for, from its figures alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.core.model import Severity
from jobs.core.postgres import Database, Index, Prepared, Replica, Server, Slot, Table, Transaction, Width, wasted_bytes
from jobs.databases import postgres_judgement as judgement
from jobs.databases.postgres_plan import (
    Verb,
    duplicates,
    invalid,
    leftovers,
    plan_of,
    table_work,
    unused,
)
from jobs.databases.postgres_settings import PostgresMaintenance

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
DAY = 86400.0
SETTINGS = PostgresMaintenance()
DATABASE = Database("app", False, True, 10_000, 1000, 0, 1, 1, 90, 10, 0, 0)
SERVER = Server(
    where="db:5432",
    version="15.18",
    in_recovery=False,
    replay_delay_seconds=None,
    connections=1,
    max_connections=100,
    freeze_max_age=200_000_000,
    multixact_freeze_max_age=400_000_000,
    sees_all=True,
    databases=(DATABASE,),
    replicas=(),
    slots=(),
    transactions=(),
    prepared=(),
)
CLEAN = Table(
    schema="public",
    name="t",
    bytes=8192,
    rows=1000.0,
    live_rows=1000,
    dead_rows=0,
    toast_rows=0.0,
    toast_dead_rows=0,
    changes_since_analyze=0,
    inserts_since_vacuum=0,
    transaction_age=100,
    multixact_age=0,
    vacuum_seconds=DAY,
    analyze_seconds=DAY,
    vacuums=1,
    analyzes=1,
    may_vacuum=True,
)
INDEX = Index("public", "t_a", "t", 50 << 20, 5, True, False, False, False, False, "1 403 f 1 2", False, True)
BLOATED = Width("public", "t_a", True, 50 << 20, 100_000.0, 8.0, 90)


def work(**changes: Any) -> tuple[Verb, bool] | None:
    found = table_work(replace(CLEAN, **changes), SERVER, SETTINGS)
    return (found.verb, found.analyze) if found else None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"dead_rows": 150}, None),
        ({"dead_rows": 151}, (Verb.VACUUM, False)),
        ({"dead_rows": 151, "changes_since_analyze": 151}, (Verb.VACUUM, True)),
        ({"toast_rows": 100.0, "toast_dead_rows": 61}, (Verb.VACUUM, False)),
        ({"inserts_since_vacuum": 1201}, (Verb.VACUUM, False)),
        ({"changes_since_analyze": 151}, (Verb.ANALYZE, False)),
        ({"changes_since_analyze": 1, "analyze_seconds": None}, (Verb.ANALYZE, False)),
        ({"dead_rows": 1, "vacuum_seconds": 7.1 * DAY}, (Verb.VACUUM, False)),
        ({"dead_rows": 1, "vacuum_seconds": 6.9 * DAY}, None),
        ({"dead_rows": 0, "vacuum_seconds": 400 * DAY}, None),
        ({"inserts_since_vacuum": 1, "vacuum_seconds": None}, (Verb.VACUUM, False)),
        ({"transaction_age": 100_000_001}, (Verb.FREEZE, False)),
        ({"multixact_age": 200_000_001}, (Verb.FREEZE, False)),
        ({"multixact_age": 100_000_001}, None),
        ({"rows": -1.0, "live_rows": 0, "dead_rows": 51}, (Verb.VACUUM, False)),
    ],
)
def test_a_table_gets_what_its_own_figures_call_for(changes: dict[str, Any], expected: Any) -> None:
    assert work(**changes) == expected


def test_full_does_every_table_with_its_statistics() -> None:
    found = table_work(CLEAN, SERVER, SETTINGS, full=True)
    assert found
    assert (found.verb, found.analyze) == (Verb.VACUUM, True)


def plan(tables: Any = (), indexes: Any = (), widths: Any = (), rebuilt: Any = None, full: bool = False) -> Any:
    return plan_of(SERVER, tables, indexes, widths, rebuilt or {}, SETTINGS, NOW, full=full)


def test_the_largest_table_is_first_and_what_is_not_ours_is_left() -> None:
    dirty = replace(CLEAN, dead_rows=500)
    tables = [replace(dirty, name=name, bytes=size) for name, size in (("a", 1), ("b", 3), ("c", 2))]
    tables.append(replace(dirty, name="others", may_vacuum=False))
    assert [one.name for one in plan(tables).tables] == ["b", "c", "a"]


def test_an_index_is_rebuilt_for_bloat_and_not_twice_within_the_threshold() -> None:
    def named(**options: Any) -> list[str]:
        return [one.name for one in plan(indexes=[INDEX], widths=[BLOATED], **options).indexes]

    key = ("public", "t_a")
    assert named() == ["t_a"]
    assert named(rebuilt={key: NOW - timedelta(days=29)}) == []
    assert named(rebuilt={key: NOW - timedelta(days=31)}) == ["t_a"]
    assert named(rebuilt={key: NOW - timedelta(days=1)}, full=True) == ["t_a"]


@pytest.mark.parametrize(
    ("index", "width"),
    [
        (INDEX, replace(BLOATED, rows=1_500_000.0)),  # full
        (replace(INDEX, bytes=5 << 20), replace(BLOATED, bytes=5 << 20)),  # small
        (INDEX, replace(BLOATED, row_bytes=None)),  # not known
        (INDEX, replace(BLOATED, rows=-1.0)),  # not known
        (replace(INDEX, exclusion=True), BLOATED),
        (replace(INDEX, valid=False), BLOATED),
        (replace(INDEX, may_rebuild=False), BLOATED),
    ],
)
def test_an_index_that_is_well_small_unknown_or_cannot_be_rebuilt_is_left(index: Index, width: Width) -> None:
    assert plan(indexes=[index], widths=[width]).indexes == ()


def test_waste_is_never_negative_and_grows_with_what_is_not_needed() -> None:
    assert wasted_bytes(replace(BLOATED, bytes=0)) == 0
    exact = wasted_bytes(replace(BLOATED, rows=0.0))
    assert exact is not None
    assert (wasted_bytes(BLOATED) or 0) < exact < BLOATED.bytes


NEW = replace(INDEX, name="t_a_ccnew", valid=False)


@pytest.mark.parametrize("name", ["t_a_ccnew", "t_a_ccnew1", "t_a_ccold", "t_a_ccold12"])
def test_what_a_cut_off_rebuilding_left_is_dropped(name: str) -> None:
    left = replace(NEW, name=name)
    assert leftovers([INDEX, left]) == [left]
    assert invalid([INDEX, left]) == []
    assert [one.verb for one in plan(indexes=[INDEX, left]).work] == [Verb.DROP_INDEX]


@pytest.mark.parametrize(
    "others",
    [
        [NEW],  # no valid twin: somebody's own index of that name
        [INDEX, replace(NEW, definition="1 403 f 1 3")],
        [INDEX, replace(NEW, table="other")],
        [INDEX, replace(NEW, name="t_a_new")],
        [INDEX, replace(NEW, constrained=True)],
        [INDEX, replace(NEW, may_rebuild=False)],
        [replace(INDEX, valid=False), NEW],
    ],
)
def test_other_invalid_indexes_are_told_and_never_dropped(others: list[Index]) -> None:
    assert leftovers(others) == []
    assert others[-1] in invalid(others)


def test_an_index_of_a_table_at_work_is_neither_dropped_nor_called_invalid() -> None:
    built = replace(NEW, busy=True)
    assert leftovers([INDEX, built]) == invalid([INDEX, built]) == []


def test_a_long_name_that_was_cut_is_known_again() -> None:
    twin = replace(INDEX, name="i" * 63)
    left = replace(NEW, name="i" * 57 + "_ccnew")
    assert leftovers([twin, left]) == [left]


def test_of_equal_indexes_the_one_that_a_constraint_needs_stays() -> None:
    key = replace(INDEX, name="t_z_key", constrained=True)
    assert duplicates([INDEX, key]) == [(key, INDEX)]
    assert duplicates([INDEX, replace(INDEX, name="t_b", definition="1 403 f 1 3")]) == []


@pytest.mark.parametrize("need", ["unique", "constrained", "exclusion", "replica_identity"])
def test_an_index_that_something_else_than_reading_needs_is_not_called_unused(need: str) -> None:
    idle = replace(INDEX, scans=0)
    assert unused([idle]) == [idle]
    assert unused([replace(idle, **{need: True})]) == []


def kinds(**changes: Any) -> dict[str, Severity]:
    found = judgement.server_findings("main", replace(SERVER, **changes), SETTINGS)
    assert all(len(finding.message.splitlines()) == 1 for finding in found)
    return {finding.kind: finding.severity for finding in found}


def test_a_server_that_is_well_has_no_findings() -> None:
    assert kinds() == {}


@pytest.mark.parametrize(
    ("changes", "kind", "severity"),
    [
        ({"connections": 81}, "connections_high", Severity.MEDIUM),
        ({"databases": (replace(DATABASE, transaction_age=2**30 + 1),)}, "wraparound", Severity.CRITICAL),
        ({"databases": (replace(DATABASE, multixact_age=2**30 + 1),)}, "wraparound", Severity.CRITICAL),
        ({"databases": (replace(DATABASE, transaction_age=300_000_001),)}, "freezing_late", Severity.MEDIUM),
        (
            {"transactions": (Transaction(7, "u", "", "app", "idle in transaction", 3601),)},
            "long_transaction",
            Severity.MEDIUM,
        ),
        ({"prepared": (Prepared("gid", "app", 3601),)}, "prepared_transaction", Severity.MEDIUM),
        ({"replicas": (Replica("r", 257_000_000, 1.0),)}, "replica_lag", Severity.MEDIUM),
        ({"slots": (Slot("s", False, 2 << 30),)}, "slot_retains_wal", Severity.MEDIUM),
        ({"sees_all": False}, "not_permitted", Severity.LOW),
    ],
)
def test_what_a_person_should_know_of_a_server(changes: dict[str, Any], kind: str, severity: Severity) -> None:
    assert kinds(**changes) == {kind: severity}


def test_what_may_not_be_seen_is_absent_and_not_zero() -> None:
    def names(**changes: Any) -> set[str]:
        return {one.family for one in judgement.server_samples("main", replace(SERVER, **changes))}

    assert "sutazai_postgres_oldest_transaction_seconds" in names()
    assert "sutazai_postgres_oldest_transaction_seconds" not in names(sees_all=False)


def test_replicas_that_share_a_name_have_one_series_of_the_worst() -> None:
    replicas = (Replica("walreceiver", 5, None), Replica("walreceiver", 9, 2.0))
    found = judgement.server_samples("main", replace(SERVER, replicas=replicas))
    lags = [one.value for one in found if one.family == "sutazai_postgres_replica_lag_bytes"]
    assert lags == [9]
