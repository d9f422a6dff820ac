"""Who ended a container, by its inspection and the engine's events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.core.agents.record import Attempt
from jobs.core.agents.state import Stop
from jobs.core.agents.stop import is_told, who_stopped
from jobs.core.containers import ContainerEvent, Inspection

ID = "a" * 64
END = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def inspection(**changes: Any) -> Inspection:
    values: dict[str, Any] = {
        "id": ID, "name": "a", "status": "exited", "exit_code": 137, "oom_killed": False, "error": "",
        "started_at": END - timedelta(hours=1), "finished_at": END, "finished_text": "x", "health": "",
        "failing_streak": 0, "check_error": "", "restart_policy": "no", "stop_signal": "", "raw": {},
    }  # fmt: skip
    return Inspection(**{**values, **changes})


def event(action: str, milliseconds: int, **attributes: str) -> ContainerEvent:
    at = END + timedelta(milliseconds=milliseconds)
    return ContainerEvent(action, ID, "a", int(at.timestamp() * 1e6) * 1000, attributes)


KILL_15, KILL_9 = event("kill", -100, signal="15"), event("kill", -50, signal="9")
DIE, STOP = event("die", 5), event("stop", 12)


@pytest.mark.parametrize(
    ("events", "changes", "stop"),
    [
        ([KILL_15, DIE, STOP], {"exit_code": 0}, Stop.OPERATOR),
        ([KILL_15, KILL_9, DIE, STOP], {}, Stop.OPERATOR),
        ([DIE], {}, Stop.CRASH),
        ([KILL_9, DIE], {}, Stop.CRASH),
        ([KILL_15, DIE], {"exit_code": 143}, Stop.CRASH),
        ([DIE], {"exit_code": 0}, Stop.CRASH),
        # An engine that has forgotten
        ([], {"exit_code": 1}, Stop.CRASH),
        ([], {"exit_code": 137, "oom_killed": True}, Stop.CRASH),
        ([], {"exit_code": 137}, Stop.UNKNOWN),
        ([], {"exit_code": 0}, Stop.UNKNOWN),
        ([], {"exit_code": 143}, Stop.UNKNOWN),
        ([], {"exit_code": 0, "restart_policy": "always"}, Stop.OPERATOR),
        ([], {"exit_code": 137, "restart_policy": "unless-stopped"}, Stop.OPERATOR),
        ([], {"exit_code": 1, "restart_policy": "on-failure"}, Stop.CRASH),
        # A stop that belongs to an earlier end
        ([event("stop", -5000), DIE], {}, Stop.CRASH),
        # Never run
        ([], {"status": "created", "finished_at": None}, Stop.UNKNOWN),
    ],
)
def test_who_stopped(events: list[ContainerEvent], changes: dict[str, Any], stop: Stop) -> None:
    assert who_stopped(inspection(**changes), events, None) is stop


def test_a_restart_of_ours_that_was_cut_short_is_not_an_operators_stop() -> None:
    ours = Attempt(container_id=ID, began=END - timedelta(seconds=1), ended=END + timedelta(seconds=5))
    other = ours.model_copy(update={"container_id": "b" * 64})
    earlier = Attempt(container_id=ID, began=END - timedelta(hours=1), ended=END - timedelta(minutes=59))
    assert who_stopped(inspection(), [KILL_15, DIE, STOP], ours) is Stop.MONITOR
    assert who_stopped(inspection(), [], ours) is Stop.MONITOR
    assert who_stopped(inspection(), [KILL_15, DIE, STOP], other) is Stop.OPERATOR
    assert who_stopped(inspection(), [KILL_15, DIE, STOP], earlier) is Stop.OPERATOR


@pytest.mark.parametrize(
    ("events", "stop_signal", "told"),
    [
        ([], "", False),
        ([DIE], "", True),
        ([KILL_9, DIE], "", True),
        ([KILL_15, DIE], "", False),
        ([KILL_15, DIE, STOP], "", True),
        ([KILL_9, DIE], "SIGKILL", False),
        ([event("kill", -9, signal="2"), DIE], "INT", False),
        ([event("kill", -9, signal="2"), DIE], "2", False),
        ([event("kill", -9, signal="junk"), DIE], "junk", False),
    ],
)
def test_after_a_stop_signal_the_stop_is_waited_for(events: list[ContainerEvent], stop_signal: str, told: bool) -> None:
    assert is_told(inspection(stop_signal=stop_signal), events) is told
