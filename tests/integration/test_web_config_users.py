"""Users, headers and the rate limit of a web configuration file, asked by a real curl."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.services.secure_daemon import SecureDaemon
from tests.services.trial_jobs import TASK, TrialPackage, operator
from tests.services.web_pki import PASSWORDS, WebPki, hashed, tls, users

ELSEWHERE = ["-H", "Host: exporter.example"]
"""Not a name of this very machine: without being known, nobody may read by it."""
RUNS = "/api/v1/runs"
UNREADABLE = ["Basic !!!", "Basic", "Basic YWxpY2U=", "Digest x", "Basic " + "A" * 60_000]


@pytest.fixture(scope="module")
def server(pki: WebPki, package: TrialPackage) -> Iterator[SecureDaemon]:
    """One daemon for all tests, which have it serve by one file after the other."""
    with SecureDaemon(pki, package, tls()) as running:
        yield running


# Users


def test_users_with_their_passwords_come_in_everywhere(server: SecureDaemon) -> None:
    server.use({**tls(), **users("alice", "bob")})
    for path in ("/metrics", "/", "/-/healthy", RUNS, "/nothing"):
        asked = [server.ask(path, user=user) for user in ("", "alice:wrong", "carol:x", "alice:", ":")]
        asked += [server.ask(path, "-H", f"Authorization: {header}") for header in UNREADABLE]
        for answer in asked:
            assert answer.status in (401, 429)
            if answer.status == 401:
                assert answer.headers["www-authenticate"][0].startswith("Basic realm=")
                assert answer.headers["content-type"] == ["application/problem+json"]
        for name in PASSWORDS:
            assert server.ask(path, user=name).status == (404 if path == "/nothing" else 200)
    assert server.ask("/metrics", "-I").text == ""
    for password in PASSWORDS.values():
        assert password not in server.daemon.log()


def test_passwords_are_bytes_and_longer_ones_than_bcrypt_reads_are_cut_as_in_go(server: SecureDaemon) -> None:
    names = {"zoë": hashed("pässwörd", prefix=b"2y"), "long": hashed("x" * 72, prefix=b"2a"), "empty": hashed("")}
    server.use({**tls(), "basic_auth_users": names})
    assert server.ask("/metrics", user="zoë:pässwörd").status == 200
    assert server.ask("/metrics", user="long:" + "x" * 100).status == 200
    assert server.ask("/metrics", user="long:" + "x" * 71).status in (401, 429)
    assert server.ask("/metrics", user="empty:").status == 200
    assert server.ask("/metrics", user="zoë:" + "y" * 20_000).status in (401, 429)


def test_a_user_may_read_and_operates_with_a_token(server: SecureDaemon) -> None:
    server.use({**tls(), **users("alice")})
    assert server.ask(RUNS, *ELSEWHERE, user="alice").status == 200
    start = [f"/api/v1/tasks/{TASK}/start", "-X", "POST", "-H", "Content-Type: application/json"]
    refused = server.ask(*start, user="alice")
    assert refused.status == 401
    assert "a token with the scope 'operate'" in refused.text
    token = f"Authorization: {operator(server.daemon)['Authorization']}"
    assert server.ask(*start, "-H", token).status == 202
    assert server.ask("/metrics", "-H", token).status == 200


def test_a_token_that_is_wrong_or_for_alerts_alone_does_not_open_the_door(server: SecureDaemon) -> None:
    server.use({**tls(), **users("alice")})
    wrong = server.ask("/metrics", "-H", "Authorization: Bearer wrong")
    assert wrong.status in (401, 429)
    assert wrong.status == 429 or wrong.headers["www-authenticate"] == ["Bearer"]
    alert = f"Authorization: {operator(server.daemon, 'alert')['Authorization']}"
    assert server.ask("/metrics", "-H", alert).status == 401
    assert server.ask("/api/v1/alerts", "-X", "POST", "-H", alert, "-d", "x").status not in (401, 429)


def test_a_user_is_added_and_taken_away_without_a_restart(server: SecureDaemon) -> None:
    server.use({**tls(), **users("alice")})
    context = ssl.create_default_context(cafile=str(server.pki.ca_file))
    with closing(http.client.HTTPSConnection("localhost", server.daemon.port, context=context, timeout=20)) as kept:

        def status() -> int:
            kept.request("GET", "/-/healthy", headers={"Authorization": "Basic Ym9iOmJhdHRlcnkgc3RhcGxl"})
            answer = kept.getresponse()
            answer.read()
            return answer.status

        assert status() in (401, 429)
        server.use({**tls(), **users("alice", "bob")})
        assert status() == 200
        connection = kept.sock
        server.use({**tls(), **users("alice")})
        assert status() in (401, 429)
        assert kept.sock is connection  # nothing about TLS has changed: the connection is kept


# Headers and the rate


def test_configured_headers_are_on_every_answer_once(server: SecureDaemon) -> None:
    configured = {
        "X-Frame-Options": "deny", "Strict-Transport-Security": "max-age=60", "X-XSS-Protection": 1,
        "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'self'",
    }  # fmt: skip
    server.use({**tls(), **users("alice"), "http_server_config": {"headers": configured}})
    for path, user in (("/metrics", "alice"), ("/metrics", ""), ("/nothing", "alice"), ("/", "alice"), (RUNS, "alice")):
        headers = server.ask(path, user=user).headers
        for name, value in configured.items():
            if name != "Content-Security-Policy":
                assert headers[name.lower()] == [str(value)], (path, name)
        policies = headers["content-security-policy"]
        assert policies[-1] == "default-src 'self'"
        assert policies[:-1] == [policy for policy in policies[:-1] if policy.startswith("default-src 'none'")]
    server.use({**tls(), "http_server_config": {"headers": {"Strict-Transport-Security": ""}}})
    assert "strict-transport-security" not in server.ask("/metrics").headers


def test_more_requests_than_the_limit_allows_are_429_until_it_is_lifted(server: SecureDaemon) -> None:
    server.use({**tls(), "rate_limit": {"interval": "1h", "burst": 3}})
    assert [server.ask("/metrics").status for _ in range(5)] == [200, 200, 200, 429, 429]
    assert server.ask("/metrics").headers["retry-after"] == ["3600"]
    server.use(tls())
    assert server.ask("/metrics").status == 200
