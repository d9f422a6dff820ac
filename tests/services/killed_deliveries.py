"""Deliveries that are killed: `python -m tests.services.killed_deliveries CONFIG KILLS SEED`.

Before each delivery it writes three messages for every channel; then, but for the first two, it lets a copy of itself
deliver, and kills it with SIGKILL at a random moment of the time that the second one took. It prints how many ended so,
and at last delivers what is left.
"""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import time
from pathlib import Path

from exporter.bridge.model import News
from exporter.bridge.outgoing.delivery import deliver
from exporter.bridge.outgoing.outbox import Outbox, post
from exporter.clock import SystemClock
from exporter.config import Configuration, load
from exporter.redaction import Redactor
from exporter.store import Store
from tests.services.messages import message


def _write(configuration: Configuration, store: Store, number: int) -> None:
    """A problem that opens, one that gets worse in the same thread, and one in a thread of its own."""
    now = SystemClock().now()
    with store.transaction() as db:
        for name, thread in (("a", "a"), ("b", "a"), ("c", "c")):
            told = message(f"{number}-{name}", thread=f"{number}-{thread}", at=now, news=News.OPENED)
            post(db, told, configuration.settings, now)


def _deliver(configuration: Configuration, store: Store) -> None:
    clock = SystemClock()
    deliver(store, configuration.settings, clock, Redactor(configuration.secrets), limit_seconds=60)


def _deliver_and_kill(configuration: Configuration, store: Store, after_seconds: float) -> bool:
    store.close()
    child = os.fork()
    if child == 0:
        try:
            _deliver(configuration, store)
        finally:
            os._exit(0)
    ended = os.pidfd_open(child)
    select.select([ended], [], [], after_seconds)
    os.close(ended)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main(config: Path, kills: int, seed: int) -> None:
    """Kill until so many were really killed."""
    configuration = load(config, environment={})
    store = Store(configuration.settings.base_dir / "data" / "sutazai.db")
    for number in range(2):  # the first loads what is loaded on first use
        _write(configuration, store, number)
        began = time.monotonic()
        _deliver(configuration, store)
        takes_seconds = time.monotonic() - began
    chance = random.Random(seed)
    killed, number = 0, 2
    while killed < kills:
        _write(configuration, store, number)
        number += 1
        killed += _deliver_and_kill(configuration, store, chance.uniform(0, takes_seconds))
    while (due := Outbox(store).next_due()) is not None:
        time.sleep(max(0.0, due - time.time()))
        _deliver(configuration, store)
    print(number, killed)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
