"""A real Prometheus scrapes over TLS, with a password and with a client certificate, while the certificate changes."""

from __future__ import annotations

import hashlib
import math
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.services.prometheus import Prometheus
from tests.services.secure_daemon import READ_ANEW, SecureDaemon
from tests.services.trial_jobs import TrialPackage
from tests.services.wait import wait_for
from tests.services.web_pki import PASSWORDS, WebPki, tls, users


def scraping_securely(server: SecureDaemon) -> dict[str, Any]:
    """A scrape each second by a password, and one by a client certificate."""
    directory = server.pki.directory
    common = {
        "scheme": "https",
        "static_configs": [{"targets": [f"localhost:{server.daemon.port}"]}],
    }
    trust = {"ca_file": str(server.pki.ca_file)}
    pair = {"cert_file": str(directory / "alice.pem"), "key_file": str(directory / "alice.key")}
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {
                "job_name": "password",
                "basic_auth": {"username": "bob", "password": PASSWORDS["bob"]},
                "tls_config": trust,
                **common,
            },
            {"job_name": "certificate", "tls_config": trust | pair, **common},
        ],
    }


def fingerprint(server: SecureDaemon) -> str:
    """The SHA-256 of the certificate that a new connection is given."""
    context = ssl.create_default_context(cafile=str(server.pki.ca_file))
    context.load_cert_chain(server.pki.directory / "alice.pem", server.pki.directory / "alice.key")
    address = ("127.0.0.1", server.daemon.port)
    with (
        socket.create_connection(address, timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        return hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()


def test_prometheus_scrapes_with_a_password_and_with_a_certificate_and_notices_no_rotation(
    tmp_path: Path, prometheus_factory: Callable[..., Prometheus]
) -> None:
    pki = WebPki(tmp_path / "pki")
    package = TrialPackage(tmp_path / "package")
    verify = {"client_auth_type": "VerifyClientCertIfGiven", "client_ca_file": "ca.pem"}
    server = SecureDaemon(pki, package, {**tls(**verify), **users("bob")})
    try:
        prometheus = prometheus_factory(scraping_securely(server))
        prometheus.wait_up("password")
        prometheus.wait_query('up{job="certificate"} == 0')  # it has no password
        server.use(tls(client_auth_type="RequireAndVerifyClientCert", client_ca_file="ca.pem"))
        prometheus.wait_up("certificate")
        prometheus.wait_query('up{job="password"} == 0')  # now it is the certificate that counts

        before, read = fingerprint(server), server.daemon.log().count(READ_ANEW)
        began, scrapes = time.time(), 'count_over_time(up{job="certificate"}[%ds])'
        fresh = pki.issue("server")
        wait_for(lambda: fingerprint(server) == fresh.fingerprint, 30, "the new certificate is served")
        assert fresh.fingerprint != before
        assert server.daemon.log().count(READ_ANEW) == read + 1
        prometheus.wait_query(scrapes % 60, lambda s: s and s[0][1] > time.time() - began + 3, 60)
        since = math.ceil(time.time() - began)
        assert prometheus.query(f'min_over_time(up{{job="certificate"}}[{since}s])')[0][1] == 1
        metrics = prometheus.query('sutazai_web_config_last_reload_successful{job="certificate"}')
        assert [value for _, value in metrics] == [1]
    finally:
        server.close()
