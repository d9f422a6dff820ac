"""Tokens: made once, kept as a hash, and opening their scopes only."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.access.tokens import TokenError, Tokens

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path / "secrets_secure" / "tokens.json")


def test_a_token_has_256_bits_and_only_its_hash_is_kept(tokens: Tokens) -> None:
    secrets = {tokens.create(f"t{n}", ("read",), NOON) for n in range(3)}
    assert len(secrets) == 3
    assert all(len(secret) >= 43 for secret in secrets)
    kept = tokens.file.read_text()
    assert not any(secret in kept for secret in secrets)
    assert {entry["sha256"] for entry in json.loads(kept)} == {hashlib.sha256(s.encode()).hexdigest() for s in secrets}
    assert stat.S_IMODE(tokens.file.stat().st_mode) == 0o600


def test_the_directory_is_for_its_owner_alone_whatever_was_asked_first(tokens: Tokens) -> None:
    with pytest.raises(TokenError, match="there are: none"):
        tokens.revoke("nobody")
    assert stat.S_IMODE(tokens.file.parent.stat().st_mode) == 0o700


def test_each_scope_opens_what_it_should(tokens: Tokens) -> None:
    read, operate = tokens.create("r", ("read",), NOON), tokens.create("o", ("operate",), NOON)
    assert tokens.scopes(f"Bearer {read}".encode()) == {"scrape", "read"}
    assert tokens.scopes(f"bearer  {operate} ".encode()) == {"scrape", "read", "operate", "alert"}


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic dXNlcjpwdw==",
        b"Bearer \xc3\xa9\xff",
        b"Bearer " + b"x" * 10_000,
        b"\xff\xfe",
    ],
)
def test_anything_else_opens_nothing(tokens: Tokens, header: bytes) -> None:
    tokens.create("o", ("operate",), NOON)
    assert tokens.scopes(header) == frozenset()


def test_a_hash_is_no_token(tokens: Tokens) -> None:
    tokens.create("o", ("operate",), NOON)
    kept = json.loads(tokens.file.read_text())[0]["sha256"]
    assert tokens.scopes(f"Bearer {kept}".encode()) == frozenset()


@given(st.binary(max_size=100))
def test_no_header_at_all_raises(header: bytes) -> None:
    assert Tokens(Path("/nonexistent/tokens.json")).scopes(header) == frozenset()
    assert Tokens(Path("/nonexistent/tokens.json")).scopes(b"Bearer " + header) == frozenset()


def test_a_changed_file_counts_at_once(tokens: Tokens) -> None:
    server = Tokens(tokens.file)
    assert server.scopes(b"Bearer x") == frozenset()
    secret = tokens.create("a", ("read",), NOON)
    assert server.scopes(f"Bearer {secret}".encode()) == {"scrape", "read"}
    second = tokens.create("b", ("operate",), NOON)
    assert "operate" in server.scopes(f"Bearer {second}".encode())
    tokens.file.unlink()
    assert server.scopes(f"Bearer {secret}".encode()) == frozenset()


@pytest.mark.parametrize("name", ["", " ", "-x", "a b", "a/b", "x" * 65, "é", "a\n", "a\x00"])
def test_a_name_is_plain(tokens: Tokens, name: str) -> None:
    with pytest.raises(TokenError, match="cannot name a token: letters, digits"):
        tokens.create(name, ("read",), NOON)
    assert not tokens.file.exists()


def test_a_name_is_given_once(tokens: Tokens) -> None:
    tokens.create("a", ("read",), NOON)
    before = tokens.file.read_bytes()
    with pytest.raises(TokenError, match="'a' exists already; choose another name"):
        tokens.create("a", ("operate",), NOON)
    assert tokens.file.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[1]", '[{"name": "a"}]', "nonsense", "[" * 50_000,
     '[{"name": "a", "sha256": "é", "scopes": ["read"], "created": ""}]',
     '[{"name": "a", "sha256": "x", "scopes": ["root"], "created": ""}]'],
    ids=lambda content: content[:20],
)  # fmt: skip
def test_a_file_that_is_no_token_file_is_named_and_kept(tokens: Tokens, content: str) -> None:
    tokens.file.parent.mkdir()
    tokens.file.write_text(content)
    for attempt in (lambda: tokens.create("b", ("read",), NOON), lambda: tokens.scopes(b"Bearer x")):
        with pytest.raises(TokenError, match=r"tokens\.json: is not a token file"):
            attempt()
    assert tokens.file.read_text() == content


def test_a_directory_in_the_place_of_the_file_is_named(tokens: Tokens) -> None:
    tokens.file.mkdir(parents=True)
    with pytest.raises(TokenError, match=rf"tokens\.json: cannot be read: {os.strerror(21)}"):
        tokens.scopes(b"Bearer x")


def test_a_token_says_whose_it_is(tokens: Tokens) -> None:
    secrets = {name: tokens.create(name, ("read",), NOON) for name in ("ops", "night")}
    for name, secret in secrets.items():
        assert tokens.opened(f"Bearer {secret}".encode()) == (name, frozenset({"scrape", "read"}))
    assert tokens.opened(b"Bearer wrong") == ("", frozenset())


# What the time tells


@pytest.mark.parametrize("what", ["first", "last", "of another scope", "one letter off", "unknown"])
def test_a_token_is_compared_with_every_one_whichever_it_is(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """How long it takes then says nothing of how near it was."""
    secrets = [tokens.create(f"t{n}", ("read",) if n else ("operate",), NOON) for n in range(20)]
    presented = {
        "first": secrets[0],
        "last": secrets[-1],
        "of another scope": secrets[10],
        "one letter off": f"{secrets[0][:-1]}~",
        "unknown": "x" * len(secrets[0]),
    }[what]
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("exporter.web.access.tokens.hmac.compare_digest", compare)
    opened = tokens.scopes(f"Bearer {presented}".encode())
    assert bool(opened) is (presented in secrets)
    assert len(compared) == len(secrets)
    assert {len(text) for pair in compared for text in pair} == {64}, "hashes of one length, never the token itself"
