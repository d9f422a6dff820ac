"""What PostgreSQL servers say of their own configuration: what is in force, wherever it was set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jobs.clients import postgres_access
from jobs.clients.errors import Absent, ClientError
from jobs.clients.file_search import shown
from jobs.security.configuration.postgres import SETTINGS, HbaLine, Setting, judge_hba, judge_settings, network
from jobs.security.configuration.rules import ConfigFile, tell

if TYPE_CHECKING:
    from jobs.clients.postgres import Postgres
    from jobs.clients.postgres_access import HbaRule
    from jobs.security.scanner import Look

_RIGHTS = "it must let us read pg_settings and pg_hba_file_rules (a superuser may)"


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
            subject = f"postgres/{server.name}"
            look.missed(f"the configuration of the PostgreSQL server {server.name}: {error}", subject)
    return spoken_for


def _scan(look: Look, server: Postgres) -> set[Path]:
    name, access = f"postgres/{server.name}", postgres_access.read(server, SETTINGS)
    if access.rules is None or not access.config_file:
        raise ClientError(f"{server.where} does not tell it all: {_RIGHTS}")
    whole, hba = ConfigFile(Path(access.config_file), name, ""), Path(access.hba_file)
    lines = [_line(rule) for rule in access.rules]
    settings = {
        setting: Setting(found.value, _source(name, found.file, whole), found.line)
        for setting, found in access.settings.items()
        if setting in SETTINGS
    }
    for weakness in (*judge_settings(settings, lines), *judge_hba(ConfigFile(hba, f"{name}/pg_hba.conf", ""), lines)):
        tell(look, weakness)
    look.scanned(2)
    return {whole.path, hba}


def _source(name: str, path: str, otherwise: ConfigFile) -> ConfigFile:
    return ConfigFile(Path(path), f"{name}/{shown(Path(path).name)}", "") if path else otherwise


def _line(rule: HbaRule) -> HbaLine:
    if not rule.usable:
        return HbaLine("unusable", "", "", "", "", rule.line)
    return HbaLine(rule.type, rule.databases, rule.users, network(rule.address, rule.netmask), rule.method, rule.line)
