"""Configuration files that somebody else has written: whatever is in them, they are judged or refused."""

from __future__ import annotations

import contextlib
import random
import secrets
import string
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.security.configuration.compose import judge_services
from jobs.security.configuration.compose_file import parse_compose
from jobs.security.configuration.docker_daemon import judge_daemon
from jobs.security.configuration.env_file import judge_env
from jobs.security.configuration.interpolation import fill
from jobs.security.configuration.own import judge_own
from jobs.security.configuration.postgres import judge_hba, judge_settings, parse_hba, parse_settings
from jobs.security.configuration.redis import judge_redis, parse_redis
from jobs.security.configuration.rules import ConfigFile, Unparsable
from jobs.security.configuration.sshd import judge_sshd
from jobs.security.passwords import judge_password, judge_value
from jobs.security.scanner import Weakness

JUDGES: dict[str, Callable[[ConfigFile], Iterable[Weakness]]] = {
    "compose": lambda file: judge_services(parse_compose(file, {"A": "admin"}).services),
    "env": judge_env,
    "daemon": judge_daemon,
    "sshd": lambda file: judge_sshd(file, lambda *_: []),
    "postgres": lambda file: judge_settings(parse_settings(file, lambda *_: []), []),
    "hba": lambda file: judge_hba(file, list(parse_hba(file))),
    "redis": lambda file: judge_redis(parse_redis(file, lambda *_: [])),
    "own": judge_own,
}
_WORDS = (
    *("services:", "environment:", "image:", "ports:", "volumes:", "command:", "PASSWORD", "DB_PASSWORD=", "admin"),
    *(
        "${",
        "}",
        "A:-",
        "$",
        "-",
        "  ",
        "\n",
        ":",
        '"',
        "'",
        "{",
        "}",
        "[",
        "]",
        "*a",
        "&a",
        "<<",
        "::",
        "!x",
        "=",
        "#",
    ),
    *("host", "all", "trust", "0.0.0.0/0", "Match", "Include", "user", "default", "requirepass", "bind", "fsync"),
    *("\\", "\0", "\udcff", "5432", "=", "#"),
)


@pytest.mark.parametrize("kind", JUDGES)
def test_any_text_is_judged_or_refused(kind: str) -> None:
    @given(st.one_of(st.text(max_size=300), st.lists(st.sampled_from(_WORDS), max_size=40).map("".join)))
    def judge(text: str) -> None:
        try:
            found = list(JUDGES[kind](ConfigFile(Path("/x"), "x", text, 0o644)))
        except Unparsable as error:
            assert str(error).isprintable()
        else:
            assert all(weakness.message.isprintable() for weakness in found)

    judge()


@pytest.mark.parametrize("kind", sorted(set(JUDGES) - {"daemon"}))
@pytest.mark.parametrize("piece", ["a", "${A:-", "x://"])
def test_a_long_line_takes_no_time(kind: str, piece: str) -> None:
    """A megabyte in one line: what takes the square of it would never end."""
    text = f"DB_PASSWORD: {piece * ((1 << 19) // len(piece))}"
    with contextlib.suppress(Unparsable):
        list(JUDGES[kind](ConfigFile(Path("/x"), "x", text)))


def test_a_password_drawn_at_random_is_never_found_weak() -> None:
    drawn = random.Random(7)
    letters = string.ascii_letters + string.digits
    for _ in range(5000):
        password = "".join(drawn.choice(letters) for _ in range(16))
        assert judge_password(password) is None, password
    assert judge_password(secrets.token_urlsafe(32)) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PASSWORD_MIN_LENGTH", "8"),
        ("PASSWORD_FILE", "admin"),
        ("REQUIRE_PASSWORD", "true"),
        ("RANDOM_ROOT_PASSWORD", "yes"),
        ("PASSWORD_HASH", "admin"),
        ("BYPASS", "1"),
        ("COMPASS", "x"),
        ("OPENAI_API_KEY", ""),
        ("USER", "admin"),
        ("DB_PASSWORD", "$2y$10$abcdefghijklmnopqrstuv"),
        ("URL", "http://admin@host/x"),
        ("URL", "redis://:x7Kp2vQ9mW4rT8zB@host"),
    ],
)
def test_what_only_looks_like_a_password_is_none(name: str, value: str) -> None:
    assert judge_value(name, value) is None


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("$A", "admin"),
        ("${A}", "admin"),
        ("a$$b", "a$b"),
        ("${N:-x}", "x"),
        ("${N-x}", "x"),
        ("${E:-x}", "x"),
        ("${E-x}", ""),
        ("${A:-x}", "admin"),
        ("${A:+x}", "x"),
        ("${N:+x}", None),
        ("${N:?no}", None),
        ("${A:?no}", "admin"),
        ("${N:-${M:-${A}}}y", "adminy"),
        ("${N", None),
        ("$", "$"),
        ("$1", "$1"),
        ("${N:-a}${M}", None),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, filled: str | None) -> None:
    assert fill(text, {"A": "admin", "E": ""}).text == filled
