"""By which zone the schedule goes: that of whoever claims its slots, the daemon or cron, who leaves its name here.

A calendar slot is named by a date, and when that begins depends on the zone. A person's shell may have another one, in
which the slots of today are due at other times: whoever only looks goes by the name that was left.
"""

from __future__ import annotations

from datetime import datetime

from exporter.clock import zone_called, zone_name
from exporter.store.store import Store

_PLACE = ("", "zone")
"""The name stands among the slots, as one of no task: a table of its own would be a new format of the store."""


def leave(store: Store, now: datetime) -> None:
    """Have others go by the zone of `now`. Raise StoreError."""
    name = zone_name(now)
    if _left(store) == name:
        return
    with store.transaction() as db:
        db.execute("DELETE FROM slots WHERE task = ? AND cadence = ?", _PLACE)
        db.execute("INSERT INTO slots VALUES (?, ?, ?, ?)", (*_PLACE, name, now.timestamp()))


def by_schedule(store: Store, now: datetime) -> datetime:
    """The same moment on the schedule's clock; as it is where nobody has left a zone that is known here."""
    name = _left(store)
    return now.astimezone(zone_called(name) or now.tzinfo) if name else now


def _left(store: Store) -> str | None:
    rows = store.rows("SELECT slot FROM slots WHERE task = ? AND cadence = ?", *_PLACE)
    return str(rows[0][0]) if rows else None
