"""Connection strings of PostgreSQL, read as libpq itself reads them."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import parse_dsn

from jobs.core.dsn import has_usable_ports, ports_of

PIECES = ["postgresql://", "u", ":", "@", "h", "[::1]", "/", "5432", "99999", ",", "?", "port", "=", "&", "%35", "host"]
PAIRS = ["port", "password", "host", "=", " ", "'", "\\", "5432", "99999", ",", "x", "\n"]

URLS = st.lists(st.sampled_from(PIECES), max_size=14).map(lambda pieces: "postgresql://" + "".join(pieces))
KEY_VALUE = st.lists(st.sampled_from(PAIRS), max_size=16).map(lambda pieces: "host=h " + "".join(pieces))


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(URLS, KEY_VALUE))
def test_ports_are_those_that_libpq_finds(dsn: str) -> None:
    try:
        understood: Mapping[str, str] = parse_dsn(dsn)
    except psycopg2.Error:
        return  # told when a connection is to be made, as ever
    assert ports_of(dsn) == understood.get("port", "")


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://",
        "postgresql://u@h/db",
        "postgresql://u@h:5432/db",
        "postgresql://u:1:2@h:5432",
        "postgresql://one:5432,two:65535,three/db",
        "postgresql://u@[::1]:5432/db",
        "postgresql://u@[::1],[fe80::1%25eth0]:1/db",
        "postgresql://%2Frun%2Fpostgresql:5432/db",
        "postgresql:///db?host=/run/postgresql&port=5433",
        "postgresql://h:99999/db?port=5433",
        "host=/run/postgresql dbname=db",
        "host=one,two port=5432,5433",
        "host = ::1 port = '5432' password='a port=x b'",
        r"host=h password=it\ port=x",
        "service=x",
    ],
)
def test_ports_that_are_usable(dsn: str) -> None:
    parse_dsn(dsn)
    assert has_usable_ports(dsn)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u@h:99999/db",
        "postgresql://u@h:0/db",
        "postgresql://u@h:x/db",
        "postgresql://u:pa/ss@h/db",
        "postgresql://u@one:5432,two:x/db",
        "postgresql://u@[::1]:65536/db",
        "postgresql:///db?port=x",
        f"postgresql://h:{'9' * 5000}/db",
        "host=h port=x",
        "host=h port='99999'",
        "host=one,two port=5432,-1",
    ],
)
def test_ports_that_are_none(dsn: str) -> None:
    assert not has_usable_ports(dsn)
