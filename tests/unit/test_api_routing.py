"""Operations as routes: a fault of ours is a 500 without a word of it, and whether we live needs no thread."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response

from exporter.web.access.lockout import Lockout
from exporter.web.access.permission import Access
from exporter.web.access.tokens import Tokens
from exporter.web.api import routing
from exporter.web.api.operations import Answer, Call, Operation
from exporter.web.api.routing import routes_of


def ask(operation: Operation, directory: Path) -> tuple[int, dict[bytes, bytes], bytes]:
    """Ask an application that has this operation alone, as somebody on this machine."""
    access = Access(Tokens(directory / "tokens.json"), Lockout())
    application = Starlette(routes=routes_of([operation], access))
    sent: list[Any] = []
    scope = {
        **{"type": "http", "method": "GET", "path": operation.path, "query_string": b"", "root_path": ""},
        **{"headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "http_version": "1.1", "scheme": "http"},
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(application(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


def test_a_fault_of_ours_is_a_500_that_tells_nothing_and_the_log_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(call: Call) -> Response:
        raise KeyError("a-secret-of-ours")

    operation = Operation("GET", "/api/v1/x", "read", "Fails", Answer("Never."), fail)
    with caplog.at_level(logging.ERROR):
        status, headers, body = ask(operation, tmp_path)
    assert (status, headers[b"content-type"]) == (500, b"application/problem+json")
    assert json.loads(body)["title"] == "Internal Server Error"
    assert b"a-secret-of-ours" not in body
    assert b"Traceback" not in body
    assert "a-secret-of-ours" in caplog.text


def test_whether_we_live_is_answered_without_a_thread_that_may_wait_for_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def live(call: Call) -> Response:
        return PlainTextResponse("yes")

    async def refuse(*_: Any) -> Any:
        pytest.fail("a thread was asked")

    assert routing.run_in_threadpool is run_in_threadpool
    monkeypatch.setattr(routing, "run_in_threadpool", refuse)
    assert ask(Operation("GET", "/-/x", "", "Lives", Answer("Yes."), live), tmp_path)[::2] == (200, b"yes")
