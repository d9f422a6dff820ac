"""What real servers serve: TLS at once, PostgreSQL and mail after STARTTLS."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.clients.errors import ClientError
from jobs.clients.tls import Served, served_certificate
from tests.services.certificates import Made, make, make_ca
from tests.services.ports import free_port
from tests.services.postgres import PostgresServer
from tests.services.tls_server import TlsServer


def served(port: int, protocol: str = "tls", ca_file: Path | None = None, name: str = "localhost") -> Served:
    return served_certificate(
        "127.0.0.1", port, protocol=protocol, server_name=name, ca_file=ca_file, timeout_seconds=10
    )


@pytest.fixture
def pair(tmp_path: Path) -> Made:
    return make().write(tmp_path)


def server(tmp_path: Path, **options: Any) -> TlsServer:
    return TlsServer(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path, **options)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_tls_server_tells_its_certificate(tmp_path: Path, pair: Made, version: ssl.TLSVersion) -> None:
    with server(tmp_path, maximum=version) as one:
        found = served(one.port)
    assert found.facts.fingerprint == pair.fingerprint
    assert found.version == version.name.replace("_", ".")
    assert found.distrust == "self-signed certificate"


def test_a_certificate_of_a_given_ca_is_trusted_and_of_another_not(tmp_path: Path) -> None:
    ca, other = make_ca().write(tmp_path / "ca"), make_ca().write(tmp_path / "other")
    assert ca.fingerprint != other.fingerprint
    made = make(ca=ca).write(tmp_path)
    with server(tmp_path) as one:
        assert served(one.port, ca_file=tmp_path / "ca" / "cert.pem").distrust == ""
        found = served(one.port, ca_file=tmp_path / "other" / "cert.pem")
        with pytest.raises(ClientError, match=r"the CA file .* cannot be used"):
            served(one.port, ca_file=tmp_path / "none.pem")
    assert found.facts.fingerprint == made.fingerprint
    assert found.distrust


def test_expired_and_weak_certificates_are_seen_all_the_same(tmp_path: Path) -> None:
    made = make(rsa_bits=1024, days_left=-2).write(tmp_path)
    with server(tmp_path) as one:
        found = served(one.port)
    assert found.facts.fingerprint == made.fingerprint
    assert found.facts.weaknesses
    assert found.distrust


def test_a_mail_server_is_asked_with_starttls(tmp_path: Path, pair: Made) -> None:
    with server(tmp_path, smtp=True) as one:
        assert served(one.port, "smtp").facts.fingerprint == pair.fingerprint


def test_postgresql_is_asked_with_its_own_request(
    tmp_path: Path, pair: Made, postgres_factory: Callable[..., PostgresServer], postgres_server: PostgresServer
) -> None:
    private = Path(shutil.copytree(tmp_path, f"{postgres_server.directory}/tls-{free_port()}"))
    for file in (private, private / "cert.pem", private / "key.pem"):
        shutil.chown(file, "postgres", "postgres")
    secure = postgres_factory(ssl="on", ssl_cert_file=private / "cert.pem", ssl_key_file=private / "key.pem")
    assert served(secure.port, "postgres").facts.fingerprint == pair.fingerprint
    with pytest.raises(ClientError, match="PostgreSQL offers no TLS there"):
        served(postgres_server.port, "postgres")
    with pytest.raises(ClientError):
        served(secure.port, "tls")


def test_a_closed_port_and_an_unknown_host_are_told() -> None:
    port = free_port()
    with pytest.raises(ClientError, match=rf"^127.0.0.1:{port} is down: connection refused$"):
        served(port)
    with pytest.raises(ClientError, match=r"nowhere\.invalid:443: "):
        served_certificate("nowhere.invalid", 443, protocol="tls", server_name="x", ca_file=None, timeout_seconds=10)


def test_a_server_of_another_kind_is_no_tls_server(tmp_path: Path, pair: Made) -> None:
    with server(tmp_path) as one, pytest.raises(ClientError):
        served(one.port, "postgres")
