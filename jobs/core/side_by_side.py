"""Several things that may each hang, done at once under one deadline."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

# A thread's stack counts as memory of the run, and the usual 8 MiB would soon fill its allowance.
_STACK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Finished:
    """What came of one task, by its place in the list: a value or the exception that it raised."""

    index: int
    value: Any
    error: Exception | None
    seconds: float


def side_by_side(
    tasks: Sequence[Callable[[], Any]], deadline_seconds: float, monotonic: Callable[[], float]
) -> Iterator[Finished]:
    """Start all tasks, each on a thread of its own, and yield each as it ends; stop at the deadline.

    What has not ended by then goes on unheeded: nothing can stop a thread that hangs in a system call, so these
    are daemon threads, and the process does not wait for them.
    """
    ended: queue.SimpleQueue[Finished] = queue.SimpleQueue()
    deadline = monotonic() + deadline_seconds
    usual_stack_bytes = threading.stack_size(_STACK_BYTES)
    try:
        for index, task in enumerate(tasks):
            threading.Thread(target=_do, args=(index, task, monotonic, ended), daemon=True).start()
    finally:
        threading.stack_size(usual_stack_bytes)
    for _ in tasks:
        try:
            yield ended.get(timeout=max(0.0, deadline - monotonic()))
        except queue.Empty:
            return


def _do(
    index: int, task: Callable[[], Any], monotonic: Callable[[], float], ended: queue.SimpleQueue[Finished]
) -> None:
    started = monotonic()
    value: Any = None
    failure: Exception | None = None
    try:
        value = task()
    except Exception as error:  # noqa: BLE001  # whoever asked for the task is told of it, whatever it is
        failure = error
    ended.put(Finished(index, value, failure, monotonic() - started))
