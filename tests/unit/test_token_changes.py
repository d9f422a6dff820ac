"""Tokens changed by several at once: no change is lost, and a revoked token stays revoked."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporter.web.access.tokens import TokenError, Tokens

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def test_of_changes_at_once_none_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    for number in range(4):
        Tokens(file).create(f"old-{number}", ("operate",), NOON)
    changes = [
        threading.Thread(target=change, args=arguments)
        for number in range(4)
        for change, arguments in (
            (Tokens(file).create, (f"new-{number}", ("read",), NOON)),
            (Tokens(file).revoke, (f"old-{number}",)),
        )
    ]
    for change in changes:
        change.start()
    for change in changes:
        change.join(30)
    assert sorted(token.name for token in Tokens(file).load()) == [f"new-{number}" for number in range(4)]


def test_a_token_that_is_not_there_cannot_be_revoked_and_the_file_stays(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    tokens.create("a", ("read",), NOON)
    before = tokens.file.read_bytes()
    with pytest.raises(TokenError, match=r"^no token is called 'b'; there are: a$"):
        tokens.revoke("b")
    assert tokens.file.read_bytes() == before


def test_what_is_remembered_is_what_was_read_last_and_nothing_of_a_broken_file(tmp_path: Path) -> None:
    server, tokens = Tokens(tmp_path / "tokens.json"), Tokens(tmp_path / "tokens.json")
    header = f"Bearer {tokens.create('a', ('scrape',), NOON)}".encode()
    assert server.remembered(header) == ("", frozenset())
    server.load()
    assert server.remembered(header) == ("a", frozenset({"scrape"}))
    tokens.file.write_text("{")
    with pytest.raises(TokenError):
        server.load()
    assert server.remembered(header) == ("", frozenset())
