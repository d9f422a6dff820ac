"""The doctor against real services: well, stopped, with wrong passwords, behind a proxy, without tools."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from exporter.doctor.checks import CHECKS
from exporter.doctor.diagnosis import FINE, State
from exporter.doctor.examination import examine, patient_of
from exporter.locks import FileLock
from exporter.store import Store
from tests.services.alertmanager import Alertmanager
from tests.services.binaries import need_root
from tests.services.certificates import make, make_ca
from tests.services.command_here import run_here
from tests.services.disks import ext4, make_read_only
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.exporter_daemon import NO_JOBS, ExporterDaemon, command_line, environment_of, write_config
from tests.services.http_agent import HttpAgent
from tests.services.node_exporter import NodeExporter
from tests.services.ollama_stub import OllamaStub
from tests.services.ports import free_port
from tests.services.postgres import PostgresServer
from tests.services.process import private_directory, remove_directory
from tests.services.redis import RedisServer
from tests.services.smtp_sink import SmtpSink
from tests.services.socket_proxy import socket_proxy
from tests.services.trees import tree_digest
from tests.services.wait import wait_for
from tests.stand_ins import TcpServer, answer, read_request

HANG_SECONDS = 120
NOWHERE = {"docker": {"url": "unix:///nowhere/docker.sock"}}

Checks = dict[str, dict[str, Any]]


def doctor(
    base: Path, config: Mapping[str, Any], *arguments: str, env: Mapping[str, str] | None = None, mode: int = 0o600
) -> tuple[int, Checks, str]:
    """Its exit code, what it says of each thing by name, and all that it printed."""
    file = write_config(base.parent / "exporter.yml", config)
    file.chmod(mode)
    done = run_here("doctor", "--json", "--config.file", str(file), *arguments, base_dir=base, env=env)
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    return done.returncode, {one["name"]: one for one in document["checks"]}, done.stdout + done.stderr


def state(checks: Checks, name: str) -> str:
    return str(checks[name]["state"])


def faults(checks: Checks) -> dict[str, str]:
    return {name: one["detail"] for name, one in checks.items() if one["to_do"]}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    directory = tmp_path / "base"
    directory.mkdir()
    return directory


@contextmanager
def silent() -> Iterator[TcpServer]:
    """A server that takes connections and says nothing."""
    with TcpServer(lambda connection, closed: closed.wait(600) and None) as server:
        yield server


def test_where_all_is_well_there_is_nothing_to_do_and_nothing_is_changed(
    tmp_path: Path,
    postgres_server: PostgresServer,
    redis_server: RedisServer,
    docker_clean: DockerEngine,
    ollama_stub: OllamaStub,
) -> None:
    port, textfiles = free_port(), tmp_path / "textfiles"
    labels = {"sutazai.agent": "true", "sutazai.agent.port": str(port)}
    docker_clean.run(AGENT_IMAGE, "sutazai-doctored", port=port, labels=labels)
    textfiles.mkdir()
    handler = tmp_path / "handler"
    handler.write_text("#!/bin/sh\n")
    handler.chmod(0o755)
    smtp, reader = SmtpSink(), NodeExporter(textfiles)
    alertmanager = Alertmanager({"route": {"receiver": "none"}, "receivers": [{"name": "none"}]})
    config: dict[str, Any] = {
        "docker": {"url": docker_clean.url}, "postgres": {"dsn": postgres_server.dsn},
        "redis": {"url": redis_server.url}, "ollama": {"url": ollama_stub.url},
        "endpoints": [{"name": "itself", "url": f"{alertmanager.url}/-/healthy"}],
        "notifications": {
            "mail": {"host": "127.0.0.1", "port": smtp.port, "security": "none", "recipients": ["me@example.org"]},
            "webhook": {"url": f"http://127.0.0.1:{smtp.port}/"},
            "handlers": [{"name": "pager", "path": str(handler)}],
        },
        "alertmanager": {"url": alertmanager.url}, "textfile": {"directory": str(textfiles)},
        # Nothing runs meanwhile but the daemon itself.
        "jobs": {job: {"enabled": False} for job in ("health_check", "log_rotation", "performance_report")},
    }  # fmt: skip
    for job in ("agent_monitor", "database_maintenance", "certificate_renewal", "security_scan", "backup_verification"):
        config["jobs"][job] = {"schedule": ["monthly on 1 at 03:00"]}
    daemon = ExporterDaemon(config)
    try:
        daemon.config_file.chmod(0o600)
        config["web"] = {"listen_address": f"127.0.0.1:{daemon.port}"}
        before = everything(daemon.base_dir, postgres_server, redis_server, docker_clean)
        code, checks, printed = doctor(daemon.base_dir, config)
        assert (code, faults(checks)) == (0, {})
        daemon.config_file.write_text(json.dumps(config))
        done = subprocess.run(
            command_line("doctor", "--config.file", str(daemon.config_file)),
            env=environment_of(daemon.base_dir), capture_output=True, text=True, timeout=HANG_SECONDS,
        )  # fmt: skip
        assert (done.returncode, done.stdout.splitlines()[-1][:14]) == (0, "Nothing to do:"), done.stdout
        assert everything(daemon.base_dir, postgres_server, redis_server, docker_clean) == before
        assert (smtp.mails, alertmanager.alerts()) == ([], [])
    finally:
        for service in (daemon, smtp, reader, alertmanager):
            service.close()
    for name in ("docker:endpoints", "postgres:main", "postgres:main:programs", "redis", "ollama", "endpoints:itself"):
        assert state(checks, name) == "good"
    for name in ("agents:sutazai-doctored", "mail", "webhook", "handlers:pager", "alertmanager", "textfile", "daemon"):
        assert state(checks, name) == "good"
    assert "POST restart" in checks["docker:endpoints"]["detail"]
    assert postgres_server.password not in printed


def everything(base: Path, postgres: PostgresServer, redis: RedisServer, docker: DockerEngine) -> tuple[Any, ...]:
    """All that a command could have changed: files, databases and roles, keys and settings, containers."""
    ours = ("data/sutazai.db-", "dashboard")  # the daemon itself writes them meanwhile
    files = {name: told for name, told in tree_digest(base).items() if not name.startswith(ours)}
    with redis.client() as client:
        kept = (client.dbsize(), client.config_get("*"))
    return (
        files,
        postgres.execute("SELECT datname FROM pg_database ORDER BY 1"),
        postgres.execute("SELECT rolname FROM pg_roles ORDER BY 1"),
        postgres.execute("SELECT name, setting FROM pg_settings ORDER BY 1"),
        kept,
        [(one.id, one.attrs["State"], one.attrs["RestartCount"]) for one in docker.client.containers.list(all=True)],
    )


def test_what_is_stopped_is_named_and_hides_nothing_else(base: Path, http_agent: Callable[..., HttpAgent]) -> None:
    with closing(PostgresServer()) as stopped, closing(RedisServer()) as redis, silent() as nobody:
        config = {
            **{"docker": {"url": f"tcp://127.0.0.1:{nobody.port}"}, "redis": {"url": redis.url}},
            "postgres": {"dsn": stopped.dsn, "servers": [{"name": "second", "dsn": stopped.dsn_of("postgres")}]},
            "ollama": {"url": nobody.url},
            "endpoints": [{"name": "alive", "url": http_agent().url}, {"name": "dumb", "url": nobody.url}],
            "notifications": {
                "mail": {"host": "127.0.0.1", "port": nobody.port, "recipients": ["me@example.org"]},
                "webhook": {"url": f"https://127.0.0.1:{nobody.port}/"},
            },
            "alertmanager": {"url": nobody.url},
            "agents": {"listed": [{"name": "mute", "port": nobody.port}]},
        }
        stopped.pause()
        redis.pause()
        try:
            code, checks, printed = doctor(base, config, "--timeout", "9")
        finally:
            stopped.resume()
            redis.resume()
    assert code == 1
    for name in ("postgres:main", "postgres:second", "redis", "docker", "ollama", "endpoints:dumb", "mail", "webhook"):
        assert state(checks, name) == "broken", name
        assert checks[name]["remedy"], name
    for name in ("postgres:main", "redis", "docker", "alertmanager"):
        assert "within" in checks[name]["detail"] or "answer" in checks[name]["detail"]
    assert state(checks, "agents:mute") in ("broken", "unknown")
    assert state(checks, "endpoints:alive") == "good"
    assert stopped.password not in printed
    assert (redis.password or "?") not in printed


def test_a_wrong_password_is_told_with_the_place_for_the_right_one(
    base: Path, postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    postgres_server.execute("DROP ROLE IF EXISTS plain")
    postgres_server.execute("CREATE ROLE plain LOGIN PASSWORD 'canary-right'")
    wrong = f"postgresql://plain:canary-wrong@127.0.0.1:{postgres_server.port}/sutazai"
    config = {
        **NOWHERE,
        "postgres": {
            "dsn": wrong,
            "servers": [{"name": "limited", "dsn": wrong.replace("canary-wrong", "canary-right")}],
        },
        "redis": {"url": redis_server.url_without_password, "password": "canary-redis"},
    }
    try:
        code, checks, printed = doctor(base, config, "--only", "postgres", "--only", "redis")
    finally:
        postgres_server.execute("DROP ROLE plain")
    assert (code, state(checks, "postgres:main"), state(checks, "redis")) == (1, "broken", "broken")
    assert "secrets_secure/postgres__password" in checks["postgres:main"]["remedy"]
    assert "secrets_secure/redis__password" in checks["redis"]["remedy"]
    assert state(checks, "postgres:limited") == "good"
    assert checks["postgres:limited:rights"]["remedy"] == "psql -c 'GRANT pg_monitor TO \"plain\"'"
    assert "canary" not in printed


def test_a_socket_proxy_is_told_what_it_must_let_through(base: Path, docker_clean: DockerEngine) -> None:
    container = docker_clean.run(AGENT_IMAGE, "watched", command=["sleep", "600"])
    with socket_proxy(docker_clean.socket, lambda method, path: method == "GET") as proxy:
        config: dict[str, Any] = {"docker": {"url": f"tcp://127.0.0.1:{proxy.port}"}}
        _, checks, _ = doctor(base, config, "--only", "docker")
        assert "restarting agents" in checks["docker:POST-restart"]["detail"]
        assert "not POST kill, POST exec, which nothing here needs" in checks["docker:endpoints"]["detail"]
        config["jobs"] = {"agent_monitor": {"enabled": False}}
        code, checks, _ = doctor(base, config, "--only", "docker")
        assert (code, faults(checks)) == (0, {})
    with socket_proxy(docker_clean.socket, lambda method, path: path == "/version") as proxy:
        _, checks, _ = doctor(base, {"docker": {"url": f"tcp://127.0.0.1:{proxy.port}"}}, "--only", "docker")
        assert {"docker:GET-containers", "docker:GET-events", "docker:GET-info"} <= faults(checks).keys()
    container.reload()
    assert (container.status, container.attrs["RestartCount"]) == ("running", 0)


def test_missing_tools_are_named(base: Path, tmp_path: Path) -> None:
    config = {
        **NOWHERE,
        "jobs": {
            "security_scan": {
                "containers": {"trivy": {"program": "trivy-nowhere"}},
                "code": {"semgrep": "/no/semgrep"},
            },
            "certificate_renewal": {"services": [{"command": ["reload-nothing"]}]},
        },
    }
    empty = tmp_path / "empty"
    empty.mkdir()
    before = tree_digest(base)
    _, checks, _ = doctor(base, config, env={"PATH": str(empty)})
    assert tree_digest(base) == before
    for name in ("trivy", "semgrep", "certificates:reload-nothing"):
        assert state(checks, name) == "missing", name
    for name in ("schedule:crontab", "schedule:systemctl"):
        assert state(checks, name) == "not configured", name
    _, checks, _ = doctor(base, NOWHERE, "--only", "trivy", "--only", "semgrep", env={"PATH": str(empty)})
    assert {one["state"] for one in checks.values()} == {"not configured"}


def test_semgrep_says_its_version(base: Path, semgrep: str) -> None:
    config = {**NOWHERE, "jobs": {"security_scan": {"code": {"semgrep": semgrep}}}}
    _, checks, _ = doctor(base, config, "--only", "semgrep", "--timeout", "100")
    assert (state(checks, "semgrep"), checks["semgrep"]["detail"][:8]) == ("good", "Semgrep ")


def test_mail_is_not_sent_and_a_server_that_cannot_take_it_is_told(base: Path, tmp_path: Path) -> None:
    mail: dict[str, Any] = {"host": "127.0.0.1", "recipients": ["me@example.org"]}
    authority = make_ca()
    pair = make(ca=authority)
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem)
    with closing(SmtpSink("starttls", pair, {"me": "canary-good"})) as sink:
        good = {"port": sink.port, "ca_file": str(tmp_path / "ca.pem"), "host": "localhost", "username": "me"}
        config = {"notifications": {"mail": {**mail, **good, "password": "canary-good"}}}
        _, checks, _ = doctor(base, config, "--only", "mail")
        assert (state(checks, "mail"), "STARTTLS, me may log in" in checks["mail"]["detail"]) == ("good", True)
        config = {"notifications": {"mail": {**mail, **good, "password": "canary-bad"}}}
        _, checks, printed = doctor(base, config, "--only", "mail")
        assert (state(checks, "mail"), "canary" in printed) == ("broken", False)
        assert sink.mails == []
    with closing(SmtpSink()) as plain:
        _, checks, _ = doctor(base, {"notifications": {"mail": {**mail, "port": plain.port}}}, "--only", "mail")
        assert "does not offer STARTTLS" in checks["mail"]["detail"]
        assert "notify --test" in checks["mail"]["remedy"]


# The base directory and what is in it


def test_a_file_system_that_became_read_only_is_no_matter_of_rights(tmp_path: Path) -> None:
    base = tmp_path / "base"
    with ext4() as mount:
        base.symlink_to(mount)
        Store(mount / "data" / "sutazai.db").close()
        make_read_only(mount)
        _, told, _ = doctor(base, NOWHERE, "--only", "base-directory", "--only", "store")
    for name in ("base-directory", "store"):
        assert (told[name]["state"], "that is read-only" in told[name]["detail"]) == ("broken", True)
        assert told[name]["remedy"].endswith(f"mount -o remount,rw {mount}")


def test_a_damaged_store_and_one_of_a_newer_version(base: Path) -> None:
    store = base / "data" / "sutazai.db"
    Store(store).close()
    assert state(doctor(base, NOWHERE, "--only", "store")[1], "store") == "good"
    whole = store.read_bytes()
    store.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    before = tree_digest(base)
    _, checks, _ = doctor(base, NOWHERE, "--only", "store")
    assert (state(checks, "store"), "mv " in checks["store"]["remedy"]) == ("broken", True)
    assert tree_digest(base) == before
    store.write_bytes(whole)
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA user_version = 99")
    _, checks, _ = doctor(base, NOWHERE, "--only", "store")
    assert "written by a newer version" in checks["store"]["detail"]


def test_the_log_that_a_killed_daemon_leaves_is_not_touched(base: Path) -> None:
    script = "import os, sys, pathlib, exporter.store as s; s.Store(pathlib.Path(sys.argv[1])); os._exit(0)"
    store = base / "data" / "sutazai.db"
    subprocess.run([sys.executable, "-c", script, str(store)], env=environment_of(base), check=True, timeout=60)
    assert store.with_name("sutazai.db-wal").exists()
    before = tree_digest(base)
    _, checks, _ = doctor(base, NOWHERE, "--only", "store")
    assert state(checks, "store") == "good", checks
    assert tree_digest(base) == before
    store.with_name("sutazai.db-shm").unlink()
    before = tree_digest(base)
    _, checks, _ = doctor(base, NOWHERE, "--only", "store")
    assert state(checks, "store") == "unknown"
    assert tree_digest(base) == before


def test_a_daemon_of_another_version_and_one_that_does_not_answer(base: Path) -> None:
    (base / "data").mkdir()
    lock = FileLock(base / "data" / "daemon.lock", "pid 1")

    def serve(connection: Any, closed: Any) -> None:
        path = read_request(connection)[1]
        build = b'sutazai_build_info{python="3",version="0.0.9"} 1\n'
        connection.sendall(answer(build if path == "/metrics" else b"ok"))

    try:
        with TcpServer(serve) as other:
            config = {**NOWHERE, "web": {"listen_address": f"127.0.0.1:{other.port}"}}
            _, checks, _ = doctor(base, config, "--only", "daemon")
        assert "version 0.0.9 is running" in checks["daemon"]["detail"]
        assert state(checks, "daemon:metrics") == "broken"
        assert "is not OpenMetrics that Prometheus can read: Missing # EOF" in checks["daemon:metrics"]["detail"]
        _, checks, _ = doctor(base, config, "--only", "daemon")
        assert "connection refused" in checks["daemon"]["detail"]
    finally:
        lock.release()
    with silent() as somebody:
        config = {**NOWHERE, "web": {"listen_address": f"127.0.0.1:{somebody.port}"}}
        _, checks, _ = doctor(base, config, "--only", "daemon")
    assert state(checks, "daemon") in ("missing", "broken")


def test_a_daemon_is_asked_where_it_says_that_it_is(exporter_daemon: Callable[..., ExporterDaemon]) -> None:
    daemon = exporter_daemon({**NOWHERE, **NO_JOBS})
    _, checks, _ = doctor(daemon.base_dir, {**NOWHERE, "web": {"listen_address": "127.0.0.1:9"}}, "--only", "daemon")
    assert state(checks, "daemon") == state(checks, "daemon:metrics") == "good", checks
    assert f":{daemon.port}" in checks["daemon"]["detail"]
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        _, checks, _ = doctor(daemon.base_dir, NOWHERE, "--only", "daemon", "--timeout", "3")
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    assert state(checks, "daemon") == "broken"
    assert f"does not answer at {daemon.url}" in checks["daemon"]["detail"]


@pytest.fixture
def open_base() -> Iterator[Path]:
    """A base directory that other users can reach."""
    directory = private_directory("doctor")
    directory.chmod(0o755)
    (directory / "base").mkdir()
    yield directory / "base"
    remove_directory(directory)


def test_a_daemon_behind_a_web_configuration(tmp_path: Path) -> None:
    authority = make_ca()
    make(ca=authority).write(tmp_path)
    (tmp_path / "cert.pem").chmod(0o644)
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem)
    web, port = tmp_path / "web.yml", free_port()
    pair: dict[str, Any] = {"cert_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}
    wanted = {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": str(tmp_path / "ca.pem")}
    config = {**NOWHERE, **NO_JOBS, "web": {"config_file": str(web), "listen_address": f"127.0.0.1:{port}"}}

    def told(base: Path) -> Checks | None:
        _, checks, _ = doctor(base, config, "--only", "daemon", "--only", "web-configuration")
        return checks if state(checks, "daemon") == "good" else None

    for tls, says in ((pair, "is ready at https"), ({**pair, **wanted}, "nobody in without a certificate")):
        write_config(web, {"tls_server_config": tls}).chmod(0o600)
        daemon = ExporterDaemon(config, port=port, wait=False)
        try:
            daemon.wait_log("msg=serving", 60)
            checks = wait_for(partial(told, daemon.base_dir), 60, "the daemon is good", detail=daemon.log)
        finally:
            daemon.close()
        assert checks and says in checks["daemon"]["detail"], checks
        if "is ready" in says:
            assert state(checks, "daemon:metrics") == "good", checks
        assert "TLS, no users" in checks["web-configuration"]["detail"]
    write_config(web, {})
    turning = ExporterDaemon(config, port=port)
    try:
        write_config(web, {"tls_server_config": pair})
        checks = wait_for(partial(told, turning.base_dir), 60, "the daemon is good", detail=turning.log)
        assert checks and "is ready at https" in checks["daemon"]["detail"], checks
    finally:
        turning.close()
    write_config(web, {"tls_server_config": {**pair, "key_file": "gone.pem"}})
    _, checks, _ = doctor(tmp_path / "base", config, "--only", "web-configuration")
    assert "key_file" in checks["web-configuration"]["detail"]


def test_another_user_is_told_what_is_not_theirs(
    open_base: Path, docker_engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_root("becoming somebody else")
    monkeypatch.setenv("SUTAZAI_BASE_DIR", str(open_base))
    monkeypatch.setenv("SUTAZAI_DOCKER__URL", docker_engine.url)
    names = ("base-directory", "docker", "rights", "store")
    patient, checks = patient_of(None, 15), [check for check in CHECKS if check.name in names]
    # Once as root: what is loaded then need not be readable for the other one.
    assert {entry.state for entry in examine(patient, checks, 15, time.monotonic)} <= set(FINE)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        fresh = replace(patient, clients=patient_of(None, 15).clients)
        os.write(writing, json.dumps([asdict(one) for one in examine(fresh, checks, 15, time.monotonic)]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answers:
        told = {one["name"]: one for one in json.loads(answers.read())}
    assert os.waitpid(pid, 0)[1] == 0
    assert "nobody cannot write it" in told["base-directory"]["detail"]
    assert told["docker"]["state"] == State.BROKEN
    assert "usermod -aG docker nobody" in told["docker"]["remedy"]
    assert "user 65534" in told["rights"]["detail"]


def test_a_base_directory_that_is_closed_to_us_is_one_line(open_base: Path) -> None:
    need_root("becoming somebody else")
    (open_base / "secrets_secure").mkdir(mode=0o700)
    for closed in (open_base / "secrets_secure", open_base):
        closed.chmod(0o700)
        pid = os.fork()
        if pid == 0:
            os.setgid(65534)
            os.setuid(65534)
            found = patient_of(None, 15) if os.environ.setdefault("SUTAZAI_BASE_DIR", str(open_base)) else None
            os._exit(0 if found and "Permission denied" in " ".join(found.problems) else 1)
        assert os.waitpid(pid, 0)[1] == 0, closed


def test_a_configuration_that_shows_its_secrets(base: Path) -> None:
    config = {**NOWHERE, "redis": {"url": "redis://:canary-x@127.0.0.1:1/0"}}
    _, _, printed = doctor(base, config, "--only", "configuration", mode=0o646)
    file = base.parent / "exporter.yml"
    remedies = printed.count("chmod 0600"), printed.count("chmod go-w")
    assert remedies == (1, 1)
    assert "canary" not in printed
    file.write_text("web: {listen_adress: x}\nredis: {url: 5}\n")
    done = run_here("doctor", "--config.file", str(file), base_dir=base)
    assert done.returncode == 1
    assert "did you mean 'listen_address'?" in done.stdout
    assert "everything else" in done.stdout


def test_what_is_to_be_typed_about_the_textfile_directory_can_be_typed(base: Path, tmp_path: Path) -> None:
    for path, remedy in (("a b/c", "sudo mkdir -p '{}'"), ("file", "set textfile.directory to one")):
        (tmp_path / "file").touch()
        _, checks, _ = doctor(base, {"textfile": {"directory": str(tmp_path / path)}}, "--only", "textfile")
        assert checks["textfile"]["remedy"] == remedy.format(tmp_path / path)


def test_the_textfile_directory_that_nobody_reads(base: Path, tmp_path: Path) -> None:
    for name in ("read", "other"):
        (tmp_path / name).mkdir()
    with closing(NodeExporter(tmp_path / "read")):
        _, checks, _ = doctor(base, {"textfile": {"directory": str(tmp_path / "other")}}, "--only", "textfile")
        assert f"does not read {tmp_path / 'other'} but " in checks["textfile"]["detail"]
        (tmp_path / "link").symlink_to(tmp_path / "read")
        _, checks, _ = doctor(base, {"textfile": {"directory": str(tmp_path / "link")}}, "--only", "textfile")
        assert state(checks, "textfile") == "good"
    _, checks, _ = doctor(base, {"textfile": {"directory": str(tmp_path / "gone")}}, "--only", "textfile")
    assert state(checks, "textfile") == "missing"


def test_certificates_that_cannot_be_used(base: Path) -> None:
    (base / "ssl").mkdir()
    make().write(base / "ssl")
    (base / "ssl" / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nnone\n-----END PRIVATE KEY-----\n")
    config = {"jobs": {"certificate_renewal": {"files": [{"path": "ssl/gone.pem"}]}}}
    _, checks, _ = doctor(base, config, "--only", "certificates")
    assert state(checks, "certificates:ssl/cert.pem") == "broken"
    assert state(checks, "certificates:ssl/gone.pem") == "missing"


def test_without_a_package_that_it_needs_it_says_which(base: Path, tmp_path: Path) -> None:
    shadow = tmp_path / "shadow" / "cryptography"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("raise ImportError('No module named cryptography')\n")
    environment = environment_of(base)
    environment["PYTHONPATH"] = f"{shadow.parent}:{environment['PYTHONPATH']}"
    done = subprocess.run(command_line("doctor"), env=environment, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert (done.returncode, done.stderr.count("\n")) == (69, 1), done.stderr
    assert "No module named cryptography" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--only", "dockr"], "did you mean 'docker'?"),
        (["--only", "redis:x"], "nothing is called"),
        (["--timeout", "0"], "range"),
    ],
)
def test_wrong_usage(base: Path, arguments: list[str], says: str) -> None:
    done = run_here("doctor", *arguments, base_dir=base)
    assert (done.returncode, says in done.stderr) == (64, True), done.stderr
