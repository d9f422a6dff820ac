"""Samples each PostgreSQL server, and Redis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jobs.clients.errors import ClientError
from jobs.core.redis import parse_figures
from jobs.performance import series
from jobs.performance.sampling.families import figure_of, shown
from jobs.performance.sampling.part import Part, Reading, grown, per_second
from jobs.performance.sampling.sampled import Gap
from jobs.performance.series import Figure

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.clients.postgres import Postgres
    from jobs.core.postgres import Database, Server, Statement

SECTION = "database_metrics"
_MAX_DATABASES = 50
_LEAST_BLOCKS = 1000
_LEAST_LOOKUPS = 100
"""Of fewer since the last sample a share says nothing."""


def postgres(clients: Clients, server: Postgres, before: Reading | None, slow_statements: int) -> Part:
    """One server; raise Absent or ClientError as its client does."""
    from jobs.clients.postgres_statistics import read_server

    with server.session() as session:
        found = read_server(session)
    looked_after = _looked_after(found, server.wanted_databases)
    databases = looked_after[:_MAX_DATABASES]
    now = Reading(clients.host.uptime_seconds(), database_counters(databases))
    statements, gaps = _statements(server, databases, slow_statements)
    figures = [
        figure_of(series.POSTGRES_CONNECTIONS, found.connections / found.max_connections, server.name),
        *(figure for one in databases for figure in database_figures(server.name, one, before, now)),
        *(
            figure_of(series.POSTGRES_STATEMENT, max(s.mean_seconds for s in several), server.name, name)
            for name, several in statements.items()
            if several
        ),
    ]
    return Part(
        figures=tuple(figures),
        gaps=(*_not_there(server, found), *_too_many(server, len(looked_after)), *gaps),
        sections={SECTION: {"postgres": {server.name: _postgres_section(found, databases, figures, statements)}}},
        reading=now,
    )


def _looked_after(server: Server, wanted: Sequence[str] | None) -> list[Database]:
    there = [one for one in server.databases if one.connectable and not one.template]
    return [one for one in there if wanted is None or one.name in wanted]


def _not_there(server: Postgres, found: Server) -> Iterator[Gap]:
    for name in server.wanted_databases or ():
        if found.database(name) is None:
            yield Gap(f"postgres/{server.name}", f"it has no database {name!r}; correct postgres.databases")


def _too_many(server: Postgres, count: int) -> Iterator[Gap]:
    if count > _MAX_DATABASES:
        reason = f"{count - _MAX_DATABASES} of its {count} databases are not measured; name those in postgres.databases"
        yield Gap(f"postgres/{server.name}", reason)


def database_counters(databases: Sequence[Database]) -> dict[str, dict[str, float]]:
    """What the server counts of each database, for rates."""
    return {
        "transactions": {one.name: one.commits + one.rollbacks for one in databases},
        "blocks_hit": {one.name: one.blocks_hit for one in databases},
        "blocks_read": {one.name: one.blocks_read for one in databases},
    }


def database_figures(server: str, database: Database, before: Reading | None, now: Reading) -> list[Figure]:
    """Size, transactions, and the share of reads from the cache since the last sample.

    The server counts since its statistics were reset, perhaps years ago: that hides a bad day, and is told only
    where there is no sample of before.
    """
    name, since = database.name, grown(before, now)
    hit, read = since["blocks_hit"].get(name), since["blocks_read"].get(name)
    cache = share(hit, read, _LEAST_BLOCKS) if hit is not None and read is not None else database.cache_hit_ratio
    values = {
        series.POSTGRES_SIZE: database.bytes,
        series.POSTGRES_COMMITS: per_second(before, now)["transactions"].get(name),
        series.POSTGRES_CACHE: cache,
    }
    return [figure_of(kind, value, server, name) for kind, value in values.items() if value is not None]


def share(hits: float, misses: float, least: float) -> float | None:
    """The share of hits; None where there were too few of both to say."""
    return hits / (hits + misses) if hits + misses >= least else None


def _statements(
    server: Postgres, databases: Sequence[Database], most: int
) -> tuple[dict[str, list[Statement]], list[Gap]]:
    """What has cost most in each database, by its name; none where pg_stat_statements is not there."""
    from jobs.clients.postgres_statistics import slow_statements

    found: dict[str, list[Statement]] = {}
    gaps = []
    for database in databases if most else ():
        try:
            with server.session(database.name) as session:
                found[database.name] = slow_statements(session, most) or []
        except ClientError as error:
            reason = f"slow statements of {database.name!r} are unknown (slow_statements: 0 asks for none): {error}"
            gaps.append(Gap(f"postgres/{server.name}", reason))
    return found, gaps


def _postgres_section(
    server: Server,
    databases: Sequence[Database],
    figures: Sequence[Figure],
    statements: Mapping[str, Sequence[Statement]],
) -> dict[str, Any]:
    def of(database: Database) -> dict[str, Any]:
        mine = [figure for figure in figures if figure.labels[1:] == (shown(database.name),)]
        slow = [
            {
                "query": one.query,
                "calls": one.calls,
                "mean_seconds": one.mean_seconds,
                "total_seconds": one.total_seconds,
            }
            for one in statements.get(database.name, ())
        ]
        return {**{f.kind.name.removeprefix("postgres_"): f.value for f in mine}, "slow_statements": slow}

    return {
        "where": server.where,
        "version": server.version,
        "connections": server.connections,
        "max_connections": server.max_connections,
        "databases": {shown(one.name): of(one) for one in databases},
    }


def redis(clients: Clients, before: Reading | None) -> Part:
    """Redis; raise Absent or ClientError as its client does."""
    with clients.redis.session() as session:
        info, where = session.info(), session.where
    try:
        found = parse_figures(info)
    except ValueError as error:
        raise ClientError(f"Redis at {where}: {error}") from None
    totals = found.totals
    now = Reading(clients.host.uptime_seconds(), {
        "commands": _counter(info, "total_commands_processed"),
        "hits": {"": totals.keyspace_hits},
        "misses": {"": totals.keyspace_misses},
        "evicted": {"": totals.evicted_keys},
    })  # fmt: skip
    since, rates = grown(before, now), per_second(before, now)
    values = {
        series.REDIS_MEMORY: found.memory.used_bytes,
        series.REDIS_COMMANDS: rates["commands"].get(""),
        series.REDIS_HITS: _hit_ratio(since, totals.keyspace_hits, totals.keyspace_misses),
    }
    figures = tuple(figure_of(kind, value) for kind, value in values.items() if value is not None)
    section = {
        **{figure.kind.name.removeprefix("redis_"): figure.value for figure in figures},
        "where": where,
        "version": found.version,
        "max_memory_bytes": found.memory.max_bytes,
        "clients": found.clients,
        "evicted_keys_per_second": rates["evicted"].get(""),
    }
    return Part(figures, sections={SECTION: {"redis": section}}, reading=now)


def _hit_ratio(since: Mapping[str, Mapping[str, float]], hits: int, misses: int) -> float | None:
    """Of the look-ups since the last sample; of all since Redis was started where there is none."""
    recent = since["hits"].get(""), since["misses"].get("")
    if recent[0] is None or recent[1] is None:
        return share(hits, misses, 1)
    return share(recent[0], recent[1], _LEAST_LOOKUPS)


def _counter(info: Mapping[str, str], name: str) -> dict[str, float]:
    text = info.get(name, "")
    return {"": float(text)} if text.isascii() and text.isdigit() and len(text) < 20 else {}
