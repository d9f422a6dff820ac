"""Who may connect to a PostgreSQL server, and how: its settings and the rules of its pg_hba.conf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.clients.postgres_session import QueryFailed

if TYPE_CHECKING:
    from jobs.clients.postgres import Postgres

MAX_RULES = 10_000
ACCESS = ("listen_addresses", "ssl", "password_encryption")
"""The settings that say who gets in."""
_FILES = ("config_file", "hba_file")
# A setting that this account may not see is left out, and so is the file that one was set in.
_SETTINGS = "SELECT name, setting, coalesce(sourcefile, ''), sourceline FROM pg_settings WHERE name = ANY(%s)"
_ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
# Superusers may, and those who were granted the view and its function (pg_hba_file_rules(5) in the manual).
_MAY_READ = (
    "SELECT has_table_privilege('pg_catalog.pg_hba_file_rules', 'SELECT')"
    " AND has_function_privilege('pg_catalog.pg_hba_file_rules()', 'EXECUTE')"
)
_RULES = f"""
SELECT coalesce(type, ''), coalesce(array_to_string(database, ','), ''), coalesce(array_to_string(user_name, ','), ''),
       coalesce(address, ''), coalesce(netmask, ''), coalesce(auth_method, ''), coalesce(line_number, 0),
       error IS NULL AND auth_method IS NOT NULL
FROM pg_catalog.pg_hba_file_rules ORDER BY line_number LIMIT {MAX_RULES}
"""  # noqa: S608 (a number of ours)
_TOO_OLD = "42P01"


@dataclass(frozen=True)
class HbaRule:
    """One line of pg_hba.conf: type (`local`, `host`, `hostssl`...), whom it is for, from where, and the method.

    The server passes over one that is not `usable`.
    """

    type: str
    databases: str
    users: str
    address: str
    netmask: str
    method: str
    line: int
    usable: bool


@dataclass(frozen=True)
class InForce:
    """A setting's value, and the file and line that it comes from; of an account that may not know, empty and None."""

    value: str
    file: str
    line: int | None


@dataclass(frozen=True)
class Access:
    """What a server says. `rules` is None where this account may not read them; `encrypted` is our own connection."""

    settings: Mapping[str, InForce]
    encrypted: bool
    rules: Sequence[HbaRule] | None

    def setting(self, name: str) -> str:
        """A setting's value; empty where it is not there, or not to be seen."""
        found = self.settings.get(name)
        return found.value if found else ""

    @property
    def ssl(self) -> bool:
        """Whether the server speaks TLS."""
        return self.setting("ssl") == "on"

    @property
    def config_file(self) -> str:
        """The path of its postgresql.conf; empty where it is not to be seen."""
        return self.setting("config_file")

    @property
    def hba_file(self) -> str:
        """The path of its pg_hba.conf; empty where it is not to be seen."""
        return self.setting("hba_file")


def read(server: Postgres, names: Sequence[str] = ACCESS) -> Access:
    """What a server says of who may connect, and of the settings `names`; raises as `Postgres.session` does."""
    with server.session() as session:
        rows = session.query(_SETTINGS, ([*names, *_FILES],))
        encrypted = any(ssl for (ssl,) in session.query(_ENCRYPTED))
        rules = None
        try:
            if session.query(_MAY_READ) == [(True,)]:
                rules = [_rule(row) for row in session.query(_RULES)]
        except QueryFailed as error:
            if error.sqlstate != _TOO_OLD:  # PostgreSQL has the view since version 10
                raise
    settings = {str(name): InForce(str(value), str(file), line) for name, value, file, line in rows}
    return Access(settings, encrypted, rules)


def _rule(row: tuple[Any, ...]) -> HbaRule:
    kind, databases, users, address, netmask, method, line, usable = row
    return HbaRule(kind, databases, users, address, netmask, method, int(line), bool(usable))
