"""Requests that are to be enqueued after a time, unless their task is stopped before."""

from __future__ import annotations

import threading
from collections.abc import Callable

from jobs.core.model import Request


class Later:
    """Timers, each of which hands a request to `admit`, with `lock`; every method is to be called with that, too."""

    def __init__(self, lock: threading.Lock, admit: Callable[[Request], object]) -> None:
        self._lock = lock
        self._admit = admit
        self._timers: dict[threading.Timer, Request] = {}

    def put_off(self, request: Request, seconds: float) -> None:
        """Have a request admitted after a time."""

        def admit() -> None:
            with self._lock:
                if self._timers.pop(timer, None):
                    self._admit(request)

        timer = threading.Timer(seconds, admit)
        timer.daemon = True
        self._timers[timer] = request
        timer.start()

    def take_back(self, task: str, target: str | None = None) -> list[Request]:
        """Let what was put off of a task (of one target, if given) never come; return what that is."""
        found = {
            timer: request
            for timer, request in self._timers.items()
            if request.task == task and target in (None, request.target)
        }
        for timer in found:
            timer.cancel()
            del self._timers[timer]
        return list(found.values())

    def stop(self) -> None:
        """Let nothing come any more."""
        for timer in self._timers:
            timer.cancel()
