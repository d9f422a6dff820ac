"""Makes what people read, so that however many ask, the scrape gets its turn.

Threads that make documents take it from the loop, which answers the scrape, in turns: so there are few of them, and a
document that many ask for at once is made once for all of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool

MAX_AT_ONCE = 4
PATIENCE_SECONDS = 5.0
"""A document that takes longer waits for a disk that may never answer: the next is begun beside it."""
Document = Any


class Readers:
    """The threads on which documents are made."""

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(MAX_AT_ONCE)

    async def make(self, handler: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function that may wait for the disk, when it is its turn."""
        return await to_thread.run_sync(handler, *arguments, limiter=self._limiter)


class Shared:
    """A document that is made once for all who have asked for it meanwhile; each gets one begun after he asked."""

    def __init__(self, make: Callable[[], Document]) -> None:
        self._make = make
        self._next: asyncio.Task[Document] | None = None
        self._under_way: asyncio.Task[Document] | None = None
        self._began = 0.0

    async def get(self) -> Document:
        """The document; raise what making it raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._made(self._under_way), name="document for many")
            # Whoever asked may be gone before it fails.
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._next)

    async def _made(self, before: asyncio.Task[Document] | None) -> Document:
        if before:
            patience = self._began + PATIENCE_SECONDS - time.monotonic()
            await asyncio.wait([before], timeout=max(0.0, patience))
        self._under_way, self._next, self._began = self._next, None, time.monotonic()
        return await run_in_threadpool(self._make)
