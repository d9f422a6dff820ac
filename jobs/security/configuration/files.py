"""The scanner of configuration files, and of the configuration that servers say is in force."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from jobs.clients.file_search import matches
from jobs.security.configuration import docker_daemon, env_file, postgres, redis, sshd
from jobs.security.configuration.compose import judge_services
from jobs.security.configuration.compose_file import parse_compose
from jobs.security.configuration.own import judge_own
from jobs.security.configuration.reading import Reader, find
from jobs.security.configuration.rules import ConfigFile, Unparsable, tell
from jobs.security.scanner import Area, Look, Scanner, Weakness

_SERVICE_NAMES = (
    *("daemon.json", "sshd_config", "postgresql.conf", "pg_hba.conf"),
    *("redis*.conf", "valkey*.conf"),
)
_HOST_DIRECTORIES = (
    *(("etc/docker", 0), ("etc/ssh", 0), ("etc/redis", 0), ("etc/redis.conf", 0), ("etc/valkey", 0)),
    *(("etc/postgresql", 2), ("var/lib/pgsql", 2)),
)

Judge = Callable[[ConfigFile], Iterable[Weakness]]


def _scan(look: Look) -> None:
    spoken_for = _servers(look)
    settings, base_dir = look.settings.configuration, look.clients.base_dir
    roots = settings.paths or (base_dir,)
    names = (*settings.compose_names, *settings.environment_names, *_SERVICE_NAMES)
    own = Scan(look, Reader(look, roots, base_dir), spoken_for)
    own.judge_all(find(look, roots, names, settings.max_depth))
    host = Scan(look, Reader(look, [settings.host_root], settings.host_root, host=settings.host_root), spoken_for)
    for place, depth in _HOST_DIRECTORIES:
        host.judge_all(find(look, [settings.host_root / place], _SERVICE_NAMES, depth))
    _exporter(look)


def _servers(look: Look) -> set[Path]:
    """Ask the servers; return the files that they have spoken for."""
    if not look.settings.configuration.servers:
        return set()
    from jobs.security.configuration.postgres_server import scan_servers
    from jobs.security.configuration.redis_server import scan_server

    return scan_servers(look) | scan_server(look)


def _exporter(look: Look) -> None:
    path = look.clients.config_file
    if path is None:
        return
    real = Path(os.path.realpath(path))
    scan = Scan(look, Reader(look, [real.parent], look.clients.base_dir))
    scan.judge(path, judge_own)


class Scan:
    """Judges files, each once, and tells of them."""

    def __init__(self, look: Look, reader: Reader, done: Iterable[Path] = ()) -> None:
        self._look, self._reader = look, reader
        self._done = {os.path.realpath(path) for path in done}
        self._waiting: list[tuple[Path, Judge]] = []

    def judge_all(self, paths: Iterable[Path]) -> None:
        """Judge each of these files by its name, and those that they take in."""
        self._waiting = [(path, self._judge_of(path.name)) for path in paths]
        while self._waiting:
            self._look.go_on()
            self.judge(*self._waiting.pop(0))

    def judge(self, path: Path, judge: Judge) -> None:
        """Judge one file, if that has not been done."""
        if os.path.realpath(path) in self._done:
            return
        self._done.add(os.path.realpath(path))
        file = self._reader.read(path)
        if file is None:
            return
        try:
            found = list(judge(file))
        except Unparsable as error:
            self._look.missed(f"{file.name}: {error}", str(path))
            found = [file.weakness("unreadable_configuration", "file", f"{error}; nothing in it was judged")]
        else:
            self._look.scanned()
        for weakness in found:
            tell(self._look, weakness)

    def _judge_of(self, name: str) -> Judge:
        settings = self._look.settings.configuration
        if matches(name, settings.compose_names):
            return self._compose
        if matches(name, settings.environment_names):
            return env_file.judge_env
        return {
            "daemon.json": docker_daemon.judge_daemon,
            "sshd_config": lambda file: sshd.judge_sshd(file, self._reader.included),
            "postgresql.conf": self._postgres,
            "pg_hba.conf": lambda file: postgres.judge_hba(file, list(postgres.parse_hba(file))),
        }.get(name, lambda file: redis.judge_redis(redis.parse_redis(file, self._reader.included)))

    def _compose(self, file: ConfigFile) -> Iterator[Weakness]:
        """What is weak in a Compose file; the files that it takes in are judged after it."""
        beside = self._reader.read_if_there(file.path.with_name(".env"))
        known = {variable.name: variable.value for variable in env_file.parse_env(beside.text)} if beside else {}
        parsed = parse_compose(file, known)
        for kind, written in parsed.references:
            path = Path(os.path.normpath(file.path.parent / written))
            if "\0" not in written and os.path.lexists(path):
                self._waiting.append((path, self._compose if kind == "compose" else env_file.judge_env))
        yield from judge_services(parsed.services)

    def _postgres(self, file: ConfigFile) -> Iterator[Weakness]:
        """What is weak in a postgresql.conf, given who may connect by the pg_hba.conf beside it."""
        beside = self._reader.read_if_there(file.path.with_name("pg_hba.conf"))
        lines = list(postgres.parse_hba(beside)) if beside else []
        yield from postgres.judge_settings(postgres.parse_settings(file, self._included_settings), lines)

    def _included_settings(self, file: ConfigFile, directive: str, named: str) -> list[ConfigFile]:
        if directive == "include_dir":
            return self._reader.included(file, f"{named}/*.conf")
        if directive == "include_if_exists" and not os.path.lexists(file.path.parent / named):
            return []
        return self._reader.included(file, named)


CONFIGURATION = Scanner("configuration", Area.CONFIGURATION, "Weak settings of services", "files", _scan)
