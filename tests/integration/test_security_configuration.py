"""The scan of configuration files: planted trees and real servers."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.core.model import Severity
from jobs.security.configuration.files import CONFIGURATION
from jobs.security.configuration.rules import RULES
from jobs.security.scanner import Seen
from tests.services.configuration_plants import COMPOSE, EXPORTER, STRONG, WELL_KEPT, Plant, plants, service, variables
from tests.services.exporter_daemon import REPOSITORY
from tests.services.looks import by_rule, clients_of, look
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer

_PLANTS = tuple(plants())
_BY_SERVERS_OR_MODES = {"readable_secrets", "secret_in_configuration", "writable_configuration"}


def scan(base_dir: Path, *, full: bool = True, host: Path | None = None, **settings: Any) -> Seen:
    """What the scanner tells of the files below `base_dir`, and of a host that has those below `host`."""
    given = {"servers": False, "host_root": str(host or base_dir / "no host"), **settings}
    return look(CONFIGURATION, clients_of(base_dir), {"configuration": given}, full=full)


def write(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("plant", _PLANTS, ids=[f"{number}-{plant.rule}" for number, plant in enumerate(_PLANTS)])
def test_every_plant_is_found_and_its_clean_twin_is_not(tmp_path: Path, plant: Plant) -> None:
    write(tmp_path / "weak", {plant.name: plant.weak, **dict(plant.beside)})
    write(tmp_path / "clean", {plant.name: plant.clean, **dict(plant.beside)})
    weak, clean = scan(tmp_path / "weak"), scan(tmp_path / "clean")
    found = by_rule(weak)
    assert plant.rule in found, weak
    assert clean.weaknesses == []
    assert clean.missed == []
    assert clean.scanned >= 1
    assert all(w.path and w.remedy and w.message.startswith(w.subject.partition(":")[0]) for w in weak.weaknesses)
    assert "canary" not in repr(weak) and STRONG not in repr(weak)


def test_every_rule_has_a_plant() -> None:
    assert {plant.rule for plant in _PLANTS} | _BY_SERVERS_OR_MODES == set(RULES)


def test_a_well_kept_stack_gives_no_alarm(tmp_path: Path) -> None:
    write(tmp_path, WELL_KEPT)
    seen = scan(tmp_path)
    assert (seen.weaknesses, seen.missed, seen.scanned) == ([], [], 2)


def test_what_comes_from_the_file_beside_is_told_there_and_what_is_not_known_is_not_told(tmp_path: Path) -> None:
    known = variables("DB_PASSWORD: ${PW:-postgres}", "APP_URL: redis://:${UNKNOWN}@r", "LIST: a$$b")
    write(tmp_path, {"a/compose.yaml": known, "a/.env": "PW=changeme\n", "b/compose.yaml": known})
    write(tmp_path, {"c/compose.yaml": known, "c/.env": f"PW={STRONG}\n"})
    other = variables("DB_PASSWORD: ${OTHER}")
    write(tmp_path, {"d/compose.yaml": other, "d/.env": "OTHER=changeme\n"})
    assert {(w.subject, w.line) for w in scan(tmp_path).weaknesses} == {
        ("a/.env: PW", 1),
        ("b/compose.yaml: db.DB_PASSWORD", 5),
        ("d/compose.yaml: db.DB_PASSWORD", 5),
    }


@pytest.mark.parametrize(
    ("port", "severity"), [("5432:5432", Severity.CRITICAL), ("127.0.0.1:5432:5432", Severity.HIGH)]
)
def test_a_default_password_that_others_can_reach_is_worse(tmp_path: Path, port: str, severity: Severity) -> None:
    write(tmp_path, {COMPOSE: service(f"ports: ['{port}']", "environment: {POSTGRES_PASSWORD: postgres}")})
    (found,) = by_rule(scan(tmp_path))["default_password"]
    assert found.severity is severity


def test_a_weakness_keeps_its_identity_when_lines_move(tmp_path: Path) -> None:
    write(tmp_path, {COMPOSE: service("privileged: yes", "ports: ['5432:5432']")})
    before = scan(tmp_path).weaknesses
    write(tmp_path, {COMPOSE: "\n# more\n" + service("restart: always", "ports: ['5432:5432']", "privileged: true")})
    after = scan(tmp_path).weaknesses
    area = CONFIGURATION.area
    assert {w.identity(area) for w in before} == {w.identity(area) for w in after}
    assert {w.line for w in before} == {4, 5}
    assert {w.line for w in after} == {7, 8}


_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in ("ab", "bc", "cd", "de", "ef", "fg", "gh", "hi")
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_BOMB, "its aliases unfold to more than can be followed"),
        ("a: &a [*a]\n", "its aliases unfold to more than can be followed"),
        ("a: " + "[" * 20_000, "nested deeper than 32"),
        ("services: {a: {image: x}, a: {image: y}}\n", "line 1: a key is given twice"),
        ("services:\n  a: {\n", "it is not YAML"),
        ("services: [1, 2]\n", "it is no Compose file"),
        ("- 1\n", "it is no Compose file"),
        ("# " + "x" * (1 << 20), "it is longer than 1048576 bytes"),
        ("a: [" + "1," * 60_000 + "]", "more than 50000 values"),
        ("a: \x00\n", "it is not YAML"),
    ],
    ids=["bomb", "recursion", "deep", "twice", "cut", "list", "no mapping", "long", "many", "nul"],
)
def test_a_file_that_cannot_be_judged_is_told_of_and_never_clean(tmp_path: Path, content: str, said: str) -> None:
    write(tmp_path, {COMPOSE: content})
    seen = scan(tmp_path)
    assert [said in reason for reason in seen.missed] == [True], seen.missed
    assert seen.scanned == 0
    assert len(seen.missed[0]) < 200


def test_tags_of_compose_mean_what_they_mean_and_others_make_nothing(tmp_path: Path) -> None:
    lines = ("privileged: !reset true", "ports: !override ['5432:5432']", "pid: !!python/object/apply:os.getcwd []")
    write(tmp_path, {COMPOSE: service(*lines)})
    seen = scan(tmp_path)
    assert set(by_rule(seen)) == {"database_port_on_all_addresses"}
    assert seen.missed == []


def test_links_pipes_and_names_lead_nowhere(tmp_path: Path) -> None:
    base, outside = tmp_path / "base", tmp_path / "outside"
    write(outside, {"compose.yaml": service("privileged: true"), "secret.env": "DB_PASSWORD=admin\n"})
    write(
        base,
        {
            "real/prod.yaml": service("privileged: true"),
            "a/compose.yaml": service("env_file: ../../outside/secret.env"),
        },
    )
    (base / "compose.yaml").symlink_to(base / "real" / "prod.yaml")
    (base / "compose.override.yaml").symlink_to(outside / "compose.yaml")
    (base / "compose.loop.yaml").symlink_to(base / "compose.loop.yaml")
    (base / "linked").symlink_to(outside)
    os.mkfifo(base / "pipe.env")
    (base / "new\nline.env").write_text("DB_PASSWORD=admin\n")
    Path(os.fsdecode(os.fsencode(base) + b"/\xff.env")).write_text("DB_PASSWORD=admin\n")
    seen = scan(base)
    assert {w.subject for w in seen.weaknesses} == {
        "compose.yaml: db.privileged",
        "new\ufffdline.env: DB_PASSWORD",
        "\ufffd.env: DB_PASSWORD",
    }
    assert sorted(seen.missed) == [
        f"{outside}/secret.env: it lies outside of what is searched",
        "compose.loop.yaml: its links go round",
        "compose.override.yaml: it lies outside of what is searched",
    ]


def test_a_file_that_may_not_be_read_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a.env": "DB_PASSWORD=admin\n", "b.env": f"DB_PASSWORD={STRONG}\n"})

    def refuse(path: Path, max_bytes: int) -> bytes:
        if path.name == "a.env":
            raise PermissionError(13, "Permission denied")
        return path.read_bytes()

    monkeypatch.setattr("jobs.security.configuration.reading.read_small", refuse)
    seen = scan(tmp_path)
    assert (seen.scanned, seen.missed, seen.weaknesses) == (1, ["a.env: Permission denied"], [])


def test_depth_number_and_excluded_names_are_kept(tmp_path: Path) -> None:
    write(tmp_path, {"a/b/c/.env": "P_PASSWORD=admin\n", "node_modules/.env": "P_PASSWORD=admin\n"})
    write(tmp_path, {".env": "P_PASSWORD=admin\n", ".env.example": "P_PASSWORD=admin\n"})
    assert [w.subject for w in scan(tmp_path, max_depth=2).weaknesses] == [".env: P_PASSWORD"]
    assert scan(tmp_path).scanned == 2
    limited = scan(tmp_path, max_files=1)
    assert limited.scanned == 1
    assert "more than 1 files" in limited.missed[0]


@pytest.mark.parametrize("pattern", ["/*/*/*.conf", "**/*.conf", "/**", "\0", "none.conf"])
def test_what_a_file_includes_cannot_have_the_disk_searched(tmp_path: Path, pattern: str) -> None:
    write(tmp_path, {"redis.conf": f"include {pattern}\nrequirepass {STRONG}\n"})
    seen = scan(tmp_path)
    assert ["redis.conf: " in reason and "include" in reason for reason in seen.missed] == [True]
    assert seen.scanned == 1


def test_the_hosts_own_files_are_found_at_their_usual_places(tmp_path: Path) -> None:
    host = tmp_path / "host"
    write(
        host,
        {
            "etc/docker/daemon.json": '{"hosts": ["tcp://0.0.0.0:2375", "tcp://127.0.0.1:2375"]}',
            "etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication no\n",
            "etc/ssh/sshd_config.d/a.conf": "PermitRootLogin yes\n",
            "etc/postgresql/16/main/postgresql.conf": "listen_addresses = '*'\ninclude_dir = 'conf.d'\n",
            "etc/postgresql/16/main/conf.d/a.conf": "fsync = off\n",
            "etc/postgresql/16/main/pg_hba.conf": "host all all 0.0.0.0/0 trust\n",
            "etc/redis/redis.conf": "bind *\nprotected-mode no\n",
        },
    )
    (tmp_path / "base").mkdir()
    seen = scan(tmp_path / "base", host=host, full=False)
    assert {(w.rule, w.subject, w.line) for w in seen.weaknesses} == {
        ("docker_tcp_without_tls", "/etc/docker/daemon.json: hosts.tcp://0.0.0.0:2375", 1),
        ("docker_tcp_without_tls", "/etc/docker/daemon.json: hosts.tcp://127.0.0.1:2375", 1),
        ("docker_logs_without_limit", "/etc/docker/daemon.json: log-opts", None),
        ("ssh_root_login", "/etc/ssh/sshd_config.d/a.conf: PermitRootLogin", 1),
        ("postgres_listens_everywhere", "/etc/postgresql/16/main/postgresql.conf: listen_addresses", 1),
        ("postgres_without_tls", "/etc/postgresql/16/main/postgresql.conf: ssl", None),
        ("postgres_unsafe_writes", "/etc/postgresql/16/main/conf.d/a.conf: fsync", 1),
        ("postgres_trust", "/etc/postgresql/16/main/pg_hba.conf: host all all 0.0.0.0/0", 1),
        ("redis_open", "/etc/redis/redis.conf: protected-mode", 2),
    }
    severities = {w.subject[-20:]: w.severity for w in seen.weaknesses if w.rule == "docker_tcp_without_tls"}
    assert sorted(severities.values()) == [Severity.CRITICAL, Severity.HIGH]
    assert seen.scanned == 5
    assert seen.missed == []


def test_what_is_only_good_to_know_belongs_to_a_full_scan(tmp_path: Path) -> None:
    write(tmp_path, {"daemon.json": "{}"})
    assert set(by_rule(scan(tmp_path, full=False))) == {"docker_logs_without_limit"}
    assert {w.severity for w in scan(tmp_path).weaknesses} == {Severity.LOW, Severity.INFO}


@pytest.mark.parametrize(
    ("mode", "rules"),
    [
        (0o600, {"secret_in_configuration"}),
        (0o644, {"readable_secrets"}),
        (0o660, {"secret_in_configuration", "writable_configuration"}),
    ],
)
def test_the_exporters_own_file_is_judged_by_its_secrets_and_its_mode(
    tmp_path: Path, mode: int, rules: set[str]
) -> None:
    config = tmp_path / "etc" / "exporter.yml"
    write(tmp_path, {"etc/exporter.yml": EXPORTER})
    config.chmod(mode)
    clients = clients_of(tmp_path / "base")
    (tmp_path / "base").mkdir()
    clients.config_file = config
    settings = {"configuration": {"servers": False, "host_root": str(tmp_path / "none")}}
    seen = look(CONFIGURATION, clients, settings)
    assert set(by_rule(seen)) == rules
    assert {w.subject.rpartition(": ")[2] for w in seen.weaknesses} - {"mode"} == {"postgres.dsn", "redis.password"}
    assert STRONG not in repr(seen)


@pytest.mark.parametrize("server", ["postgres_server", "newest_postgres_server"])
def test_a_postgresql_server_speaks_for_itself_and_for_its_files(
    tmp_path: Path, server: str, request: pytest.FixtureRequest
) -> None:
    postgres: PostgresServer = request.getfixturevalue(server)
    hba = postgres.data_dir / "pg_hba.conf"
    before = hba.read_bytes()
    hba.write_bytes(before + b"host all all 10.0.0.0/8 trust\nhost all all nonsense\n")
    try:
        told = look(
            CONFIGURATION,
            clients_of(tmp_path, postgres={"dsn": postgres.dsn}),
            {"configuration": {"host_root": str(tmp_path / "none"), "paths": [str(postgres.data_dir)]}},
        )
    finally:
        hba.write_bytes(before)
    found = by_rule(told)
    last = before.count(b"\n") + 1
    assert [(w.subject, w.line, w.severity) for w in found["postgres_trust"]] == [
        ("postgres/main/pg_hba.conf: host all all 10.0.0.0/8", last, Severity.HIGH)
    ]
    assert [w.line for w in found["postgres_unusable_line"]] == [last + 1]
    assert "postgres_unsafe_writes" in found  # the tests' own server does without fsync
    assert found["postgres_unsafe_writes"][0].subject == "postgres/main: fsync"
    assert "postgres_md5" not in found
    assert told.missed == []


def test_a_postgresql_server_that_lets_us_not_look_is_told_of(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """Until the role is given the rights that the documentation names."""
    postgres_server.execute("CREATE ROLE nosy LOGIN PASSWORD 'nosy-canary9'")
    dsn = f"postgresql://nosy:nosy-canary9@{postgres_server.host}:{postgres_server.port}/{postgres_server.database}"
    settings = {"configuration": {"host_root": str(tmp_path / "none")}}
    try:
        before = look(CONFIGURATION, clients_of(tmp_path, postgres={"dsn": dsn}), settings)
        page = (REPOSITORY / "docs" / "security-configuration.md").read_text()
        for grant in re.findall("GRANT .*;", page):
            postgres_server.execute(grant.replace("exporter", "nosy"))
        after = look(CONFIGURATION, clients_of(tmp_path, postgres={"dsn": dsn}), settings)
    finally:
        postgres_server.execute("DROP OWNED BY nosy")
        postgres_server.execute("DROP ROLE nosy")
    assert ["must let us read" in reason for reason in before.missed] == [True]
    assert (after.missed, after.scanned) == ([], 2)
    assert "canary9" not in repr((before, after))


def test_a_redis_server_speaks_for_itself(tmp_path: Path, redis_factory: Callable[..., RedisServer]) -> None:
    """Its default user is given a password by an ACL, which takes redis_no_password away."""
    redis = redis_factory(password=None)
    world, settings = {"redis": {"url": redis.url}}, {"configuration": {"host_root": str(tmp_path / "none")}}
    assert set(by_rule(look(CONFIGURATION, clients_of(tmp_path, **world), settings))) == {
        "redis_no_password",
        "redis_dangerous_commands",
    }
    redis.client().execute_command("ACL", "SETUSER", "default", f">{STRONG}", "-@dangerous", "+config", "+acl", "+info")
    world["redis"]["password"] = STRONG
    told = look(CONFIGURATION, clients_of(tmp_path, **world), settings)
    assert (told.weaknesses, told.missed, told.scanned) == ([], [], 1)


def test_a_default_password_of_a_redis_server_is_found_and_not_told(
    tmp_path: Path, redis_factory: Callable[..., RedisServer]
) -> None:
    redis = redis_factory(password="changeme-canary9")
    world = {"redis": {"url": redis.url}}
    told = look(CONFIGURATION, clients_of(tmp_path, **world), {"configuration": {"host_root": str(tmp_path / "none")}})
    assert "default_password" in by_rule(told)
    assert "canary9" not in repr(told)


def test_a_server_that_does_not_tell_is_told_of(tmp_path: Path, redis_server: RedisServer) -> None:
    world = {"redis": {"url": redis_server.url_without_password}}
    settings = {"configuration": {"host_root": str(tmp_path / "none")}}
    seen = look(CONFIGURATION, clients_of(tmp_path, **world), settings)
    assert any("the configuration of the Redis server" in reason and "password" in reason for reason in seen.missed)
