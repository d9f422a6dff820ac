"""A daemon with a web configuration file, asked by a real curl: TLS, client certificates, users, headers, limits."""

from __future__ import annotations

import http.client
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.services.exporter_daemon import REPOSITORY, run_cli
from tests.services.secure_daemon import READ_ANEW, SecureDaemon
from tests.services.trial_jobs import TASK, TrialPackage
from tests.services.wait import wait_for
from tests.services.web_pki import WebPki, curl, tls, users, write_web_config

CA = {"client_ca_file": "ca.pem"}
VERIFY = {"client_auth_type": "RequireAndVerifyClientCert", **CA}
OLD = ["--ciphers", "DEFAULT@SECLEVEL=0"]
ELSEWHERE = ["-H", "Host: exporter.example"]
"""Not a name of this very machine: without being known, nobody may read by it."""
RUNS = "/api/v1/runs"
GOOD = "sutazai_web_config_last_reload_successful"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> TrialPackage:
    return TrialPackage(tmp_path_factory.mktemp("package") / "package")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> WebPki:
    return WebPki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def server(pki: WebPki, package: TrialPackage) -> Iterator[SecureDaemon]:
    """One daemon for all tests, which have it serve by one file after the other."""
    running = SecureDaemon(pki, package, tls())
    yield running
    assert "Traceback" not in running.daemon.log()
    running.close()


# TLS


def test_only_the_versions_that_are_asked_for_are_spoken(server: SecureDaemon) -> None:
    def spoken() -> set[str]:
        tried = {"1.0", "1.1", "1.2", "1.3"}
        return {v for v in tried if server.ask("/metrics", f"--tlsv{v}", "--tls-max", v, *OLD).status == 200}

    server.use(tls())
    assert spoken() == {"1.2", "1.3"}
    server.use(tls(min_version="TLS13"))
    assert spoken() == {"1.3"}
    server.use(tls(max_version="TLS12"))
    assert spoken() == {"1.2"}
    server.use(tls(min_version="TLS10", max_version="TLS11"))
    assert spoken() == {"1.0", "1.1"}


def test_only_the_ciphers_and_the_curve_that_are_asked_for_are_used(server: SecureDaemon) -> None:
    suite = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
    server.use(tls(cipher_suites=[suite], curve_preferences=["CurveP521"]))
    older = ["--tls-max", "1.2", "--ciphers"]
    assert server.ask("/metrics", *older, "ECDHE-ECDSA-CHACHA20-POLY1305").status == 200
    assert server.ask("/metrics", *older, "ECDHE-ECDSA-AES128-GCM-SHA256").code == 35
    assert server.ask("/metrics", "--curves", "P-521").status == 200
    assert server.ask("/metrics", "--curves", "X25519").code == 35
    server.use(tls(cipher_suites=["TLS_AES_128_GCM_SHA256"]))
    assert server.ask("/metrics").status == 200
    assert server.ask("/metrics", "--tls-max", "1.2").code == 35


def test_certificate_and_key_may_stand_in_the_file(server: SecureDaemon) -> None:
    made = server.pki.server
    server.use({"tls_server_config": {"cert": made.cert_pem.decode(), "key": made.key_pem.decode()}})
    assert server.metrics().value(GOOD) == 1
    assert made.key_pem.decode().splitlines()[1] not in server.daemon.log()


def test_a_plain_request_to_the_tls_port_is_told_what_go_tells(server: SecureDaemon) -> None:
    server.use(tls())
    answer = server.ask("/metrics", scheme="http")
    assert (answer.status, answer.text) == (400, "Client sent an HTTP request to an HTTPS server.\n")


def test_a_client_that_wants_http2_is_served_in_http1(server: SecureDaemon) -> None:
    server.use({**tls(), "http_server_config": {"http2": True}})
    answer = server.ask("/metrics", "--http2")
    assert (answer.status, answer.protocol) == (200, "HTTP/1.1")


# Client certificates


def test_without_a_client_certificate_nobody_comes_in(server: SecureDaemon) -> None:
    server.use(tls(**VERIFY))
    alice, stranger = server.pki.files("alice"), server.pki.files("stranger")
    for path in ("/metrics", "/-/healthy", RUNS):
        for arguments in ([], stranger, [*stranger, "--tls-max", "1.2"]):
            answer = server.ask(path, *arguments)
            assert (answer.status, answer.code) == (0, answer.code)
            assert answer.code in (35, 52, 55, 56), answer.error
        assert server.ask(path, *alice).status == 200
    assert server.ask(RUNS, *alice, *ELSEWHERE).status == 200


def test_a_certificate_that_may_be_given_is_verified_and_lets_read(server: SecureDaemon) -> None:
    server.use(tls(client_auth_type="VerifyClientCertIfGiven", **CA))
    assert server.ask("/metrics").status == 200
    assert server.ask(RUNS).status == 200  # from this machine
    assert server.ask(RUNS, *ELSEWHERE).status == 401
    assert server.ask(RUNS, *ELSEWHERE, *server.pki.files("alice")).status == 200
    assert server.ask("/metrics", *server.pki.files("stranger")).status == 0
    start = server.ask(f"/api/v1/tasks/{TASK}/start", "-X", "POST", *server.pki.files("alice"))
    assert start.status == 401


@pytest.mark.parametrize("kind", ["", "NoClientCert", "RequestClientCert"])
def test_a_certificate_that_is_not_asked_for_opens_nothing(server: SecureDaemon, kind: str) -> None:
    server.use(tls(client_auth_type=kind))
    for files in ("alice", "stranger"):
        assert server.ask("/metrics", *server.pki.files(files)).status == 200
        assert server.ask(RUNS, *ELSEWHERE, *server.pki.files(files)).status == 401


def test_any_certificate_is_taken_as_a_verified_one(server: SecureDaemon) -> None:
    server.use(tls(client_auth_type="RequireAnyClientCert", **CA))
    assert "is taken as RequireAndVerifyClientCert" in server.daemon.log()
    assert server.ask("/metrics").status == 0
    assert server.ask("/metrics", *server.pki.files("stranger")).status == 0
    assert server.ask("/metrics", *server.pki.files("alice")).status == 200


@pytest.mark.parametrize(("sans", "comes_in"), [("alice.example", True), ("192.0.2.1", True), ("lice.example", False)])
def test_only_the_names_that_are_allowed_come_in(server: SecureDaemon, sans: str, comes_in: bool) -> None:
    server.use(tls(**VERIFY, client_allowed_sans=["other.example", sans]))
    assert (server.ask("/metrics", *server.pki.files("alice")).status == 200) is comes_in
    if not comes_in:
        assert 'msg="a client certificate has none of client_allowed_sans" client=alice' in server.daemon.log()


def test_certificate_and_password_are_both_needed_where_both_are_configured(server: SecureDaemon) -> None:
    server.use({**tls(**VERIFY), **users("bob")})
    assert server.ask("/metrics", user="bob").status == 0
    assert server.ask("/metrics", *server.pki.files("alice")).status == 401
    assert server.ask("/metrics", *server.pki.files("alice"), user="bob").status == 200


# Read anew


def test_a_file_that_is_broken_changes_nothing_and_shows(server: SecureDaemon) -> None:
    server.use({**tls(), **users("alice")})
    failed = 'msg="web configuration not read anew: the last good one stays"'
    before = server.daemon.log().count(failed)
    write_web_config(server.file, "tls_server_config: [\n")
    wait_for(lambda: server.metrics(user="alice").value(GOOD) == 0, 30, "it shows that the file is broken")
    assert server.ask("/metrics").status == 401
    server.file.unlink()
    wait_for(lambda: server.daemon.log().count(failed) == before + 2, 30, "the file is missed")
    assert server.ask("/metrics", user="alice").status == 200
    server.use(tls())
    assert server.metrics().value(GOOD) == 1
    assert server.daemon.log().count(failed) == before + 2  # once for each state, not for each look


def test_a_pair_that_does_not_match_is_not_served(server: SecureDaemon) -> None:
    server.pki.issue("pair")
    server.use(tls(cert_file="pair.pem", key_file="pair.key"))
    (server.pki.directory / "pair.key").write_bytes((server.pki.directory / "alice.key").read_bytes())
    wait_for(lambda: server.metrics().value(GOOD) == 0, 30, "the pair is refused")
    assert "the key does not belong to the certificate" in server.daemon.log()
    before = server.daemon.log().count(READ_ANEW)
    server.pki.issue("pair")
    server.wait_read(before + 1)
    assert server.metrics().value(GOOD) == 1


def test_tls_can_be_taken_away_and_given_back(server: SecureDaemon) -> None:
    server.use(users("alice"))
    assert server.ask("/metrics", user="alice").status == 0
    assert server.ask("/metrics", scheme="http", user="alice").status == 200
    assert server.ask("/metrics", scheme="http").status == 401
    server.use("")
    assert server.ask("/metrics", scheme="http").status == 200
    server.use(tls())
    assert server.ask("/metrics").status == 200
    assert server.ask("/metrics", scheme="http").status == 400


def test_who_was_let_in_by_other_tls_settings_does_not_stay(server: SecureDaemon) -> None:
    server.use(tls())
    context = ssl.create_default_context(cafile=str(server.pki.ca_file))
    with closing(http.client.HTTPSConnection("localhost", server.daemon.port, context=context, timeout=20)) as kept:
        kept.connect()
        server.use(tls(**VERIFY))
        assert wait_for(lambda: kept.sock.recv(1) == b"", 20, "the connection is ended")


# Before serving


@pytest.mark.parametrize("command", [["check-config"], ["serve"]])
def test_what_cannot_be_used_is_told_before_anything_is_served(pki: WebPki, tmp_path: Path, command: list[str]) -> None:
    config = {"tls_server_config": {"cert_file": "server.pem", "key_file": "alice.key"}, "basic_auth_users": {"a": "b"}}
    file = write_web_config(pki.directory / "bad.yml", config)
    base = tmp_path / "base"
    run = run_cli(*command, base_dir=base, config={"web": {"config_file": str(file)}})
    assert run.returncode == 78
    users_line, pair_line = run.stderr.splitlines()[-2:]
    assert f"{file}: basic_auth_users.a: is no bcrypt hash; make one with 'htpasswd" in users_line
    assert f"{file}: tls_server_config: certificate and key cannot be used: the key does not belong" in pair_line
    assert not (base / "data").exists()


def test_files_that_others_can_read_or_change_are_told_of(pki: WebPki, tmp_path: Path) -> None:
    file = write_web_config(pki.directory / "open.yml", tls(**VERIFY, key_file="open.key"))
    pki.ca_file.chmod(0o664)
    (pki.directory / "open.key").write_bytes((pki.directory / "server.key").read_bytes())
    file.chmod(0o666)
    (pki.directory / "open.key").chmod(0o644)
    run = run_cli("check-config", base_dir=tmp_path / "base", config={"web": {"config_file": str(file)}})
    pki.ca_file.chmod(0o644)
    assert run.returncode == 0
    assert run.stderr.splitlines() == [
        f"sutazai-exporter: warning: {file}: other users can change {file}; "
        "give it to root or to the exporter, with mode 0640",
        f"sutazai-exporter: warning: {file}: other users can change {pki.ca_file}; "
        "give it to root or to the exporter, with mode 0640",
        f"sutazai-exporter: warning: {file}: every user can read the private key in {pki.directory}/open.key; "
        "give it mode 0640",
    ]


def test_health_paths_may_be_open_to_all_and_a_flag_names_the_file(package: TrialPackage, pki: WebPki) -> None:
    from tests.services.exporter_daemon import ExporterDaemon
    from tests.services.trial_jobs import work

    file = write_web_config(pki.directory / "plain.yml", users("alice"))
    daemon = ExporterDaemon(
        work(web={"health_without_authentication": True}),
        environment=package.environment,
        arguments=["--web.config.file", str(file)],
    )
    try:
        assert curl(f"{daemon.url}/-/healthy").status == 200
        assert curl(f"{daemon.url}/metrics").status == 401
        assert curl(f"{daemon.url}/metrics", user="alice").status == 200
        assert daemon.stop() == 0
    finally:
        daemon.close()


def test_nothing_of_it_is_loaded_where_there_is_no_such_file() -> None:
    modules = "exporter.app, exporter.daemon, exporter.web.server, exporter.web.api.application"
    mine = "('bcrypt', 'exporter.web.door', 'exporter.web.connections.front', 'exporter.web.web_config')"
    script = f"import sys, {modules}; import exporter.web.connections.protocol\n"
    script += f"print([name for name in {mine} if name in sys.modules])"
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert run.stdout.strip() == "[]", run.stderr
