"""Processes that enter runs with their news, and are killed in the middle of it: `python -m ... DIRECTORY KILLS`.

It prints how many of them were at work when they were killed.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

from exporter.record import Record
from jobs.core.model import Outcome, Severity
from tests.services.news import MAIL, NOON, WEBHOOK, History, finding, settings_of

SETTINGS = settings_of({**WEBHOOK, **MAIL, "separate": 2, "quiet_hours": ["22:00-07:00"], "min_severity": "medium"})
_SEVERITIES = (Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)


def enter_one(history: History, number: int) -> Record:
    """Enter the run of this number; it is the same whoever does it."""
    rng = random.Random(number)
    history.at = NOON + timedelta(minutes=17 * number)
    if rng.random() < 0.1:
        return history.run(outcome=Outcome.ERROR, error="no")
    subjects = [f"check/{place}" for place in range(5) if rng.random() < 0.5]
    return history.run(*(finding(subject, rng.choice(_SEVERITIES)) for subject in subjects))


def work(directory: Path, begun: int) -> None:
    """Enter runs, and send what is due, until somebody ends it; say on the descriptor `begun` that each begins."""
    history = History(directory, SETTINGS)
    while True:
        os.write(begun, b".")
        # A run that was cut off is never entered; its number is taken by the next.
        enter_one(history, len(history.store.finished_after(0)))
        for entry in history.outbox.due(history.at, 3):
            history.outbox.sent(entry, history.at)


def main(directory: Path, kills: int) -> None:
    """Kill one worker after another, each at some moment of its work: of one of its first runs."""
    rng, at_work = random.Random(7), 0
    History(directory, SETTINGS).store.close()
    for _ in range(kills):
        begins, begun = os.pipe()
        pid = os.fork()
        if pid == 0:
            work(directory, begun)
        # By how far it has come, not by the time alone: on a busy machine it may come to nothing in that.
        for _ in range(rng.randint(1, 4)):
            os.read(begins, 1)
        time.sleep(rng.uniform(0, 0.01))
        os.kill(pid, signal.SIGKILL)
        at_work += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        os.close(begins)
        os.close(begun)
    sys.stdout.write(f"{at_work}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
