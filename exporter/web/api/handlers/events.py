"""Server-sent events: what there is to see, whenever it changes, and the runs under way.

(https://html.spec.whatwg.org/multipage/server-sent-events.html) A listener costs one connection and some memory; the
documents are made once for all of them, and not at all where nobody listens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from exporter.daemon.hub import Hub, Listener
from exporter.store import StoreError
from exporter.web.access.permission import Access
from exporter.web.access.tokens import TokenError
from exporter.web.answers import HEADERS, Problem
from exporter.web.api.operations import Call
from exporter.web.api.readers import Shared

if TYPE_CHECKING:
    from exporter.web.api.handlers.reading import ToldStatus

logger = logging.getLogger(__name__)

MAX_LISTENERS = 32
"""Of fewer connections, a quarter: a listener keeps his, and /metrics must get one."""
LOOK_SECONDS = 1.0
PACE_SECONDS = 0.5
"""After each telling, so much passes before the next: a run may step more often."""
COMMENT_SECONDS = 15.0
"""What is silent for longer, proxies end. So often, too, the status is looked at without a reason: it may have aged."""
RETRY_MILLISECONDS = 3000
_HEADERS = {**HEADERS, "content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}
Document = Any


class Events:
    """Lets people listen. `status` makes the document of that, and `shared` the same for many who come at once; `mark`
    is different after every change of the store.
    """

    def __init__(
        self,
        hub: Hub,
        access: Access,
        max_listeners: int,
        status: Callable[[], ToldStatus],
        shared: Shared,
        mark: Callable[[], object],
    ) -> None:
        self._hub, self._access, self._most, self._shared = hub, access, max_listeners, shared
        self._status, self._mark = status, mark
        self._teller: asyncio.Task[None] | None = None
        self._seen: object = None
        self._told: Document = None
        self._ages_in = 0.0

    async def listen(self, call: Call) -> Response:
        """A stream of events."""
        request = call.http
        if request.method == "HEAD":
            return _without_length(Response(headers=_HEADERS))
        listener = Listener()
        if not self._hub.join(listener, self._most):
            detail = f"{len(self._hub)} listen already, or the exporter is stopping; come again, or ask for the status"
            raise Problem(503, detail, {"retry-after": "10"})
        try:
            status = await self._shared.get()
        except BaseException:
            self._hub.leave(listener)
            raise
        listener.tell("status", "", status.body.decode())
        if self._teller is None or self._teller.done():
            self._told = _lasting(status.document)
            self._teller = asyncio.create_task(self._tell(), name="status for listeners")
        return _Stream(self._hub, listener, lambda: self._access.remembers(request, "read"))

    async def _tell(self) -> None:
        """Tell what has changed, once a second, as long as somebody listens."""
        while len(self._hub):
            try:
                await run_in_threadpool(self._look)
            except (StoreError, TokenError) as error:
                logger.warning("listeners are not told of what changes", extra={"reason": str(error)})
            except Exception:  # whatever it is, the next change may be told
                logger.exception("listeners could not be told of what changes")
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self) -> None:
        self._access.look_again()
        mark, self._ages_in = self._mark(), self._ages_in - LOOK_SECONDS
        if mark == self._seen and self._ages_in > 0:
            return
        self._seen, self._ages_in = mark, COMMENT_SECONDS
        status = self._status()
        if (lasting := _lasting(status.document)) != self._told:
            self._told = lasting
            self._hub.tell_text("status", "", status.body.decode())


def _lasting(status: Document) -> Document:
    """A status without what is different each time: when it was made, and how far runs are."""
    tasks = [{**task, "running": bool(task["running"]) and task["running"]["since"]} for task in status["tasks"]]
    return {**status, "at": "", "tasks": tasks}


def _without_length(response: Response) -> Response:
    del response.headers["content-length"]
    return response


class _Stream(Response):
    """The answer that goes on until its listener leaves or is let go."""

    def __init__(self, hub: Hub, listener: Listener, may_listen: Callable[[], bool]) -> None:
        super().__init__(headers=_HEADERS)
        _without_length(self)
        self._hub, self._listener, self._may_listen = hub, listener, may_listen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer (ASGI 3)."""
        leaving = asyncio.create_task(self._until_he_leaves(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._write(send)
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._hub.leave(self._listener)
            leaving.cancel()

    async def _until_he_leaves(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._listener.end()

    async def _write(self, send: Send) -> None:
        text, silent_seconds = f"retry: {RETRY_MILLISECONDS}\n\n", 0.0
        while not self._listener.is_over and self._may_listen():
            events = await self._listener.wait(LOOK_SECONDS)
            text += "".join(f"event: {kind}\ndata: {document}\n\n" for kind, document in events)
            silent_seconds += LOOK_SECONDS
            if not text and silent_seconds >= COMMENT_SECONDS:
                text = ": still here\n\n"
            if text:
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
                text, silent_seconds = "", 0.0
                await asyncio.sleep(PACE_SECONDS)
