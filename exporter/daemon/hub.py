"""Who listens to the daemon, and what each has not been told yet.

Nobody costs anything: what is told to nobody is not even made. Of what waits for a slow listener the newer replaces the
older, and one for whom too much is left that cannot be replaced is let go: he comes again and gets the whole.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any, Literal

Kind = Literal["status", "progress", "run"]

MAX_WAITING = 200
"""Events that wait for one listener; there are as many kinds of progress as tasks, and one status."""


class Listener:
    """One who listens, on the event loop that made him. `is_over` once he is let go or everything ends."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._waiting: dict[tuple[Kind, str], str] = {}
        self._news = asyncio.Event()
        self.is_over = False

    def tell(self, kind: Kind, key: str, text: str) -> None:
        """Let an event wait for him, instead of an older one of the same key. Any thread may call it."""
        with self._lock:
            self._waiting.pop((kind, key), None)  # a newer one has the newest place
            self._waiting[kind, key] = text
            self.is_over = self.is_over or len(self._waiting) > MAX_WAITING
        self._wake()

    def end(self) -> None:
        """Let him go. Any thread may call it."""
        self.is_over = True
        self._wake()

    async def wait(self, seconds: float) -> list[tuple[Kind, str]]:
        """What he has not been told, in order; empty after so long without anything."""
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return []
        self._news.clear()
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        return [(kind, text) for (kind, _), text in waiting.items()]

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:
            self.is_over = True  # his loop has ended


class Hub:
    """All who listen. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: set[Listener] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._listeners)

    def join(self, listener: Listener, most: int) -> bool:
        """Let somebody listen; False where as many do already, or everything ends."""
        with self._lock:
            if self._closed or len(self._listeners) >= most:
                return False
            self._listeners.add(listener)
            return True

    def leave(self, listener: Listener) -> None:
        """Tell him nothing any more."""
        with self._lock:
            self._listeners.discard(listener)

    def tell(self, kind: Kind, key: str, make: Callable[[], Any]) -> None:
        """Tell everybody; the document is made, and put into JSON, once for all of them and for nobody else."""
        if self._listeners:
            self.tell_text(kind, key, json.dumps(make()))

    def tell_text(self, kind: Kind, key: str, text: str) -> None:
        """Tell everybody a document that is in JSON already."""
        for listener in list(self._listeners):
            listener.tell(kind, key, text)

    def close(self) -> None:
        """Let everybody go, and nobody join."""
        with self._lock:
            self._closed = True
        for listener in list(self._listeners):
            listener.end()
