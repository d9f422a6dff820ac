"""The ledger at a glance: how runs went, without the bulk of what they measured, and by its index alone.

Whole records may be hundreds of kilobytes each. Whoever shows what there is to see asks for them after every change.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.record import Record
from exporter.store.schema import BRIEF

if TYPE_CHECKING:
    from exporter.store.store import Store

_ENDED = "task = ? AND finish_order IS NOT NULL"
_NEWEST = "ORDER BY finish_order DESC LIMIT ?"


@dataclass(frozen=True)
class Newest:
    """Places in the ledger (finish orders) of a task's newest runs; None where there is none.

    `last` was not skipped, `worked` ended well. `whole` are those of each mode that ended well and were not narrowed to
    one thing, `narrowed` those that were, after the first of these.
    """

    last: int | None
    worked: int | None
    whole: Sequence[int]
    narrowed: Sequence[int]

    @property
    def all(self) -> frozenset[int]:
        """All of them."""
        named = [order for order in (self.last, self.worked) if order is not None]
        return frozenset([*named, *self.whole, *self.narrowed])


def newest(store: Store, task: str, modes: Iterable[str], most_narrowed: int = 50) -> Newest:
    """Where a task's newest runs are. Raise StoreError."""
    whole = [
        order
        for mode in modes
        if (order := _one(store, f"{_ENDED} AND outcome = 'ok' AND mode = ? AND target = ''", task, mode)) is not None
    ]
    after = max(whole, default=0)
    narrowed = _orders(
        store, f"{_ENDED} AND outcome = 'ok' AND target != '' AND finish_order > ?", task, after, limit=most_narrowed
    )
    return Newest(
        last=_one(store, f"{_ENDED} AND outcome != 'skipped'", task),
        worked=_one(store, f"{_ENDED} AND outcome = 'ok'", task),
        whole=whole,
        narrowed=narrowed,
    )


def records_at(store: Store, orders: Iterable[int]) -> dict[int, Record]:
    """The records at these places, without samples, observations and report. Raise StoreError."""
    # One value a row: as a list for json_each it would be a scan of the whole table in the planner's eyes.
    sql = f"SELECT finish_order, {BRIEF} FROM json_each(?) JOIN runs ON finish_order = json_each.value"  # noqa: S608
    return dict(store.records(sql, json.dumps(sorted(orders))))


def brief(store: Store, task: str | None, limit: int) -> list[Record]:
    """The newest complete runs, newest first, without samples, observations and report. Raise StoreError."""
    if task is None:
        sql = f"SELECT finish_order, {BRIEF} FROM runs WHERE finish_order IS NOT NULL {_NEWEST}"  # noqa: S608
        found = store.records(sql, limit)
    else:
        sql = f"SELECT finish_order, {BRIEF} FROM runs WHERE {_ENDED} {_NEWEST}"  # noqa: S608
        found = store.records(sql, task, limit)
    return [record for _, record in found]


def durations(store: Store, task: str, mode: str, limit: int) -> list[float]:
    """How long a task's newest runs in a mode took, in seconds, oldest first. Raise StoreError."""
    sql = f"SELECT seconds FROM runs WHERE {_ENDED} AND mode = ? AND outcome != 'skipped' {_NEWEST}"  # noqa: S608
    return [float(seconds) for (seconds,) in store.rows(sql, task, mode, limit)[::-1] if seconds is not None]


def begun_for(store: Store, task: str, reason: str) -> int:
    """How many runs of a task were begun for a reason. Raise StoreError."""
    sql = "SELECT count(*) FROM runs WHERE task = ? AND json_extract(requested, '$.reason') = ?"
    return int(store.rows(f"{sql} AND coalesce(outcome, '') != 'skipped'", task, reason)[0][0])


def mode_of_run(store: Store, task: str, began: Iterable[float]) -> str:
    """The mode of the newest run of a task that began within a second of these (Unix times); empty without one."""
    sql = f"SELECT mode FROM runs WHERE {_ENDED} AND started >= ? AND started < ? {_NEWEST}"  # noqa: S608
    for stamp in began:
        if rows := store.rows(sql, task, stamp, stamp + 1, 1):
            return str(rows[0][0])
    return ""


def _one(store: Store, where: str, *values: object) -> int | None:
    return next(iter(_orders(store, where, *values, limit=1)), None)


def _orders(store: Store, where: str, *values: object, limit: int) -> list[int]:
    rows = store.rows(f"SELECT finish_order FROM runs WHERE {where} {_NEWEST}", *values, limit)  # noqa: S608
    return [order for (order,) in rows]
