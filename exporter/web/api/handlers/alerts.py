"""The intake of alerts: Alertmanager's webhook comes in, and is on the disk before it is answered.

Alertmanager sends a request again after a 5xx or no answer; after whatever else is not 2xx it gives the flush of its
group up. So 503 is the answer to all that may be better soon, and never 429.
"""

from __future__ import annotations

import asyncio
import logging

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from exporter.bridge.incoming.inbox import Taken
from exporter.bridge.incoming.intake import BadAlerts, parse
from exporter.bridge.incoming.reception import Reception
from exporter.store import StoreError
from exporter.web.access.permission import Access
from exporter.web.access.tokens import TokenError
from exporter.web.answers import Problem, answer, media_type
from exporter.web.api.operations import Call

logger = logging.getLogger(__name__)

MAX_WAITING = 16
"""Requests whose body is being read or entered; each may hold a body. Further ones are asked to come again."""
MAX_LISTED = 200
RETRY_SECONDS = 5


class AlertIntake:
    """The handlers. Requests are entered one after another, so that a store that is stuck holds one thread."""

    def __init__(self, reception: Reception, access: Access, max_body_bytes: int) -> None:
        self._reception = reception
        self._access = access
        self._max_body_bytes = max_body_bytes
        self._turn = asyncio.Lock()
        self._waiting = 0

    def listing(self, call: Call) -> Response:
        """The alerts that came last, newest first."""
        return answer({"alerts": self._reception.recent(call.values["limit"])})

    async def take(self, call: Call) -> Response:
        """Take alerts in. Who may is asked here, as refusals are counted."""
        request = call.http
        await run_in_threadpool(self._admit, request)
        if self._waiting >= MAX_WAITING:
            raise self._refusal("overload", 503, f"{MAX_WAITING} requests with alerts wait already; send it again")
        self._waiting += 1
        try:
            body = await self._body(request)
            async with self._turn:
                taken = await run_in_threadpool(self._enter, body)
        finally:
            self._waiting -= 1
        return answer(vars(taken))

    def _admit(self, request: Request) -> None:
        try:
            self._access.demand(request, "alert")
        except Problem:
            self._reception.refusals.count("unauthorized")
            raise
        except TokenError as error:
            raise self._refusal("store", 503, str(error)) from None

    async def _body(self, request: Request) -> bytes:
        if media_type(request) != "application/json":
            raise self._refusal("malformed", 415, "the body must be JSON, with the content type application/json")
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise self._refusal("malformed", 415, "the body must not be compressed")
        most, length = self._max_body_bytes, request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            detail = f"the body has more than {most} bytes; group alerts by more labels, or raise web.max_body_bytes"
            raise self._refusal("too_large", 413, detail)
        try:
            return await request.body()
        except ClientDisconnect:
            raise self._refusal("incomplete", 400, "the body is not complete") from None

    def _enter(self, body: bytes) -> Taken:
        try:
            return self._reception.take(parse(body))
        except BadAlerts as error:
            raise self._refusal("malformed", 400, str(error)) from None
        except StoreError as error:
            raise self._refusal("store", 503, str(error)) from None

    def _refusal(self, reason: str, status: int, detail: str) -> Problem:
        """Count a refusal, and log what would else be lost without a word."""
        self._reception.refusals.count(reason)
        headers = {"retry-after": str(RETRY_SECONDS)} if status == 503 else {"connection": "close"}
        if status != 503:
            logger.warning("alerts refused, all of their request", extra={"reason": detail})
        return Problem(status, detail, headers)
