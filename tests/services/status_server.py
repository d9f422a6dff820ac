"""Stands for a daemon whose host is as a test says: the real page, with documents of the test's own behind it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from exporter.views.shapes import FindingEntry, Status
from exporter.web.answers import Problem, answer, problem
from exporter.web.page import StatusPage
from tests.services.ports import free_port
from tests.services.wait import wait_for


class StatusServer:
    """Serves the page and tells every reader of its events each `status` that it is given.

    `findings` are all of them, where there are more than the status names. With a `token` reading takes it; `report` is
    what each report holds. While `looks` is false it cannot say how things are: its connections live and their heart
    beats, as those of a daemon whose disk is frozen.
    """

    def __init__(
        self, status: Status, *, findings: list[FindingEntry] | None = None, token: str = "", report: str = ""
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.status = status
        self.findings, self.token, self.report = findings, token, report
        self.asked_for_findings = 0
        self.looks = True
        routes = [
            *StatusPage(lambda: "/metrics").routes(),
            Route("/api/v1/events", self._events),
            Route("/api/v1/status", self._status),
            Route("/api/v1/findings", self._all_findings),
            Route("/api/v1/reports/{id}", self._one_report),
        ]
        app = Starlette(routes=routes, exception_handlers={HTTPException: problem})
        config = uvicorn.Config(
            app, host="127.0.0.1", port=self.port, log_config=None, lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_for(lambda: self._server.started, 30, "the stand-in listens")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End it, and every connection."""
        self._server.should_exit = True
        self._thread.join()

    def _admit(self, request: Request) -> None:
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            raise Problem(401, "reading takes a token here")

    async def _events(self, request: Request) -> StreamingResponse:
        self._admit(request)
        return StreamingResponse(self._told(), media_type="text/event-stream")

    async def _status(self, request: Request) -> Response:
        if not self.looks:
            raise Problem(503, "the store does not answer: its disk is frozen or gone")
        return answer(self.status)

    async def _all_findings(self, request: Request) -> Response:
        self._admit(request)
        self.asked_for_findings += 1
        if self.findings is None:
            raise Problem(503, "the findings cannot be read")
        return answer({"findings": self.findings})

    async def _one_report(self, request: Request) -> Response:
        self._admit(request)
        return Response(self.report, media_type="text/html")

    async def _told(self) -> AsyncIterator[str]:
        told = None
        while not self._server.should_exit:
            if self.status is not told:
                told = self.status
                yield f"event: status\ndata: {json.dumps(told)}\n\n"
            yield ": still here\n\n"
            await asyncio.sleep(0.05)
