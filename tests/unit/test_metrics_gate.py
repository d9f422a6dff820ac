"""The gate before /metrics: a disk that does not answer stops no scrape."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from exporter.settings import WebSettings
from exporter.web.access import token_look
from exporter.web.access.lockout import Lockout
from exporter.web.access.permission import Access
from exporter.web.access.token_look import TokenLook
from exporter.web.access.tokens import Tokens
from exporter.web.door import Door
from exporter.web.metrics_gate import MetricsGate
from exporter.web.web_config.loading import WebConfig

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


async def ask(gate: MetricsGate | Door, header: str = "", path: str = "/metrics") -> int:
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
    monkeypatch.setattr(token_look, "PATIENCE_SECONDS", 0.05)
    thaw = threading.Event()

    async def scrape() -> None:
        gate = MetricsGate(inside, "/metrics", Access(tokens, Lockout()), TokenLook(tokens))
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
    tokens = Tokens(tmp_path / "tokens.json")
    gate = MetricsGate(inside, "/metrics", Access(tokens, Lockout()), TokenLook(tokens))
    assert asyncio.run(ask(gate, "Bearer x")) == 503


def test_a_door_asks_a_disk_that_does_not_answer_no_longer_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    header = f"Bearer {tokens.create('p', ('scrape',), NOON)}"
    monkeypatch.setattr(token_look, "PATIENCE_SECONDS", 0.05)
    thaw = threading.Event()
    config = WebConfig(users={b"alice": b"$2b$10$" + b"x" * 53})

    async def scrape() -> None:
        door = Door(inside, lambda: config, tokens, TokenLook(tokens), WebSettings())
        assert await ask(door, header) == 200
        monkeypatch.setattr(tokens, "load", lambda: thaw.wait(60))
        try:
            assert await asyncio.wait_for(ask(door, header), 30) == 200
            assert await asyncio.wait_for(ask(door, "Bearer wrong"), 30) == 401
        finally:
            thaw.set()

    asyncio.run(scrape())
