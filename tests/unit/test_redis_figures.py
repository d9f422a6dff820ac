"""Redis's figures are taken apart whatever they say, and mean what they should."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.core.model import Severity
from jobs.core.redis import MAX_DATABASES, OTHERS, Figures, Slow, Totals, parse_figures, parse_slow_log, total
from jobs.databases.redis_judgement import Reading, Verb, due, judge, persisting
from jobs.databases.redis_metrics import counted, samples
from jobs.databases.redis_settings import RedisMaintenance

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
GIB = 1 << 30
WELL: Mapping[str, str] = {
    "redis_version": "7.0.15",
    "uptime_in_seconds": "100000",
    "connected_clients": "3",
    "maxclients": "100",
    "used_memory": str(GIB),
    "used_memory_peak": str(2 * GIB),
    "used_memory_rss": str(GIB + 300),
    "maxmemory": str(4 * GIB),
    "maxmemory_policy": "noeviction",
    "mem_allocator": "jemalloc-5.3.0",
    "allocator_allocated": str(GIB),
    "allocator_active": str(GIB + 100),
    "allocator_resident": str(GIB + 200),
    "rdb_last_save_time": str(int(NOW.timestamp()) - 3600),
    "rdb_changes_since_last_save": "10",
    "rdb_last_bgsave_status": "ok",
    "aof_enabled": "0",
    "role": "master",
    "connected_slaves": "0",
    "db0": "keys=5,expires=2,avg_ttl=0",
}
FRAGMENTED = {"allocator_active": str(2 * GIB), "allocator_resident": str(2 * GIB), "used_memory_rss": str(2 * GIB)}
SETTINGS = RedisMaintenance()


def reading(saves: bool | None = True, totals: Totals | None = None, **info: str) -> Reading:
    figures = parse_figures({**WELL, **info})
    return Reading("localhost:6379", NOW, figures, totals or Totals(0, 0, 0, 0), saves)


def verbs(found: Reading, settings: RedisMaintenance = SETTINGS, everything: bool = False) -> list[str]:
    return [step.verb for step in due(found, settings, everything=everything)]


def kinds(found: Reading) -> dict[str, Severity]:
    return {one.kind: one.severity for one in judge(found, SETTINGS)}


def hours_ago(hours: float) -> str:
    return str(int((NOW - timedelta(hours=hours)).timestamp()))


# Taking apart


def test_memory_is_told_apart() -> None:
    memory = parse_figures(WELL).memory
    assert (memory.fragmented_bytes, memory.retained_bytes, memory.overhead_bytes) == (100, 100, 100)
    assert memory.fragmentation_ratio == pytest.approx(1, abs=1e-6)


def test_another_allocator_tells_nothing_of_fragmentation() -> None:
    memory = parse_figures({**WELL, **FRAGMENTED, "mem_allocator": "libc"}).memory
    assert (memory.fragmentation_ratio, memory.fragmented_bytes, memory.retained_bytes) == (None, None, None)
    assert verbs(reading(mem_allocator="libc", **FRAGMENTED)) == []


def test_many_databases_are_summed() -> None:
    info = {f"db{number}": f"keys={number},expires=1" for number in range(MAX_DATABASES + 10)}
    keys = parse_figures({**WELL, **info}).keys
    assert len(keys) == MAX_DATABASES + 1
    assert keys[OTHERS] == sum(range(MAX_DATABASES, MAX_DATABASES + 10))
    assert total(keys) == sum(range(MAX_DATABASES + 10))


@given(st.dictionaries(st.sampled_from([*WELL, "slave0", "slave1", "db1", "master_link_status"]), st.text(max_size=40)))
def test_whatever_info_says_it_is_taken_apart_and_can_be_exported(info: dict[str, str]) -> None:
    try:
        figures = parse_figures({**WELL, **info})
    except ValueError:
        return
    found = Reading("there", NOW, figures, figures.totals, True)
    assert all(sample.value == sample.value for sample in samples(found, SETTINGS))
    judge(found, SETTINGS)
    due(found, SETTINGS, everything=True)


@pytest.mark.parametrize("value", ["", "x", "-1", "9" * 19, "9" * 20, "9" * 4000, "\u0661", "1e3", "nan", " 1"])
def test_a_number_that_is_none_is_not_taken_for_one(value: str) -> None:
    with pytest.raises(ValueError, match="how much memory"):
        parse_figures({**WELL, "used_memory": value})
    assert parse_figures({**WELL, "maxclients": value}).max_clients is None
    assert parse_figures({**WELL, "rdb_last_save_time": value}).persistence.last_save is None


def test_a_version_cannot_speak_to_a_terminal() -> None:
    assert parse_figures({**WELL, "redis_version": "7\x1b[2J" + "x" * 900}).version == "7?[2J" + "x" * 59


def test_a_slow_command_is_told_without_its_arguments() -> None:
    reply = [
        [7, int(NOW.timestamp()), 1_500_000, ["set", "secret", "value"], "127.0.0.1:1", ""],
        [6, int(NOW.timestamp()), 20, ["MGET", *["k"] * 30, "... (970 more arguments)"], "127.0.0.1:1", ""],
        [5, int(NOW.timestamp()), 20, ["se\ncret"], "", ""],
    ]
    assert parse_slow_log(reply) == [
        Slow(7, NOW, 1.5, "SET", 2),
        Slow(6, NOW, 2e-5, "MGET", 1000),
        Slow(5, NOW, 2e-5, "?", 0),
    ]


@pytest.mark.parametrize(
    "reply",
    [None, "x", 7, [7], [[]], [[1, 2, 3]], [["1", 2, 3, ["a"]]], [[1, 1 << 60, 3, ["a"]]], [[1, -2, 3, ["a"]]],
     [[1, 2, 1 << 70, ["a"]]], [[1, 2, 3, []]], [[1, 2, 3, "a"]]],
)  # fmt: skip
def test_a_slow_log_that_makes_no_sense_is_empty(reply: object) -> None:
    assert parse_slow_log(reply) == []


# What is due


def test_nothing_is_due_where_all_is_well() -> None:
    assert verbs(reading()) == []
    assert kinds(reading()) == {}


def test_fragmentation_is_undone_and_what_it_frees_given_back() -> None:
    found = reading(**FRAGMENTED)
    assert verbs(found) == [Verb.DEFRAGMENT, Verb.PURGE]
    assert kinds(found) == {"fragmented": Severity.MEDIUM}
    assert verbs(found, RedisMaintenance(redis_defrag_seconds=0)) == []


def test_empty_pages_are_given_back_without_defragmentation() -> None:
    assert verbs(reading(allocator_resident=str(2 * GIB), used_memory_rss=str(2 * GIB))) == [Verb.PURGE]


def test_what_is_not_the_allocators_cannot_be_helped() -> None:
    found = reading(used_memory_rss=str(3 * GIB))
    assert verbs(found) == []
    assert kinds(found) == {"overhead": Severity.LOW}


def test_a_small_instance_is_left_alone_however_bad_its_ratios() -> None:
    small = reading(
        used_memory="1000000", allocator_allocated="1000000", allocator_active="50000000",
        allocator_resident="90000000", used_memory_rss="130000000",
    )  # fmt: skip
    assert small.figures.memory.fragmentation_ratio == 50
    assert verbs(small) == []
    assert kinds(small) == {}


def test_changes_are_saved_when_the_last_save_is_old_or_they_are_many() -> None:
    assert verbs(reading(rdb_last_save_time=hours_ago(25))) == [Verb.SAVE]
    assert verbs(reading(rdb_changes_since_last_save="100001")) == [Verb.SAVE]
    assert verbs(reading(), everything=True) == [Verb.SAVE]
    assert verbs(reading(rdb_changes_since_last_save="0", rdb_last_save_time=hours_ago(99)), everything=True) == []


@pytest.mark.parametrize("saves", [False, None])
def test_nothing_is_saved_where_saving_is_off_or_nobody_can_tell(saves: bool | None) -> None:
    assert verbs(reading(saves=saves, rdb_last_save_time=hours_ago(99)), everything=True) == []


# What it means


@pytest.mark.parametrize(
    ("info", "saves", "expected"),
    [
        ({}, True, True),
        ({"rdb_last_bgsave_status": "err"}, True, False),
        ({"rdb_last_save_time": hours_ago(49)}, True, False),
        ({"rdb_last_save_time": hours_ago(49), "rdb_changes_since_last_save": "0"}, True, True),
        ({"rdb_last_save_time": hours_ago(49), "aof_enabled": "1"}, True, True),
        ({"aof_enabled": "1", "aof_last_write_status": "err"}, True, False),
        ({"aof_enabled": "1", "aof_last_write_status": "err"}, None, False),
        ({"aof_enabled": "1"}, False, True),
        ({}, False, None),
        ({}, None, None),
    ],
)
def test_persisting(info: dict[str, str], saves: bool | None, expected: bool | None) -> None:
    assert persisting(reading(saves, **info), SETTINGS) is expected


@pytest.mark.parametrize(
    ("info", "kind", "severity"),
    [
        ({"used_memory": str(4 * GIB)}, "full", Severity.HIGH),
        ({"used_memory": str(int(3.7 * GIB))}, "memory_high", Severity.MEDIUM),
        ({"connected_clients": "81"}, "clients_high", Severity.MEDIUM),
        ({"rdb_last_bgsave_status": "err"}, "save_failed", Severity.HIGH),
        ({"aof_enabled": "1", "aof_last_write_status": "err"}, "aof_failed", Severity.HIGH),
        ({"rdb_last_save_time": hours_ago(49)}, "not_saved", Severity.MEDIUM),
        ({"role": "slave", "master_link_status": "down"}, "link_down", Severity.HIGH),
        ({"slave0": "ip=1,port=1,state=online,offset=5,lag=99"}, "replica_behind", Severity.MEDIUM),
    ],
)
def test_trouble_is_told(info: dict[str, str], kind: str, severity: Severity) -> None:
    assert kinds(reading(**info)) == {kind: severity}
    assert all(one.remedy for one in judge(reading(**info), SETTINGS))


def test_a_full_cache_that_evicts_is_as_it_should_be() -> None:
    assert kinds(reading(used_memory=str(4 * GIB), maxmemory_policy="allkeys-lru")) == {}


def test_keeping_nothing_is_told_without_alarm() -> None:
    assert kinds(reading(saves=False)) == {"nothing_saved": Severity.INFO}


def test_what_was_counted_since_the_last_run_is_told() -> None:
    assert kinds(reading(totals=Totals(3, 2, 1, 1, 4))) == {
        "evicting": Severity.LOW,
        "rejecting": Severity.MEDIUM,
        "slow_commands": Severity.LOW,
    }


class Past:
    """Stands for the store's history: one observation of every series, so many seconds ago."""

    def __init__(self, value: float, seconds_ago: float) -> None:
        self.point = (NOW.timestamp() - seconds_ago, value)

    def points(self, series: str, since: datetime) -> list[tuple[float, float]]:
        return [self.point] if self.point[0] >= since.timestamp() else []

    def means(self, prefix: str, since: datetime) -> Mapping[str, float]:
        raise AssertionError


@pytest.mark.parametrize(
    ("before", "seconds_ago", "expected"),
    [
        (60, 300, 40),
        (100, 300, 0),
        (160, 300, 100),  # less than before: it was restarted
        (60, 200_000, 0),  # nobody remembers
        (60, 120_000, 100),  # restarted since, and already beyond
    ],
)
def test_counters_grow_by_what_was_counted_since(before: float, seconds_ago: float, expected: int) -> None:
    figures: Figures = parse_figures({**WELL, "evicted_keys": "100"})
    assert counted(figures, Past(before, seconds_ago), NOW).evicted_keys == expected


def test_a_slow_log_that_is_not_seen_counts_nothing() -> None:
    figures = parse_figures(WELL)
    assert counted(figures, Past(0, 300), NOW).slow_commands is None
    seen = replace(figures, totals=replace(figures.totals, slow_commands=5))
    assert counted(seen, Past(2, 300), NOW).slow_commands == 3
