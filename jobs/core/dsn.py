"""What a connection string of PostgreSQL says, read as libpq reads it, without libpq.

The two forms: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
"""

from __future__ import annotations

import re
from urllib.parse import unquote


def has_usable_ports(dsn: str) -> bool:
    """Whether each port that a connection string names is one; where none is named the usual one is meant."""
    return all(
        port == "" or (re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= 65535)
        for port in ports_of(dsn).split(",")
    )


def ports_of(dsn: str) -> str:
    """The value of `port` in a connection string: with commas for several hosts, empty where it has none."""
    return _ports_of_url(dsn) if re.match(r"postgres(ql)?://", dsn) else _ports_of_pairs(dsn)


def _ports_of_url(url: str) -> str:
    """Of `postgresql://user:password@host:port,[address]:port/database?name=value&name=value`; a `port` there wins."""
    rest = re.sub("^[^@/]*@", "", url.partition("://")[2])
    query = dict(pair.partition("=")[::2] for pair in rest.partition("?")[2].split("&"))
    hosts = re.split("[/?]", rest, maxsplit=1)[0].split(",")
    ports = (re.sub(r"^\[[^]]*\]", "", host).partition(":")[2] for host in hosts)
    return unquote(query.get("port", ",".join(ports)))


def _ports_of_pairs(pairs: str) -> str:
    """Of `host=there port=5432 password='it\\'s mine'`."""
    found = re.findall(r"([^\s=]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s\\]|\\.)*))", pairs, re.DOTALL)
    return re.sub(r"(?s)\\(.)", r"\1", {name: quoted or plain for name, quoted, plain in found}.get("port", ""))
