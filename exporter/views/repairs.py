"""What is being repaired, or was and is proved: what to do says so, before anybody does it by hand as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from exporter.bridge.model import RemediationState
from exporter.views.matters import Matter
from exporter.views.moments import read

if TYPE_CHECKING:
    from exporter.views.shapes import AlertEntry, RemediationEntry

SETTLING = timedelta(minutes=15)
"""So long after the proof an alert may still fire: its rule, Prometheus and Alertmanager look in their own time."""
_WORDS = {
    RemediationState.DUE.value: "is due at {due}",
    RemediationState.RUNNING.value: "is being done",
    RemediationState.VERIFYING.value: "is being proved",
}
"""How repairs under way stand."""


def under_way(alert: AlertEntry, repairs: Sequence[RemediationEntry]) -> RemediationEntry | None:
    """The repair that an alert has brought about and that is not over; those that wait for a person are none yet."""
    return next((one for one in repairs if one["labels"] == alert["labels"] and one["state"] in _WORDS), None)


def proved(alert: AlertEntry, repairs: Sequence[RemediationEntry], now: datetime) -> RemediationEntry | None:
    """The repair that was proved since an alert fires, and so lately that nobody may have looked since."""
    since = datetime.fromisoformat(alert["since"])
    for one in repairs:
        of_it = one["labels"] == alert["labels"] and one["state"] == RemediationState.VERIFIED.value
        if of_it and since <= datetime.fromisoformat(one["changed"]) > now - SETTLING:
            return one
    return None


def patience(done: RemediationEntry, otherwise: str) -> str:
    """The advice to wait for the end of an alert whose repair was proved, and what to do where that does not come."""
    until = (datetime.fromisoformat(done["changed"]) + SETTLING).isoformat()
    proof = f"{done['rule']} was done, and proved at {read(done['changed'])}"
    return f"wait until it ends: {proof}; if it still fires at {read(until)}: {otherwise}"


def attended(matter: Matter) -> Matter:
    """The matter, with the advice to wait where its repair is under way; what it is and how bad stays as it is."""
    repair = matter.repair
    if repair is None:
        return matter
    words = f"{repair['rule']} {_WORDS[repair['state']].format(due=read(repair['due']))}"
    attempt = f" (attempt {repair['attempts']})" if repair["attempts"] > 1 else ""
    otherwise = f"; if it does not help: {matter.todo['remedy']}" if matter.todo["remedy"] else ""
    # While it waits for its time, a person may be quicker.
    command = matter.todo["command"] if repair["state"] == RemediationState.DUE.value else ""
    return replace(matter, todo={**matter.todo, "remedy": f"wait: {words}{attempt}{otherwise}", "command": command})
