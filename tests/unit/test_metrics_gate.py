"""The gate before /metrics: a disk that does not answer stops no scrape."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from exporter.web import metrics_gate
from exporter.web.access import Access
from exporter.web.lockout import Lockout
from exporter.web.metrics_gate import MetricsGate
from exporter.web.tokens import Tokens

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


async def ask(gate: MetricsGate, header: str = "", path: str = "/metrics") -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"x")] + ([(b"authorization", header.encode())] if header else [])
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers,
             "client": ("192.0.2.1", 1)}  # fmt: skip
    await gate(scope, asyncio.Event().wait, send)  # type: ignore[arg-type]
    return int(sent[0]["status"])


async def inside(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_while_the_disk_does_not_answer_what_was_known_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    header = f"Bearer {tokens.create('p', ('scrape',), NOON)}"
    monkeypatch.setattr(metrics_gate, "PATIENCE_SECONDS", 0.05)
    thaw = threading.Event()

    async def scrape() -> None:
        gate = MetricsGate(inside, "/metrics", Access(tokens, Lockout()))
        assert await ask(gate, header) == 200
        looks: list[None] = []
        load = tokens.load

        def frozen() -> Any:
            looks.append(None)
            thaw.wait(60)
            return load()

        monkeypatch.setattr(tokens, "load", frozen)
        try:
            assert [await ask(gate, header) for _ in range(3)] == [200, 200, 200]
            assert await ask(gate, "Bearer wrong") == 401
            assert await ask(gate) == 401
            assert await ask(gate, path="/other") == 200
            assert len(looks) == 1, "one look waits for the disk, and not one for each scrape"
        finally:
            thaw.set()

    asyncio.run(scrape())


def test_tokens_that_cannot_be_read_are_503(tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text("{")
    gate = MetricsGate(inside, "/metrics", Access(Tokens(tmp_path / "tokens.json"), Lockout()))
    assert asyncio.run(ask(gate, "Bearer x")) == 503
