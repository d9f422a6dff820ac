"""What is due in a PostgreSQL database, decided from its figures alone. A plan that is shown and one that is carried

out come from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from jobs.core.postgres import Index, Server, Table, Width, wasted_bytes
from jobs.databases.postgres_settings import PostgresMaintenance

DAY_SECONDS = 86400
_INSERTED_ROWS, _INSERTED_SHARE = 1000, 0.2
# What REINDEX CONCURRENTLY leaves when it is cut off: the new index unfinished, or the old one not yet dropped.
_LEFTOVER = re.compile(r"(.+)_cc(?:new|old)\d*", re.DOTALL)
_CUT_NAME_BYTES = 60


class Verb(StrEnum):
    """What is done to a table or an index."""

    DROP_INDEX = "drop index"
    VACUUM = "vacuum"
    FREEZE = "vacuum freeze"
    ANALYZE = "analyze"
    REINDEX = "reindex"


@dataclass(frozen=True)
class Work:
    """One thing to do, and why. `analyze` belongs to a vacuum; `bytes` is the size of the table or index."""

    verb: Verb
    schema: str
    name: str
    reason: str
    bytes: int
    analyze: bool = False

    @property
    def label(self) -> str:
        """The table's or index's name for people."""
        return f"{self.schema}.{self.name}"

    @property
    def key(self) -> tuple[str, str]:
        """The table's or index's name."""
        return self.schema, self.name


@dataclass(frozen=True)
class Plan:
    """What is to be done in a database: leftovers first, then tables, then indexes; of each the largest first."""

    leftovers: tuple[Work, ...] = ()
    tables: tuple[Work, ...] = ()
    indexes: tuple[Work, ...] = ()

    @property
    def work(self) -> tuple[Work, ...]:
        """All of it, in order."""
        return (*self.leftovers, *self.tables, *self.indexes)


def plan_of(
    server: Server,
    tables: Sequence[Table],
    indexes: Sequence[Index],
    widths: Iterable[Width],
    rebuilt: Mapping[tuple[str, str], datetime],
    settings: PostgresMaintenance,
    now: datetime,
    *,
    full: bool,
) -> Plan:
    """What is due; with `full` every table, and bloated indexes however lately they were rebuilt."""
    due_tables = (table_work(table, server, settings, full=full) for table in tables if table.may_vacuum)
    bloat = {(width.schema, width.name): width for width in widths if width.is_index}
    young = timedelta(0) if full else timedelta(days=settings.reindex_threshold_days)
    lately = {key for key, at in rebuilt.items() if now - at < young}
    due_indexes = (
        index_work(index, bloat.get((index.schema, index.name)), settings)
        for index in indexes
        if (index.schema, index.name) not in lately
    )
    return Plan(
        leftovers=_largest_first(
            Work(Verb.DROP_INDEX, i.schema, i.name, "it is what a REINDEX left that was cut off", i.bytes)
            for i in leftovers(indexes)
        ),
        tables=_largest_first(work for work in due_tables if work),
        indexes=_largest_first(work for work in due_indexes if work),
    )


def table_work(table: Table, server: Server, settings: PostgresMaintenance, *, full: bool = False) -> Work | None:
    """What a table needs, if anything."""
    stale = _stale_statistics(table, settings)
    if reason := _freeze_reason(table, server, settings):
        return Work(Verb.FREEZE, table.schema, table.name, reason, table.bytes, analyze=full or bool(stale))
    if reason := _vacuum_reason(table, settings) or ("all tables are done" if full else ""):
        return Work(Verb.VACUUM, table.schema, table.name, reason, table.bytes, analyze=full or bool(stale))
    return Work(Verb.ANALYZE, table.schema, table.name, stale, table.bytes) if stale else None


def _freeze_reason(table: Table, server: Server, settings: PostgresMaintenance) -> str:
    for what, age, limit in (
        ("transactions", table.transaction_age, server.freeze_max_age),
        ("multixacts", table.multixact_age, server.multixact_freeze_max_age),
    ):
        if age > limit * settings.vacuum_age_percent / 100:
            return f"its oldest rows are {age:,} {what} old, autovacuum would be forced at {limit:,}"
    return ""


def _vacuum_reason(table: Table, settings: PostgresMaintenance) -> str:
    share = settings.vacuum_dead_percent / 100
    rows = max(table.rows, table.live_rows)
    if table.dead_rows > settings.vacuum_dead_rows + share * rows:
        return f"{table.dead_rows:,} dead rows beside {table.live_rows:,}"
    if table.toast_dead_rows > settings.vacuum_dead_rows + share * max(0.0, table.toast_rows):
        return f"{table.toast_dead_rows:,} dead rows in its TOAST table"
    if table.inserts_since_vacuum > _INSERTED_ROWS + _INSERTED_SHARE * rows:
        return f"{table.inserts_since_vacuum:,} rows inserted since its last vacuum"
    changes = table.dead_rows + table.toast_dead_rows + table.inserts_since_vacuum
    return _age_reason(table, settings) if changes else ""


def _age_reason(table: Table, settings: PostgresMaintenance) -> str:
    """Whether a table with changes has waited long enough: any change is reason enough after this time."""
    if table.vacuum_seconds is None:
        return "it was changed and never vacuumed"
    days = table.vacuum_seconds / DAY_SECONDS
    if days > settings.vacuum_threshold_days:
        return f"it was changed, and its last vacuum is {days:.1f} days ago"
    return ""


def _stale_statistics(table: Table, settings: PostgresMaintenance) -> str:
    rows = max(table.rows, table.live_rows)
    if table.changes_since_analyze > settings.vacuum_dead_rows + settings.vacuum_dead_percent / 100 * rows:
        return f"{table.changes_since_analyze:,} of {rows:,.0f} rows changed since its last analyze"
    if table.analyze_seconds is None and table.changes_since_analyze:
        return "it was changed and never analyzed"
    return ""


def index_work(index: Index, width: Width | None, settings: PostgresMaintenance) -> Work | None:
    """The rebuilding of an index, if it is worth it and possible beside other work."""
    # REINDEX CONCURRENTLY refuses indexes of exclusion constraints.
    if width is None or not index.valid or index.exclusion or not index.may_rebuild:
        return None
    wasted = wasted_bytes(width)
    enough = max(settings.reindex_bloat_mb * 1e6, settings.reindex_bloat_percent / 100 * width.bytes)
    if wasted is None or wasted < enough:
        return None
    reason = f"about {wasted / 1e6:.1f} of its {width.bytes / 1e6:.1f} MB are wasted"
    return Work(Verb.REINDEX, index.schema, index.name, reason, index.bytes)


def leftovers(indexes: Sequence[Index]) -> list[Index]:
    """The invalid indexes that a cut-off REINDEX CONCURRENTLY left beside the valid one, and may be dropped.

    An index that only has such a name and no valid twin is somebody's own, as is one of which the table is at work.
    """
    valid = [index for index in indexes if index.valid]
    return [
        index
        for index in indexes
        if not index.valid
        and not index.busy
        and not index.constrained
        and index.may_rebuild
        and index.schema != "pg_toast"
        and any(_is_leftover_of(index, twin) for twin in valid)
    ]


def _is_leftover_of(index: Index, twin: Index) -> bool:
    match = _LEFTOVER.fullmatch(index.name)
    if not match or (index.schema, index.table, index.definition) != (twin.schema, twin.table, twin.definition):
        return False
    # A name that would be longer than 63 bytes was cut before the ending, between two characters.
    cut = len(index.name.encode()) >= _CUT_NAME_BYTES
    return twin.name == match[1] or (cut and twin.name.startswith(match[1]))


def invalid(indexes: Sequence[Index]) -> list[Index]:
    """Indexes that are kept up to date and never used, and are no leftovers; nobody is building them now."""
    removable = set(leftovers(indexes))
    return [index for index in indexes if not index.valid and not index.busy and index not in removable]


def unused(indexes: Sequence[Index], least_bytes: int = 1 << 20) -> list[Index]:
    """Indexes that nobody has read since the counters began, and that nothing but reading needs."""
    return [
        index
        for index in indexes
        if index.valid
        and index.scans == 0
        and index.bytes >= least_bytes
        and not (index.unique or index.constrained or index.exclusion or index.replica_identity)
    ]


def duplicates(indexes: Sequence[Index]) -> list[tuple[Index, Index]]:
    """Indexes (second) that index the same as another (first), which does more or is called first."""
    found: dict[tuple[str, str, str], list[Index]] = {}
    for index in indexes:
        if index.valid:
            found.setdefault((index.schema, index.table, index.definition), []).append(index)
    pairs = []
    for same in found.values():
        best, *others = sorted(same, key=lambda index: (not index.constrained, not index.replica_identity, index.name))
        pairs += [(best, other) for other in others if not other.constrained]
    return pairs


def _largest_first(work: Iterable[Work]) -> tuple[Work, ...]:
    return tuple(sorted(work, key=lambda one: (-one.bytes, one.label)))
