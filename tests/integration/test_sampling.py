"""One sample of everything, on a real PostgreSQL, Redis and agents, and what the next one makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.performance import series
from tests.services.http_agent import HttpAgent
from tests.services.ports import free_port
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer
from tests.services.sampling_runs import SamplingRuns, figure, figures, gap, kinds, metric
from tests.services.wait import wait_for


@pytest.fixture(autouse=True)
def _short_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine's own rates do not matter."""
    monkeypatch.setattr("jobs.performance.sampling.part.WINDOW_SECONDS", 0.1)


def test_the_machine_is_measured_within_the_run_the_first_time_and_since_the_last_sample_afterwards(
    tmp_path: Path,
) -> None:
    runs = SamplingRuns(tmp_path)
    first = runs.sample()
    assert first.sections["system_metrics"]["measured_over_seconds"] < 10
    assert sum(figures(first, series.CPU_MODE).values()) == pytest.approx(1)
    read = runs.clients().host_figures.counters
    counted = json.loads(runs.counters_file.read_text())["readings"]["host"]["counters"]["cpu_seconds"]
    wait_for(lambda: sum(read()["cpu_seconds"].values()) > sum(counted.values()), 20, "the kernel has counted on")
    runs.age(600)
    second = runs.sample()
    assert second.sections["system_metrics"]["measured_over_seconds"] > 599
    for sampled in (first, second):
        for kind in (series.CPU, series.MEMORY, series.LOAD):
            assert figure(sampled, kind) is not None
        assert 0 < (figure(sampled, series.DISK, "/") or 0) <= 1
        assert 0 <= (metric(sampled, "sutazai_host_cpu_used_ratio") or 0) <= 1
        assert gap(sampled, "host") is None
    assert figures(second, series.DISK_WRITTEN).keys() == figures(first, series.DISK_WRITTEN).keys()


def test_after_a_reboot_the_machine_is_measured_within_the_run(tmp_path: Path) -> None:
    runs = SamplingRuns(tmp_path)
    runs.sample()
    document = json.loads(runs.counters_file.read_text())
    document["boot_id"] = "another"
    runs.counters_file.write_text(json.dumps(document))
    runs.age(600)
    assert runs.sample().sections["system_metrics"]["measured_over_seconds"] < 10


def test_counters_that_went_back_give_no_wild_figure(tmp_path: Path) -> None:
    runs = SamplingRuns(tmp_path)
    runs.sample()
    document = json.loads(runs.counters_file.read_text())
    counters = document["readings"]["host"]["counters"]
    counters["cpu_seconds"]["user"] += 1e9
    runs.counters_file.write_text(json.dumps(document))
    runs.age(600)
    sampled = runs.sample()
    assert sampled.sections["system_metrics"]["measured_over_seconds"] < 10
    assert 0 <= (figure(sampled, series.CPU) or 0) <= 1


def test_a_damaged_state_file_is_said_and_stops_nothing(tmp_path: Path) -> None:
    runs = SamplingRuns(tmp_path)
    runs.sample()
    runs.counters_file.write_bytes(b"{")
    sampled = runs.sample()
    assert kinds(sampled) == {("state_not_read", "performance-report")}
    assert figure(sampled, series.CPU) is not None
    assert kinds(runs.sample()) == set()


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    assert figure(SamplingRuns(tmp_path).sample(dry_run=True), series.CPU) is not None
    assert list(tmp_path.iterdir()) == []


# --- PostgreSQL ---


def test_postgres_since_the_last_sample(tmp_path: Path, postgres_factory: Callable[..., PostgresServer]) -> None:
    server = postgres_factory(shared_preload_libraries="pg_stat_statements", max_connections=40)
    server.execute("CREATE EXTENSION pg_stat_statements")
    server.execute("CREATE TABLE t AS SELECT g AS id, repeat('x', 500) AS pad FROM generate_series(1, 20000) g")
    runs = SamplingRuns(tmp_path, postgres={"dsn": server.dsn})
    first = runs.sample()
    where = ("main", server.database)
    assert 0 < (figure(first, series.POSTGRES_CONNECTIONS, "main") or 0) < 1
    assert (figure(first, series.POSTGRES_SIZE, *where) or 0) > 1 << 20
    assert figure(first, series.POSTGRES_CACHE, *where) is not None  # of all time: there is nothing to compare with
    assert figures(first, series.POSTGRES_COMMITS) == {}
    runs.age(10)
    for _ in range(20):
        server.execute("SELECT count(*) FROM t WHERE pad <> 'secret-constant'")
    second = runs.sample()
    assert (figure(second, series.POSTGRES_COMMITS, *where) or 0) > 1
    cache = figure(second, series.POSTGRES_CACHE, *where)
    assert cache is not None and 0 < cache <= 1
    slow = second.sections["database_metrics"]["postgres"]["main"]["databases"][server.database]["slow_statements"]
    assert (figure(second, series.POSTGRES_STATEMENT, *where) or 0) == max(one["mean_seconds"] for one in slow) > 0
    assert metric(second, "sutazai_postgres_slowest_statement_seconds", *where) is not None
    assert "secret-constant" not in json.dumps(second.sections)
    assert all(len(one["query"]) <= 300 and "\n" not in one["query"] for one in slow)


def test_the_newest_postgres_tells_the_same_figures(tmp_path: Path, newest_postgres_server: PostgresServer) -> None:
    runs = SamplingRuns(tmp_path, postgres={"dsn": newest_postgres_server.dsn})
    runs.sample()
    runs.age(10)
    for _ in range(5):
        newest_postgres_server.execute("SELECT 1")
    sampled = runs.sample()
    found = {figure.kind for figure in sampled.figures if figure.labels[:1] == ("main",)}
    assert found >= {series.POSTGRES_CONNECTIONS, series.POSTGRES_SIZE, series.POSTGRES_COMMITS}
    assert gap(sampled, "postgres/main") is None


def test_several_servers_each_have_their_own_figures(tmp_path: Path, postgres_server: PostgresServer) -> None:
    other = {"name": "other", "dsn": postgres_server.dsn, "databases": ["postgres"]}
    down = {"name": "down", "dsn": f"postgresql://x@127.0.0.1:{free_port()}/x"}
    sampled = SamplingRuns(tmp_path, postgres={"dsn": postgres_server.dsn, "servers": [other, down]}).sample()
    assert figures(sampled, series.POSTGRES_CONNECTIONS).keys() == {("main",), ("other",)}
    assert ("other", "postgres") in figures(sampled, series.POSTGRES_SIZE)
    assert ("other", postgres_server.database) not in figures(sampled, series.POSTGRES_SIZE)
    told = gap(sampled, "postgres/down")
    assert told is not None and not told.absent and "refused" in told.reason
    assert gap(sampled, "postgres/main") is None


def test_a_database_that_is_configured_and_not_there_is_a_gap(tmp_path: Path, postgres_server: PostgresServer) -> None:
    wanted = {"dsn": postgres_server.dsn, "databases": ["postgres", "gone"]}
    sampled = SamplingRuns(tmp_path, postgres=wanted).sample()
    told = gap(sampled, "postgres/main")
    assert told is not None and told.reason == "it has no database 'gone'; correct postgres.databases"
    assert figures(sampled, series.POSTGRES_SIZE).keys() == {("main", "postgres")}


@pytest.mark.parametrize("name", ['a b;$(id)"', "host=x", "zeile\nzwei", "--file=x", "ünï\u202ecode"])
def test_hostile_names_of_databases_are_labels_that_can_be_shown(
    tmp_path: Path, postgres_server: PostgresServer, name: str
) -> None:
    postgres_server.create_database(name)
    try:
        sampled = SamplingRuns(tmp_path, postgres={"dsn": postgres_server.dsn, "databases": [name]}).sample()
    finally:
        quoted = '"' + name.replace('"', '""') + '"'
        postgres_server.execute(f"DROP DATABASE {quoted}", database="postgres")
    [(_, label)] = figures(sampled, series.POSTGRES_SIZE)
    assert label.isprintable()


# --- Redis ---


def test_redis_since_the_last_sample(tmp_path: Path, redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory()
    runs = SamplingRuns(tmp_path, redis={"url": server.url})
    with server.client() as redis:
        redis.set("there", "x")
        for _ in range(50):
            redis.get("there")
        first = runs.sample()
        assert figure(first, series.REDIS_HITS) == 1  # of all time
        assert figure(first, series.REDIS_COMMANDS) is None
        runs.age(100)
        for number in range(300):
            redis.get("there" if number % 4 == 0 else "gone")
        second = runs.sample()
        assert figure(second, series.REDIS_HITS) == pytest.approx(0.25)
        assert 3 < (figure(second, series.REDIS_COMMANDS) or 0) < 6
        assert (figure(second, series.REDIS_MEMORY) or 0) > 100_000
        runs.age(100)
        redis.get("gone")
        assert figure(runs.sample(), series.REDIS_HITS) is None  # one look-up says nothing


def test_a_redis_that_was_restarted_has_no_rates_this_time(
    tmp_path: Path, redis_factory: Callable[..., RedisServer]
) -> None:
    server = redis_factory()
    runs = SamplingRuns(tmp_path, redis={"url": server.url})
    with server.client() as redis:
        for _ in range(200):
            redis.get("gone")
    runs.sample()
    runs.age(100)
    server.stop()
    server.start()
    assert figures(runs.sample(), series.REDIS_COMMANDS) == {}


def test_a_sample_right_after_another_has_its_rates_all_the_same(
    tmp_path: Path, redis_factory: Callable[..., RedisServer]
) -> None:
    runs = SamplingRuns(tmp_path, redis={"url": redis_factory().url})
    runs.sample()
    assert (figure(runs.sample(), series.REDIS_COMMANDS) or 0) > 0


# --- agents ---


def test_unreachable_agents_count(tmp_path: Path, http_agent: Callable[..., HttpAgent]) -> None:
    well, ill = http_agent(), http_agent(status=500)
    listed = [
        {"name": "well", "port": well.port},
        {"name": "ill", "port": ill.port},
        {"name": "gone", "port": free_port()},
        {"name": "gone-too", "port": free_port()},
    ]
    sampled = SamplingRuns(tmp_path, agents={"listed": listed, "discover": False}).sample()
    assert figure(sampled, series.AGENTS_HEALTHY) == 0.25
    assert metric(sampled, "sutazai_agents_healthy_ratio") == 0.25
    failed = {name: 0.0 if name == "well" else 1.0 for name in ("well", "ill", "gone", "gone-too")}
    assert figures(sampled, series.AGENT_ERRORS) == {(name,): value for name, value in failed.items()}
    assert figures(sampled, series.AGENT_RESPONSE).keys() == {("well",), ("ill",)}
    section = sampled.sections["agent_metrics"]
    assert (section["total"], section["healthy"]) == (4, 1)
    assert section["agents"]["gone"]["state"] == "unreachable"


def test_agents_own_figures(tmp_path: Path, http_agent: Callable[..., HttpAgent]) -> None:
    json_agent, text_agent, odd = (
        http_agent(body=b'{"total_requests": 100, "avg_response_time": 0.25, "error_rate": 0.02}'),
        http_agent(body=b'http_requests_total{status="500"} 10\nhttp_requests_total{status="200"} 90\n'),
        http_agent(body=b"\x00<script>"),
    )
    no_page = http_agent()
    no_page.paths["/figures"] = 404
    agents = {"by-json": json_agent, "by-text": text_agent, "odd": odd, "no-page": no_page}
    listed = [{"name": name, "port": agent.port} for name, agent in agents.items()]
    runs = SamplingRuns(tmp_path, agents={"listed": listed, "discover": False})
    first = runs.sample(agent_metrics_path="/figures")
    assert figures(first, series.AGENT_OWN_RESPONSE) == {("by-json",): 0.25}
    assert figures(first, series.AGENT_OWN_ERRORS) == {("by-json",): 0.02}
    assert figures(first, series.AGENT_REQUESTS) == {}
    section = first.sections["agent_metrics"]["agents"]
    assert "not known" in section["odd"]["own_figures"]
    assert "own_figures" not in section["no-page"]
    runs.age(100)
    json_agent.body = b'{"total_requests": 400}'
    text_agent.body = b'http_requests_total{status="500"} 30\nhttp_requests_total{status="200"} 170\n'
    second = runs.sample(agent_metrics_path="/figures")
    assert figure(second, series.AGENT_REQUESTS, "by-json") == pytest.approx(3, rel=0.2)
    assert figure(second, series.AGENT_OWN_ERRORS, "by-text") == pytest.approx(0.2)


def test_no_agents_are_no_gap_in_what_is_known(tmp_path: Path) -> None:
    told = gap(SamplingRuns(tmp_path).sample(), "agents")
    assert told is not None and told.absent


def test_standard_agents_that_were_seen_are_expected_though_none_is_left(tmp_path: Path) -> None:
    runs = SamplingRuns(tmp_path, agents={"discover": False})
    runs.past.seen["agent_up/sutazai-agent-orchestrator"] = [(runs.clock.now().timestamp(), 1.0)]
    sampled = runs.sample()
    assert figure(sampled, series.AGENTS_HEALTHY) == 0
    assert sampled.sections["agent_metrics"]["total"] == 5
