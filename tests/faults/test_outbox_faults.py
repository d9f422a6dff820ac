"""A process is killed while it enters a run: the record and its messages are both there, or neither is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from exporter.bridge.families import NOTIFICATIONS
from tests.services.exporter_daemon import REPOSITORY
from tests.services.killed_news import SETTINGS, enter_one
from tests.services.news import History
from tests.services.process import plain_environment

KILLS = 200


def told(history: History) -> list[tuple[str, Any]]:
    """Every message of the outbox, in order, without the names that are new each time."""
    rows = history.store.rows("SELECT channel, message, created FROM outbox ORDER BY id")
    return [(channel, _nameless(message), created) for channel, message, created in rows]  # type: ignore[misc]


def _nameless(document: str) -> dict[str, Any]:
    message = json.loads(document)
    return {key: value for key, value in message.items() if key not in ("id", "thread")}


def problems(history: History) -> list[tuple[Any, ...]]:
    return history.store.rows("SELECT task, kind, subject, mode, severity, opened, told, cleared FROM problems")


def test_of_runs_whose_process_is_killed_nothing_is_lost_and_nothing_is_told_twice(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.services.killed_news", str(tmp_path / "killed"), str(KILLS)]
    environment = plain_environment(PYTHONPATH=str(REPOSITORY))
    killed = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300)
    assert (killed.stderr, killed.stdout) == ("", f"{KILLS}\n")

    history = History(tmp_path / "killed", SETTINGS)
    records = [record for _, record in history.store.finished_after(0)]
    assert len(records) > KILLS / 4, "too little was done between the kills"
    assert len(history.store.unfinished_runs()) > 0, "none was hit in the middle of a run"

    undisturbed = History(tmp_path / "undisturbed", SETTINGS)
    for number, record in enumerate(records):
        entered = enter_one(undisturbed, number)
        assert entered.model_copy(update={"run_id": record.run_id}) == record
    assert told(history) == told(undisturbed)
    assert problems(history) == problems(undisturbed)
    assert len(told(history)) > 50

    history.at = undisturbed.at
    history.wait(days=2).deliver()
    sent = history.states().count("sent")
    assert set(history.states()) <= {"sent", "withdrawn"}
    counters = {k: v for k, v in history.store.counters().items() if k[0] == NOTIFICATIONS.name}
    assert sum(counters.values()) == sent
