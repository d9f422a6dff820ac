"""Who is let in no more hears no more, whatever he does to stay."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.services.certificates import make_ca
from tests.services.secure_daemon import SecureDaemon
from tests.services.trial_jobs import TrialPackage
from tests.services.wait import wait_for
from tests.services.web_pki import PASSWORDS, WebPki, tls, users

VERIFIED = {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "clients.pem"}
LISTEN = b"GET /api/v1/events HTTP/1.1\r\nHost: exporter.example\r\n%s\r\n"
REQUEST = b"GET /-/healthy HTTP/1.1\r\nHost: exporter.example\r\n\r\n"
OVER_SECONDS = 60


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> WebPki:
    made = WebPki(tmp_path_factory.mktemp("pki"))
    (made.directory / "clients.pem").write_bytes(made.ca.cert_pem)
    return made


@pytest.fixture(scope="module")
def server(pki: WebPki, package: TrialPackage) -> Iterator[SecureDaemon]:
    with SecureDaemon(pki, package, tls()) as running:
        yield running


class Visitor:
    """A listener on a connection of his own, of which `heard` is what came."""

    def __init__(self, server: SecureDaemon, *, name: str = "", certificate: Path | None = None) -> None:
        context = ssl.create_default_context(cafile=str(server.pki.ca_file))
        if certificate:
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        raw = socket.create_connection(("127.0.0.1", server.daemon.port), timeout=OVER_SECONDS)
        self.socket = context.wrap_socket(raw, server_hostname="localhost")
        credentials = base64.b64encode(f"{name}:{PASSWORDS[name]}".encode()) if name else b""
        self.socket.sendall(LISTEN % (b"Authorization: Basic %s\r\n" % credentials if name else b""))
        self.heard = b""
        self.is_over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        wait_for(lambda: b"event: status" in self.heard, 30, "he is told the status")

    def _read(self) -> None:
        with suppress(OSError):
            while piece := self.socket.recv(65536):
                self.heard += piece
        self.is_over.set()

    def close(self) -> None:
        self.socket.close()
        self._thread.join(30)


def test_a_user_who_is_taken_away_is_let_go_and_the_others_are_not(server: SecureDaemon) -> None:
    server.use({**tls(), **users("alice", "bob")})
    bob, clinging = Visitor(server, name="bob"), Visitor(server, name="bob")
    server.use({**tls(), **users("alice")})
    alice = Visitor(server, name="alice")
    # A further request on the connection makes his answer no younger.
    clinging.socket.sendall(REQUEST)
    for visitor in (bob, clinging):
        assert visitor.is_over.wait(OVER_SECONDS), visitor.heard[-300:]
        visitor.close()
    assert not alice.is_over.is_set()
    alice.close()


def test_a_certificate_whose_authority_is_taken_away_hears_no_more(server: SecureDaemon, pki: WebPki) -> None:
    server.use(tls(**VERIFIED))
    visitor = Visitor(server, certificate=pki.directory / "alice.pem")
    (pki.directory / "clients.pem").write_bytes(make_ca().cert_pem)
    assert visitor.is_over.wait(OVER_SECONDS), visitor.heard[-300:]
    visitor.close()
