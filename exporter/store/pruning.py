"""What of the store is past its time."""

from __future__ import annotations

import sqlite3

from exporter.store import observations
from exporter.store.schema import BRIEF

WHOLE_RECORDS = 50
"""So many of a task's newest records are kept with all that they hold."""
_BUDGET_SECONDS, _SLOT_SECONDS = 7 * 86400, 30 * 86400


def prune(db: sqlite3.Connection, now: float, oldest: float) -> None:
    """Drop what was before `oldest` (both are Unix times), within a transaction.

    Of older runs the samples, observations and report go first: they make a record long, and nobody asks
    for them but whoever tells the newest again.
    """
    observations.prune(db, now, oldest)
    db.execute("DELETE FROM budgets WHERE spent < ?", (now - _BUDGET_SECONDS,))
    db.execute("DELETE FROM missed WHERE noticed < ?", (oldest,))
    db.execute(
        f"UPDATE runs SET whole = 0, record = {BRIEF}"  # noqa: S608
        " WHERE whole = 1 AND finish_order IS NOT NULL AND id IN (SELECT id FROM"
        " (SELECT id, row_number() OVER (PARTITION BY task ORDER BY id DESC) AS place FROM runs)"
        " WHERE place > ?)",
        (WHOLE_RECORDS,),
    )
    db.execute(
        "DELETE FROM runs WHERE started < ? AND finish_order IS NOT NULL"
        " AND id NOT IN (SELECT max(id) FROM runs WHERE finish_order IS NOT NULL GROUP BY task)",
        (oldest,),
    )
    db.execute(
        "DELETE FROM slots WHERE claimed < ? AND (task, cadence, slot) NOT IN"
        " (SELECT task, cadence, max(slot) FROM slots GROUP BY task, cadence)",
        (now - _SLOT_SECONDS,),
    )
