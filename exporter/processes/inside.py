"""What our own processes have in common on their inside: orders on standard input, answers in JSON lines.

They end with whoever started them, and what they or their libraries print can never corrupt an answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import threading
from collections.abc import Callable
from typing import Any

from jobs.core.model import MAX_RENDERING, clean_document

NICENESS = 5
"""Our processes give way to the services that they look after, and to scrapes."""


class Answers:
    """The way back to the parent; lines of several threads do not mix."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._stream = os.fdopen(descriptor, "w", encoding="ascii")
        self._lock = threading.Lock()

    def send(self, kind: str, content: Any) -> None:
        """Send one line; a lone surrogate or other doubtful text is made clean first."""
        line = json.dumps({kind: clean_document(content, MAX_RENDERING)}, allow_nan=False)
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()


def read_order(on_parent_gone: Callable[[], None] = lambda: None) -> Any:
    """The order on standard input. From now on this process, with its group, ends with its parent.

    `on_parent_gone` is called before that, on a thread of its own.
    """
    with open(0, "rb", closefd=False) as orders:
        order = json.loads(orders.readline())
    _follow_parent(_take_standard_input(), on_parent_gone)
    return order


def _take_standard_input() -> int:
    """Keep the line to the parent for ourselves: our own children read nothing."""
    descriptor = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return descriptor


def _follow_parent(descriptor: int, on_parent_gone: Callable[[], None]) -> None:
    """End the whole process group once the parent is gone, however it went."""

    def watch() -> None:
        while os.read(descriptor, 4096):
            pass
        try:
            on_parent_gone()
        finally:
            os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()


def limit_self(max_memory_mb: int) -> None:
    """Give way to others, leave no core dumps, and allocate no more than this."""
    # A sandbox may keep it from us: there the unit says how it gives way (CPUWeight=, Nice=).
    with contextlib.suppress(PermissionError):
        os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (max_memory_mb << 20, max_memory_mb << 20))
