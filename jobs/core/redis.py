"""What a Redis server says of itself: INFO, taken apart. Whatever it says is hostile until it was checked.

Names and meanings: https://redis.io/docs/latest/commands/info/.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

MAX_DATABASES = 64
OTHERS = "others"
_MAX_REPLICAS = 1000
_MAX_SLOW = 1000
_LARGEST = 1 << 63
_LAST_SECOND = 253402300799
_WHOLE = re.compile(r"[0-9]{1,19}")
_DATABASE = re.compile(r"db([0-9]{1,9})")
_COMMAND = re.compile(r"[A-Za-z][A-Za-z0-9_.|-]{0,31}")
_MORE_ARGUMENTS = re.compile(r"\.\.\. \(([0-9]{1,9}) more arguments\)")


@dataclass(frozen=True)
class Memory:
    """Bytes. `max_bytes` is 0 without a limit; what the allocator knows is None where it does not tell (no jemalloc).

    The process holds its data, `fragmented_bytes` between them in pages that are in use, `retained_bytes` in pages
    that the allocator keeps although nothing is in them, and `overhead_bytes` that are not the allocator's at all.
    """

    used_bytes: int
    peak_bytes: int
    max_bytes: int
    evicts: bool
    resident_bytes: int
    allocator: str
    fragmentation_ratio: float | None
    fragmented_bytes: int | None
    retained_bytes: int | None
    overhead_bytes: int | None
    defragmenting: bool


@dataclass(frozen=True)
class Persistence:
    """What is on disk. `changes` are writes since `last_save`; `aof_write_ok` is None where there is no AOF."""

    last_save: datetime | None
    changes: int
    save_ok: bool
    saving: bool
    aof_enabled: bool
    aof_write_ok: bool | None
    aof_rewriting: bool


@dataclass(frozen=True)
class Replication:
    """`link_up` is None on a master; the worst of a master's replicas is `lag_seconds` and `lag_bytes` behind."""

    role: str
    link_up: bool | None
    replicas: int
    lag_seconds: int | None
    lag_bytes: int | None


@dataclass(frozen=True)
class Totals:
    """Counted by the server since it was started; `slow_commands` by its slow log, None where that is not seen."""

    evicted_keys: int
    rejected_connections: int
    keyspace_hits: int
    keyspace_misses: int
    slow_commands: int | None = None


@dataclass(frozen=True)
class Figures:
    """One reading. `keys` and `expiring` are by database, of at most 64 of them; the others are summed."""

    version: str
    uptime_seconds: int
    loading: bool
    clients: int
    max_clients: int | None
    blocked_clients: int
    keys: Mapping[str, int]
    expiring: Mapping[str, int]
    memory: Memory
    persistence: Persistence
    replication: Replication
    totals: Totals


@dataclass(frozen=True)
class Slow:
    """A command that took long: when, how long, which, and the number of its arguments, which are nobody's business."""

    number: int
    at: datetime
    seconds: float
    command: str
    arguments: int


def parse_figures(info: Mapping[str, str]) -> Figures:
    """Take apart what INFO says; raise ValueError where it does not even tell the memory in use."""
    if _number(info, "used_memory") is None:
        raise ValueError("INFO does not say how much memory it uses")
    keys, expiring = _keyspace(info)
    return Figures(
        version=_word(info.get("redis_version", "")),
        uptime_seconds=_count(info, "uptime_in_seconds"),
        loading=info.get("loading") == "1" or info.get("async_loading") == "1",
        clients=_count(info, "connected_clients"),
        max_clients=_number(info, "maxclients"),
        blocked_clients=_count(info, "blocked_clients"),
        keys=keys,
        expiring=expiring,
        memory=_memory(info),
        persistence=_persistence(info),
        replication=_replication(info),
        totals=Totals(
            evicted_keys=_count(info, "evicted_keys"),
            rejected_connections=_count(info, "rejected_connections"),
            keyspace_hits=_count(info, "keyspace_hits"),
            keyspace_misses=_count(info, "keyspace_misses"),
        ),
    )


def parse_slow_log(reply: object) -> list[Slow]:
    """Take apart the reply to SLOWLOG GET (https://redis.io/docs/latest/commands/slowlog-get/), newest first."""
    entries = reply if isinstance(reply, list) else []
    return [slow for entry in entries[:_MAX_SLOW] if (slow := _slow(entry))]


def _slow(entry: object) -> Slow | None:
    if not isinstance(entry, list) or len(entry) < 4 or not isinstance(entry[3], list):
        return None
    number, at, micros, words = entry[:4]
    whole = [value for value in (number, at, micros) if isinstance(value, int) and 0 <= value < _LARGEST]
    if len(whole) != 3 or at > _LAST_SECOND or not words:
        return None
    first, last = str(words[0]), str(words[-1])
    cut = _MORE_ARGUMENTS.fullmatch(last)
    arguments = len(words) - 1 + (int(cut[1]) - 1 if cut else 0)
    command = first.upper() if _COMMAND.fullmatch(first) else "?"
    return Slow(number, datetime.fromtimestamp(at, UTC), micros / 1e6, command, arguments)


def _memory(info: Mapping[str, str]) -> Memory:
    resident = _count(info, "used_memory_rss")
    # Without jemalloc the server fills these in from the process, and they mean nothing.
    told = info.get("mem_allocator", "").startswith("jemalloc")
    allocated, active, held = (
        _number(info, f"allocator_{name}") if told else None for name in ("allocated", "active", "resident")
    )
    return Memory(
        used_bytes=_count(info, "used_memory"),
        peak_bytes=_count(info, "used_memory_peak"),
        max_bytes=_count(info, "maxmemory"),
        evicts=info.get("maxmemory_policy", "noeviction") != "noeviction",
        resident_bytes=resident,
        allocator=_word(info.get("mem_allocator", "")),
        fragmentation_ratio=active / allocated if active and allocated else None,
        fragmented_bytes=_less(active, allocated),
        retained_bytes=_less(held, active),
        overhead_bytes=_less(resident, held),
        defragmenting=info.get("active_defrag_running", "0") != "0",
    )


def _persistence(info: Mapping[str, str]) -> Persistence:
    aof_enabled = info.get("aof_enabled") == "1"
    saved = _number(info, "rdb_last_save_time")
    return Persistence(
        last_save=datetime.fromtimestamp(saved, UTC) if saved is not None and saved <= _LAST_SECOND else None,
        changes=_count(info, "rdb_changes_since_last_save"),
        save_ok=info.get("rdb_last_bgsave_status", "ok") == "ok",
        saving=info.get("rdb_bgsave_in_progress") == "1",
        aof_enabled=aof_enabled,
        aof_write_ok=info.get("aof_last_write_status", "ok") == "ok" if aof_enabled else None,
        aof_rewriting=info.get("aof_rewrite_in_progress") == "1",
    )


def _replication(info: Mapping[str, str]) -> Replication:
    offset = _number(info, "master_repl_offset")
    listed = [info[name] for number in range(_MAX_REPLICAS) if (name := f"slave{number}") in info]
    fields = [dict(field.partition("=")[::2] for field in line.split(",")) for line in listed]
    lags = [lag for one in fields if (lag := _number(one, "lag")) is not None]
    behind = [less for one in fields if (less := _less(offset, _number(one, "offset"))) is not None]
    link = info.get("master_link_status")
    return Replication(
        role=_word(info.get("role", "")),
        link_up=link == "up" if link is not None else None,
        replicas=_count(info, "connected_slaves"),
        lag_seconds=max(lags, default=None),
        lag_bytes=max(behind, default=None),
    )


def _keyspace(info: Mapping[str, str]) -> tuple[dict[str, int], dict[str, int]]:
    found = sorted((int(match[1]), line) for name, line in info.items() if (match := _DATABASE.fullmatch(name)))
    keys: dict[str, int] = {}
    expiring: dict[str, int] = {}
    for place, (number, line) in enumerate(found):
        fields = dict(field.partition("=")[::2] for field in line.split(","))
        label = str(number) if place < MAX_DATABASES else OTHERS
        keys[label] = keys.get(label, 0) + _count(fields, "keys")
        expiring[label] = expiring.get(label, 0) + _count(fields, "expires")
    return keys, expiring


def _less(whole: int | None, part: int | None) -> int | None:
    return max(0, whole - part) if whole is not None and part is not None else None


def _number(info: Mapping[str, str], name: str) -> int | None:
    text = info.get(name, "")
    return int(text) if _WHOLE.fullmatch(text) and int(text) < _LARGEST else None


def _count(info: Mapping[str, str], name: str) -> int:
    return _number(info, name) or 0


def _word(text: str) -> str:
    return re.sub(r"[^!-~]", "?", text[:64])


def total(by_database: Mapping[str, int]) -> int:
    """The keys of all databases."""
    return sum(by_database.values())


def slower(slow: Sequence[Slow], since: datetime) -> list[Slow]:
    """Those since then, slowest first."""
    return sorted((one for one in slow if one.at >= since), key=lambda one: -one.seconds)
