"""The job database-maintenance, run as a user runs it, and what it said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from tests.services.postgres import PostgresServer

DIRTY = """
CREATE TABLE {name} (id int PRIMARY KEY, word text);
INSERT INTO {name} SELECT i, md5(i::text) FROM generate_series(1, {rows}) i;
DELETE FROM {name} WHERE id % 2 = 0
"""


class Maintenance:
    """Runs on one base directory, without backups unless they are asked for in `settings`."""

    def __init__(self, run_cli: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
        self._run_cli, self.base = run_cli, tmp_path / "base"
        self.said = ""

    def __call__(
        self,
        postgres: dict[str, Any],
        *,
        mode: str = "",
        dry_run: bool = False,
        settings: dict[str, Any] | None = None,
        code: int | None = None,
    ) -> dict[str, Any]:
        """The result of a run, whose exit code must be `code`, if one is given, and a verdict in any case."""
        words = ["--mode", mode] * bool(mode) + ["--dry-run"] * dry_run
        own = {"backup_enabled": False, **(settings or {})}
        config = {"postgres": postgres, "jobs": {"database_maintenance": own}}
        done = self._run_cli("run", "database-maintenance", "--json", *words, config=config)
        self.said = done.stdout + done.stderr
        assert done.returncode in ((0, 1, 2, 3) if code is None else (code,)), self.said
        result: dict[str, Any] = json.loads(done.stdout)["result"]
        return result

    @property
    def report(self) -> dict[str, Any]:
        """The newest report."""
        found: dict[str, Any] = json.loads((self.base / "logs" / "latest_db_maintenance_report.json").read_text())
        return found


def postgres_of(server: PostgresServer, *databases: str, **more: Any) -> dict[str, Any]:
    """The section of the configuration for one server and some of its databases."""
    return {"dsn": server.dsn, "databases": list(databases or ["sutazai"]), "connect_timeout_seconds": 20, **more}


def done(result: dict[str, Any], *, catalogs: bool = False) -> set[tuple[str, str]]:
    """What was done, or planned: (verb, name of the table or index); catalogs are left out unless asked for."""
    found = {(action["verb"], action["subject"].partition(" ")[2]) for action in result["actions"]}
    return {one for one in found if catalogs or not one[1].startswith("pg_catalog.")}


def figures(result: dict[str, Any], name: str, **labels: str) -> list[float]:
    """The values of a family's series that have these labels."""
    return [
        sample["value"]
        for sample in result["samples"]
        if sample["family"] == f"sutazai_{name}" and labels.items() <= sample["labels"].items()
    ]


def kinds(result: dict[str, Any], severity: str = "") -> set[str]:
    """The kinds of the findings, of one severity or of all but the mere information."""
    found = result["findings"]
    return {f["kind"] for f in found if (f["severity"] == severity if severity else f["severity"] != "info")}
