"""What PostgreSQL servers say of their own configuration: what is in force, wherever it was set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.clients.errors import Absent, ClientError
from jobs.clients.file_search import shown
from jobs.security.configuration.postgres import SETTINGS, HbaLine, Setting, judge_hba, judge_settings, network
from jobs.security.configuration.rules import ConfigFile, tell

if TYPE_CHECKING:
    from jobs.clients.postgres import Postgres
    from jobs.security.scanner import Look

_RIGHTS = "to tell it, it must let us read pg_settings and pg_hba_file_rules (a superuser may)"
_SETTINGS = "SELECT name, setting, coalesce(sourcefile, ''), sourceline FROM pg_settings WHERE name = ANY(%s)"
_HBA = """
SELECT line_number, type, array_to_string(database, ','), array_to_string(user_name, ','), address, netmask,
       auth_method, error
FROM pg_hba_file_rules ORDER BY line_number
"""


def scan_servers(look: Look) -> set[Path]:
    """Judge every server that answers; return the files that they have spoken for."""
    spoken_for: set[Path] = set()
    for server in look.clients.postgres_servers:
        look.go_on()
        try:
            spoken_for |= _scan(look, server)
        except Absent:
            continue
        except ClientError as error:
            look.missed(
                f"the configuration of the PostgreSQL server {server.name}: {error}; {_RIGHTS}",
                f"postgres/{server.name}",
            )
    return spoken_for


def _scan(look: Look, server: Postgres) -> set[Path]:
    name = f"postgres/{server.name}"
    with server.session() as session:
        rows = session.query(_SETTINGS, (list(SETTINGS),))
        paths = [str(row[0]) for row in session.query("SELECT current_setting('config_file')")]
        hba = Path(str(session.query("SELECT current_setting('hba_file')")[0][0]))
        lines = [_line(row) for row in session.query(_HBA)]
    whole = ConfigFile(Path(paths[0]), name, "")
    settings = {str(row[0]): Setting(str(row[1]), _source(name, str(row[2]), whole), row[3]) for row in rows}
    for weakness in (*judge_settings(settings, lines), *judge_hba(ConfigFile(hba, f"{name}/pg_hba.conf", ""), lines)):
        tell(look, weakness)
    look.scanned(2)
    return {whole.path, hba}


def _source(name: str, path: str, otherwise: ConfigFile) -> ConfigFile:
    return ConfigFile(Path(path), f"{name}/{shown(Path(path).name)}", "") if path else otherwise


def _line(row: tuple[Any, ...]) -> HbaLine:
    number, kind, databases, users, address, mask, method, error = row
    if error is not None or method is None:
        return HbaLine("unusable", "", "", "", "", int(number or 0))
    where = network(str(address or ""), str(mask or ""))
    return HbaLine(str(kind), str(databases or ""), str(users or ""), where, str(method), int(number or 0))
