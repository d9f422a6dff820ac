"""What is known of a PostgreSQL server, its databases, their tables and their indexes: plain values, read elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

PAGE_BYTES = 8192
"""The page size of every server that was not built with another one."""
XID_LIMIT = 2**31
"""Transactions before the numbers wrap around; a server stops taking writes 3 million before."""

_PAGE_HEADER_BYTES, _LINE_POINTER_BYTES = 24, 4
_ROW_HEADER_BYTES = 24
_BTREE_SPECIAL_BYTES, _INDEX_HEADER_BYTES = 16, 8
_ALIGNMENT = 8


@dataclass(frozen=True)
class Database:
    """A database as the whole server's catalogs show it; what counts does so since `pg_stat_database` was reset."""

    name: str
    template: bool
    connectable: bool
    bytes: int | None
    transaction_age: int
    multixact_age: int
    commits: int
    rollbacks: int
    blocks_hit: int
    blocks_read: int
    deadlocks: int
    temp_bytes: int

    @property
    def cache_hit_ratio(self) -> float | None:
        """Share of block reads that the server's own cache answered; None before there was any."""
        asked = self.blocks_hit + self.blocks_read
        return self.blocks_hit / asked if asked else None

    @property
    def wraparound_ratio(self) -> float:
        """How far it is on the way to the wraparound of transaction or multixact numbers."""
        return max(self.transaction_age, self.multixact_age) / XID_LIMIT


@dataclass(frozen=True)
class Replica:
    """A standby that streams from the server; lags are None where the server does not tell."""

    name: str
    lag_bytes: int | None
    lag_seconds: float | None


@dataclass(frozen=True)
class Slot:
    """A replication slot and the WAL that is kept for it."""

    name: str
    active: bool
    retained_bytes: int


@dataclass(frozen=True)
class Transaction:
    """A transaction that is open: whose, since when, and whether its session does anything."""

    pid: int
    user: str
    application: str
    database: str
    state: str
    seconds: float


@dataclass(frozen=True)
class Prepared:
    """A transaction that was prepared for a two-phase commit and not ended since."""

    name: str
    database: str
    seconds: float


@dataclass(frozen=True)
class Server:
    """A server. `sees_all` says whether it tells us of other users' sessions; where not, `transactions` and the

    lags of `replicas` are unknown.
    """

    where: str
    version: str
    in_recovery: bool
    replay_delay_seconds: float | None
    connections: int
    max_connections: int
    freeze_max_age: int
    multixact_freeze_max_age: int
    sees_all: bool
    databases: tuple[Database, ...]
    replicas: tuple[Replica, ...]
    slots: tuple[Slot, ...]
    transactions: tuple[Transaction, ...]
    prepared: tuple[Prepared, ...]

    def database(self, name: str) -> Database | None:
        """The database of that name, if there is one."""
        return next((database for database in self.databases if database.name == name), None)


@dataclass(frozen=True)
class Table:
    """A table, a materialized view or a catalog; ages of vacuum and analyze are None where there was none.

    `may_vacuum`: the server would let us. `vacuums` counts those that were asked for, so that one that was done shows.
    """

    schema: str
    name: str
    bytes: int
    rows: float
    live_rows: int
    dead_rows: int
    toast_rows: float
    toast_dead_rows: int
    changes_since_analyze: int
    inserts_since_vacuum: int
    transaction_age: int
    multixact_age: int
    vacuum_seconds: float | None
    analyze_seconds: float | None
    vacuums: int
    analyzes: int
    may_vacuum: bool

    @property
    def label(self) -> str:
        """Its name for people."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Index:
    """An index. `definition` is equal for two that index the same; `busy`: its table is being worked on.

    `constrained`: a constraint needs it. `may_rebuild`: the server would let us rebuild and drop it.
    """

    schema: str
    name: str
    table: str
    bytes: int
    scans: int
    valid: bool
    unique: bool
    exclusion: bool
    constrained: bool
    replica_identity: bool
    definition: str
    busy: bool
    may_rebuild: bool

    @property
    def label(self) -> str:
        """Its name for people."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Width:
    """What the size of a table or B-tree is estimated from; `row_bytes` is None where its statistics are not known."""

    schema: str
    name: str
    is_index: bool
    bytes: int
    rows: float
    row_bytes: float | None
    fillfactor_percent: int


@dataclass(frozen=True)
class Statement:
    """A kind of statement, its constants left out, and what it has cost so far."""

    query: str
    calls: int
    total_seconds: float
    mean_seconds: float
    rows: int


def wasted_bytes(width: Width) -> int | None:
    """Bytes of a table or B-tree beyond what its rows need, None where that cannot be told.

    The layout is PostgreSQL's own (https://www.postgresql.org/docs/current/storage-page-layout.html): rows, each with a
    header and a line pointer, on pages filled to the fill factor. The approach is the well-known one of
    https://github.com/ioguix/pgsql-bloat-estimation: widths from pg_stats, so it is right to about a tenth. Equal
    keys that a B-tree stores once make it smaller than expected, which hides bloat and never invents any.
    """
    if width.row_bytes is None or width.rows < 0:
        return None
    aligned = -(-width.row_bytes // _ALIGNMENT) * _ALIGNMENT
    header, special = (_INDEX_HEADER_BYTES, _BTREE_SPECIAL_BYTES) if width.is_index else (_ROW_HEADER_BYTES, 0)
    usable = (PAGE_BYTES - _PAGE_HEADER_BYTES - special) * width.fillfactor_percent / 100
    pages = -(-width.rows * (header + aligned + _LINE_POINTER_BYTES) // usable)
    if width.is_index:
        pages += 2 + pages // 200  # the meta page, the root, and inner pages for some 200 leaves each
    return max(0, width.bytes - int(pages) * PAGE_BYTES)
