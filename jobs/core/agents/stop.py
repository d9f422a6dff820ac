"""Who ended a container: judged from the engine's account of it and what the engine remembers of its events.

`docker stop` makes the engine emit `kill` (with the stop signal), `die` and, some milliseconds later, `stop`.
A crash emits `die` alone, `docker kill` emits `kill` and `die`: only a `stop` tells that somebody wanted it
to stay down. (Seen on engines 20.10 and 28; `stop` is emitted by the API call, moby's daemon/stop.go.)
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from datetime import timedelta

from jobs.core.agents.record import Attempt
from jobs.core.agents.state import Stop
from jobs.core.containers import ContainerEvent, Inspection

# What a program ends with when it is asked to (or is killed after it did not listen).
_ORDERLY_CODES = (0, 130, 137, 143)
# `die` bears the engine's own time, the end the container runtime's.
_CLOCK_SLACK = timedelta(seconds=1)


def who_stopped(inspection: Inspection, events: Sequence[ContainerEvent], ours: Attempt | None) -> Stop:
    """Who ended this container the last time; `events` are those of this container since its last start."""
    if inspection.finished_at is None:
        # Created and never run: whether it is meant to run, nobody has said.
        return Stop.UNKNOWN
    last = _of_last_end(inspection, events)
    stop = next((event for event in last if event.action == "stop"), None)
    if stop or _is_ours(inspection, None, ours):
        return Stop.MONITOR if _is_ours(inspection, stop, ours) else Stop.OPERATOR
    if any(event.action == "die" for event in last):
        # Events are remembered in order, so that a `stop` after this `die` would be there as well.
        return Stop.CRASH
    return _without_events(inspection)


def is_told(inspection: Inspection, events: Sequence[ContainerEvent]) -> bool:
    """Whether these events, as they come in, tell who ended the container.

    After a stop signal and its `die`, a `stop` may still follow.
    """
    last = _of_last_end(inspection, events)
    if any(event.action == "stop" for event in last):
        return True
    signals = {signal.SIGTERM.value, _number(inspection.stop_signal)}
    asked = any(e.action == "kill" and _number(e.attributes.get("signal", "")) in signals for e in events)
    return not asked and any(event.action == "die" for event in last)


def _of_last_end(inspection: Inspection, events: Sequence[ContainerEvent]) -> list[ContainerEvent]:
    if inspection.finished_at is None:
        return []
    return [event for event in events if event.time >= inspection.finished_at - _CLOCK_SLACK]


def _without_events(inspection: Inspection) -> Stop:
    if inspection.oom_killed or inspection.exit_code not in _ORDERLY_CODES:
        return Stop.CRASH
    if inspection.restart_policy in ("always", "unless-stopped"):
        # After any other end the engine itself would have started it again.
        return Stop.OPERATOR
    return Stop.UNKNOWN


def _is_ours(inspection: Inspection, stop: ContainerEvent | None, ours: Attempt | None) -> bool:
    """Whether it stands still because our own restart stopped it and could not start it again."""
    if ours is None or ours.container_id != inspection.id:
        return False
    at = stop.time if stop else inspection.finished_at
    return at is not None and ours.began - _CLOCK_SLACK <= at <= ours.ended


def _number(text: str) -> int:
    """The number of a signal given as `15`, `TERM` or `SIGTERM`; 0 for none."""
    if text.isdecimal():
        return int(text)
    name = text.upper().removeprefix("SIG")
    return next((s.value for s in signal.Signals if s.name == f"SIG{name}"), 0)
