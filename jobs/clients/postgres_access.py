"""Who may connect to a PostgreSQL server, and how: its settings and the rules of its pg_hba.conf."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.clients.postgres_session import QueryFailed

if TYPE_CHECKING:
    from jobs.clients.postgres import Postgres

MAX_RULES = 10_000
_SETTINGS = "SELECT name, setting FROM pg_settings WHERE name IN ('listen_addresses', 'ssl', 'password_encryption')"
_ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
# Superusers may, and those who were granted the view and its function (pg_hba_file_rules(5) in the manual).
_MAY_READ = (
    "SELECT has_table_privilege('pg_catalog.pg_hba_file_rules', 'SELECT')"
    " AND has_function_privilege('pg_catalog.pg_hba_file_rules()', 'EXECUTE')"
)
_RULES = f"""
SELECT type, coalesce(array_to_string(database, ','), ''), coalesce(array_to_string(user_name, ','), ''),
       coalesce(address, ''), coalesce(netmask, ''), auth_method
FROM pg_catalog.pg_hba_file_rules WHERE error IS NULL ORDER BY line_number LIMIT {MAX_RULES}
"""  # noqa: S608 (a number of ours)
_TOO_OLD = "42P01"


@dataclass(frozen=True)
class HbaRule:
    """One line of pg_hba.conf: type (`local`, `host`, `hostssl`...), whom it is for, from where, and the method."""

    type: str
    databases: str
    users: str
    address: str
    netmask: str
    method: str


@dataclass(frozen=True)
class Access:
    """What a server says. `rules` is None where this account may not read them; `encrypted` is our own connection."""

    listen_addresses: str
    ssl: bool
    password_encryption: str
    encrypted: bool
    rules: Sequence[HbaRule] | None


def read(server: Postgres) -> Access:
    """What a server says of who may connect; raises as `Postgres.session` does."""
    with server.session() as session:
        settings = {str(name): str(value) for name, value in session.query(_SETTINGS)}
        encrypted = any(ssl for (ssl,) in session.query(_ENCRYPTED))
        rules = None
        try:
            if session.query(_MAY_READ) == [(True,)]:
                rules = [HbaRule(*map(str, row)) for row in session.query(_RULES)]
        except QueryFailed as error:
            if error.sqlstate != _TOO_OLD:  # PostgreSQL has the view since version 10
                raise
    return Access(
        listen_addresses=settings.get("listen_addresses", ""),
        ssl=settings.get("ssl") == "on",
        password_encryption=settings.get("password_encryption", ""),
        encrypted=encrypted,
        rules=rules,
    )
