"""The maintenance of a real Redis: what it tells, what it does, and that no key is ever touched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from jobs.clients import Clients
from jobs.clients.redis import Redis
from jobs.core.model import Request, Severity
from jobs.core.settings import RedisSettings, World
from jobs.databases.part import FULL, STATISTICS
from jobs.databases.redis import redis_part
from jobs.databases.redis_settings import RedisMaintenance
from tests.services.ports import free_port
from tests.services.redis import RedisServer
from tests.services.redis_defrag import MIB, DefragmentingRedis
from tests.services.redis_runs import (
    Factory,
    Maintainer,
    RealDurations,
    commands_of,
    fill,
    findings,
    fragment,
    no_budgets,
    values,
    verbs,
)
from tests.services.wait import wait_for

CANARY = "canary-value-of-a-user"


@pytest.fixture
def maintainer(tmp_path: Path) -> Maintainer:
    return Maintainer(tmp_path)


def contents(server: RedisServer) -> dict[str, tuple[int, str]]:
    """When each key expires, and a digest of its value."""
    reader = server.client()
    return {
        key: (reader.pexpiretime(key), reader.execute_command("DEBUG", "DIGEST-VALUE", key)[0])
        for key in reader.scan_iter()
    }


# What it tells


def test_statistics_are_those_of_the_server(redis_factory: Factory, maintainer: Maintainer) -> None:
    server = redis_factory()
    fill(server)
    part = maintainer.run(server.url, STATISTICS)
    info = server.client().info()
    assert (part.failed, part.absent, part.actions, part.lasting) == (False, False, (), ())
    assert part.report["version"] == info["redis_version"]
    assert part.report["keys"] == 552
    assert part.report["expiring_keys"] == 50
    assert values(part, "keys") == [552]
    assert values(part, "clients_max") == [info["maxclients"]]
    assert values(part, "memory_peak_bytes")[0] == pytest.approx(info["used_memory_peak"], rel=0.2)
    assert values(part, "memory_fragmentation_ratio")[0] >= 1
    assert values(part, "evicted_keys_total") == [0]
    assert values(part, "persisting") == []


def test_statistics_only_read(redis_factory: Factory, maintainer: Maintainer) -> None:
    server = redis_factory(save="3600 1")
    fill(server)
    server.client().config_resetstat()
    maintainer.run(server.url, STATISTICS, redis_save_max_changes=1)
    assert commands_of(server) <= {"auth", "info", "slowlog|get", "config|get"}
    assert list(maintainer.base_dir.rglob("*")) == []


def test_slow_commands_are_told_without_their_arguments(redis_factory: Factory, maintainer: Maintainer) -> None:
    server = redis_factory(slowlog_log_slower_than=0)
    server.client().set(CANARY, CANARY)
    maintainer.run(server.url, STATISTICS)
    server.client().set(CANARY, CANARY)
    part = maintainer.run(server.url, STATISTICS, redis_slow_commands=100)
    assert {"command": "SET", "arguments": 2}.items() <= next(
        slow for slow in part.report["slow_commands"] if slow["command"] == "SET"
    ).items()
    assert values(part, "slow_commands_total")[0] > 0
    assert findings(part)["slow_commands"].severity is Severity.LOW
    assert CANARY not in f"{part}{maintainer.store.lines}"


def test_evictions_are_counted_from_run_to_run(redis_factory: Factory, maintainer: Maintainer) -> None:
    server = redis_factory(maxmemory="3mb", maxmemory_policy="allkeys-lru")
    assert values(maintainer.run(server.url, STATISTICS), "evicted_keys_total") == [0]
    writer = server.client()
    for number in range(60):
        writer.set(f"key{number}", "x" * 100_000)
    part = maintainer.run(server.url, STATISTICS)
    assert values(part, "evicted_keys_total") == [writer.info()["evicted_keys"]]
    assert "evicting" in findings(part)
    assert values(maintainer.run(server.url, STATISTICS), "evicted_keys_total") == [0]


def test_a_master_and_its_replica_tell_of_each_other(redis_factory: Factory, maintainer: Maintainer) -> None:
    master = redis_factory(repl_diskless_sync_delay=0)
    replica = redis_factory(replicaof=f"127.0.0.1 {master.port}", masterauth=master.password)
    wait_for(lambda: replica.client().info()["master_link_status"] == "up", 20, "the replica follows")
    assert values(maintainer.run(replica.url, STATISTICS), "master_link_up") == [1]
    part = maintainer.run(master.url, STATISTICS)
    assert values(part, "replicas") == [1]
    assert values(part, "master_link_up") == []
    master.stop()
    wait_for(lambda: replica.client().info()["master_link_status"] == "down", 20, "the link is down")
    part = maintainer.run(replica.url, STATISTICS)
    assert values(part, "master_link_up") == [0]
    assert findings(part)["link_down"].severity is Severity.HIGH


# What it does


def test_every_key_survives_and_only_harmless_commands_are_sent(redis_factory: Factory, maintainer: Maintainer) -> None:
    server = redis_factory(save="3600 1", enable_debug_command="yes")
    fill(server)
    fragment(server)
    before = contents(server)
    server.client().config_resetstat()
    part = maintainer.run(server.url, FULL, redis_reclaim_min_mb=1)
    sent = commands_of(server)
    assert {"purge", "save"} <= set(verbs(part))
    assert contents(server) == before
    allowed = {"auth", "info", "slowlog|get", "config|get", "config|set", "memory|purge", "bgsave"}
    assert sent <= allowed


def test_a_server_that_cannot_defragment_says_so(redis_factory: Factory, maintainer: Maintainer) -> None:
    server = redis_factory()
    fragment(server)
    part = maintainer.run(server.url, redis_reclaim_min_mb=1)
    assert "not built with its own jemalloc" in findings(part)["defragment_refused"].message
    assert "fragmented" in findings(part)
    assert part.report["steps"] == ["defragment", "purge"]
    assert verbs(part) == ["purge"]
    assert len(values(part, "maintenance_resident_bytes")) == 2
    assert not part.failed
    assert not list(maintainer.base_dir.rglob("*.corrupt*"))
    assert server.client().config_get("activedefrag") == {"activedefrag": "no"}


def test_a_save_that_is_due_is_made_and_measured(redis_factory: Factory, maintainer: Maintainer) -> None:
    server = redis_factory(save="3600 1000000")
    fill(server)
    part = maintainer.run(server.url, redis_save_max_changes=100)
    assert verbs(part) == ["save"]
    assert part.report["persistence"]["changes"] == 0
    assert values(part, "unsaved_changes") == [0]
    assert values(part, "persisting") == [1]
    assert len(values(part, "save_seconds")) == 1
    assert (server.directory / "dump.rdb").stat().st_size > 1000
    assert verbs(maintainer.run(server.url, redis_save_max_changes=100)) == []


def test_a_save_that_fails_is_a_failure(redis_factory: Factory, maintainer: Maintainer) -> None:
    server = redis_factory(save="3600 1000000")
    fill(server)
    (server.directory / "dump.rdb").mkdir()
    for _ in range(2):  # and once more with a server whose last save has failed
        part = maintainer.run(server.url, FULL)
        assert part.failed
        assert findings(part)["save_failed"].severity is Severity.HIGH
        assert verbs(part) == []
        assert values(part, "persisting") == [0]
    server.kill()  # it would not stop before it has saved


def test_a_save_under_way_is_waited_for(redis_factory: Factory, maintainer: Maintainer) -> None:
    server = redis_factory(save="3600 1000000", rdb_key_save_delay=1000)
    fill(server)
    server.client().bgsave()
    assert verbs(maintainer.run(server.url, FULL)) == ["save"]
    assert server.client().info()["rdb_bgsave_in_progress"] == 0


def test_a_save_waits_for_an_append_only_file_that_is_rewritten(redis_factory: Factory, maintainer: Maintainer) -> None:
    server = redis_factory(save="3600 1000000", appendonly="yes", rdb_key_save_delay=2000)
    fill(server)
    server.client().bgrewriteaof()
    assert server.client().info()["aof_rewrite_in_progress"] == 1
    assert verbs(maintainer.run(server.url, FULL)) == ["save"]
    assert server.client().info()["rdb_changes_since_last_save"] == 0


def test_a_save_without_end_is_given_up(redis_factory: Factory, maintainer: Maintainer) -> None:
    server = redis_factory(save="3600 1000000", rdb_key_save_delay=1_000_000)
    fill(server)
    part = maintainer.run(server.url, FULL, redis_save_timeout_seconds=0.2)
    assert part.failed
    assert "not ended within 0.2 s" in findings(part)["save_failed"].message
    server.kill()  # it would not stop before it has saved


def test_a_mere_cache_is_not_saved(redis_factory: Factory, maintainer: Maintainer) -> None:
    server = redis_factory()
    fill(server)
    part = maintainer.run(server.url, FULL)
    assert verbs(part) == []
    assert findings(part)["nothing_saved"].severity is Severity.INFO
    assert not (server.directory / "dump.rdb").exists()


def test_a_dry_run_tells_the_plan_and_changes_nothing(redis_factory: Factory, maintainer: Maintainer) -> None:
    server = redis_factory(save="3600 1000000")
    fill(server)
    fragment(server)
    server.client().config_resetstat()
    part = maintainer.run(server.url, FULL, dry_run=True, redis_reclaim_min_mb=1)
    assert [(action.verb, action.done) for action in part.actions] == [
        ("defragment", False),
        ("purge", False),
        ("save", False),
    ]
    assert commands_of(server).isdisjoint({"bgsave", "config|set", "memory|purge"})
    assert list(maintainer.base_dir.rglob("*")) == []
    assert verbs(part) == maintainer.run(server.url, FULL, redis_reclaim_min_mb=1).report["steps"]


# Active defragmentation


@pytest.fixture
def defragmenting(redis_factory: Factory) -> Iterator[DefragmentingRedis]:
    found = DefragmentingRedis(redis_factory())
    with found.listener:
        yield found


def test_memory_is_defragmented_and_the_setting_put_back(
    defragmenting: DefragmentingRedis, maintainer: Maintainer
) -> None:
    part = maintainer.run(defragmenting.url)
    assert verbs(part) == ["defragment", "purge"]
    assert defragmenting.active_defrag == "no"
    assert ["CONFIG", "SET", "activedefrag", "yes"] in defragmenting.commands
    assert "fragmented" not in findings(part)
    before, after = values(part, "maintenance_resident_bytes")
    assert before - after >= 384 * MIB
    assert values(part, "maintenance_fragmentation_ratio")[0] == 3
    assert not any("REWRITE" in words for words in defragmenting.commands)


def test_defragmentation_ends_with_its_time(defragmenting: DefragmentingRedis, maintainer: Maintainer) -> None:
    part = maintainer.run(defragmenting.url, redis_defrag_seconds=0.001, redis_max_fragmentation_ratio=1.05)
    assert defragmenting.active_defrag == "no"
    assert "fragmented" in findings(part)


def test_one_that_defragments_by_itself_is_left_so(defragmenting: DefragmentingRedis, maintainer: Maintainer) -> None:
    defragmenting.active_defrag, defragmenting.fragmented_bytes = "yes", 1 << 50
    part = maintainer.run(defragmenting.url)
    assert defragmenting.active_defrag == "yes"
    assert "defrag_by_itself" in findings(part)


def test_the_setting_is_put_back_when_the_connection_is_lost(redis_factory: Factory, maintainer: Maintainer) -> None:
    found = DefragmentingRedis(redis_factory(), hangs_up_after=0)
    with found.listener:
        part = maintainer.run(found.url)
    assert found.active_defrag == "no"
    assert part.failed
    assert "defragment_failed" in findings(part)


def test_what_could_not_be_put_back_is_put_back_by_the_next_run(redis_factory: Factory, maintainer: Maintainer) -> None:
    found = DefragmentingRedis(redis_factory(), hangs_up_after=0, refuses_then=True)
    with found.listener:
        assert maintainer.run(found.url).failed
        assert found.active_defrag == "yes"
        found.refuses, found.looks_left, found.fragmented_bytes = False, 1000, 0

        assert "left_on" in findings(maintainer.run(found.url, STATISTICS))
        assert verbs(maintainer.run(found.url, dry_run=True))[0] == "put-back"
        assert found.active_defrag == "yes"
        assert verbs(maintainer.run(found.url))[0] == "put-back"
        assert found.active_defrag == "no"
        assert verbs(maintainer.run(found.url)) == []


def test_a_memory_that_cannot_be_read_is_told_and_kept(
    defragmenting: DefragmentingRedis, maintainer: Maintainer
) -> None:
    file = maintainer.base_dir / "data" / "database-maintenance" / "redis.json"
    file.parent.mkdir(parents=True)
    file.write_text("[")
    part = maintainer.run(defragmenting.url)
    assert "state_not_read" in findings(part)
    assert "defragment" not in verbs(part)
    assert file.read_text() == "["


# Where it is not let, or not well


def test_a_user_that_may_only_look_gets_findings_with_the_rule_that_is_missing(
    redis_factory: Factory, maintainer: Maintainer
) -> None:
    server = redis_factory(save="3600 1000000")
    fill(server)
    admin = server.client()
    admin.execute_command("ACL", "SETUSER", "limited", "on", ">canary-password", "+info")
    url = f"redis://limited:canary-password@127.0.0.1:{server.port}/0"
    part = maintainer.run(url, FULL)
    assert not part.failed
    assert values(part, "keys") == [552]
    assert values(part, "slow_commands_total") == []
    assert "+slowlog|get" in findings(part)["slow_log_unknown"].message
    assert "+config|get" in findings(part)["saving_unknown"].message
    assert verbs(part) == []

    admin.execute_command("ACL", "SETUSER", "limited", "+config|get", "+slowlog|get")
    refused = maintainer.run(url, FULL)
    assert "+bgsave" in findings(refused)["save_refused"].message
    assert refused.report["steps"] == ["save"]

    admin.execute_command("ACL", "SETUSER", "limited", "+bgsave")
    assert verbs(maintainer.run(url, FULL)) == ["save"]
    assert "canary-password" not in f"{part}{refused}{maintainer.store.lines}"


def test_the_rights_that_the_documentation_names_suffice(redis_factory: Factory, maintainer: Maintainer) -> None:
    page = (Path(__file__).parents[2] / "docs" / "redis.md").read_text()
    rules = re.findall(r"ACL SETUSER exporter ((?:on >PASSWORD )?[+a-z| ]+?)  ", page)
    assert len(rules) == 3
    server = redis_factory(save="3600 1000000", repl_diskless_sync_delay=0)
    fragment(server)
    server.client().execute_command("ACL", "SETUSER", "exporter", *" ".join(rules).split())
    url = f"redis://exporter:PASSWORD@127.0.0.1:{server.port}/0"
    part = maintainer.run(url, FULL, redis_reclaim_min_mb=1)
    assert verbs(part) == ["purge", "save"]
    assert not any("may not use" in finding.message for finding in part.findings)
    found = Redis(RedisSettings(url=SecretStr(url)))
    assert found.status().used_bytes > 0
    assert found.snapshot(len, deadline_seconds=60).keys == 6000


def test_a_managed_server_without_config_is_looked_at_all_the_same(
    redis_factory: Factory, maintainer: Maintainer
) -> None:
    server = redis_factory(rename_command='CONFIG ""')
    fill(server)
    part = maintainer.run(server.url, FULL)
    assert not part.failed
    assert values(part, "keys") == [552]
    assert "unknown command" in findings(part)["saving_unknown"].message
    assert verbs(part) == []


def test_nobody_there_and_nobody_wanted_is_absence(maintainer: Maintainer) -> None:
    world = World.model_validate({"base_dir": maintainer.base_dir})
    clients = Clients(world, RealDurations(), maintainer.store, no_budgets, lambda: maintainer.store)
    clients.redis = Redis(world.redis, port=free_port())
    part = redis_part(RedisMaintenance(), clients, Request(task="database-maintenance"))
    assert (part.absent, part.failed) == (True, False)
