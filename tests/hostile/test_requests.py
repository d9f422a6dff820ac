"""Requests that try to get at what they should not: paths, tokens, names, other sites."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest
import requests

from tests.services.exporter_daemon import ExporterDaemon
from tests.services.trial_jobs import TASK, TrialPackage, operator, work

START = f"/api/v1/tasks/{TASK}/start"
READ = "/api/v1/runs"
REFUSED = (401, 429)
"""After some wrong tokens of one address the next ones are put off."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExporterDaemon]:
    package = TrialPackage(tmp_path_factory.mktemp("package") / "package")
    running = ExporterDaemon(work(), environment=package.environment)
    (running.base_dir / "secret.txt").write_text("canary-file")
    yield running
    running.close()


@pytest.fixture(autouse=True)
def unharmed(daemon: ExporterDaemon) -> Iterator[None]:
    before, ran = len(daemon.log()), runs(daemon)
    yield
    assert "Traceback" not in daemon.log()[before:]
    assert runs(daemon) == ran


def runs(daemon: ExporterDaemon) -> float:
    return sum(sample.value for sample in daemon.metrics().samples("sutazai_task_runs_total"))


def raw(daemon: ExporterDaemon, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=20) as connection:
        connection.sendall(request)
        received = b""
        while chunk := connection.recv(1 << 16):
            received += chunk
    return received


def status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(found[1]) if found else 0


# Paths


@pytest.mark.parametrize(
    "path",
    ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "//etc/passwd", "/metrics/../secret.txt",
     "/secret.txt", "/%00", "/metrics%00", "/api/v1/tasks/..%2f..%2fx/start", "/api/v1/../../secret.txt",
     "/%ff%fe", "/\xff",
     "/" + "a" * 8000, "/;/..;/secret.txt", "/.git/config", "/\\..\\secret.txt", "http://evil.example/secret.txt"],
    ids=lambda path: repr(path)[:40],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_path_leads_to_a_file(daemon: ExporterDaemon, path: str, method: str) -> None:
    answer = raw(daemon, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1"))
    assert status(answer) in (400, 401, 404, 405), answer[:300]
    assert b"canary-file" not in answer
    assert b"root:" not in answer


# Tokens


def authorized(daemon: ExporterDaemon, path: str, header: str | bytes | None, method: str = "POST") -> int:
    headers = {} if header is None else {"Authorization": header}
    url = daemon.url + path
    return requests.request(method, url, json={}, headers=headers, timeout=20).status_code  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic YTpi", "Bearer " + "x" * 20_000, "Bearer \xe9\xff",
     b"Bearer \xff\xfe\xfa", "bearer\twrong", "Token wrong", "Bearer wrong, Bearer other"],
    ids=lambda header: repr(header)[:30],
)  # fmt: skip
def test_without_the_right_token_nothing_is_done(daemon: ExporterDaemon, header: str | bytes | None) -> None:
    operator(daemon)
    for path in (START, "/-/reload", "/api/v1/agents/x/release"):
        assert authorized(daemon, path, header) in REFUSED
    answer = daemon.post(START, json={})
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "sutazai-exporter token create --name NAME --scope operate" in answer.json()["detail"]


def test_a_wrong_token_is_worse_than_none(daemon: ExporterDaemon) -> None:
    """From this machine everybody may read; but who shows a token must show a right one."""
    assert authorized(daemon, READ, None, "GET") == 200
    assert authorized(daemon, READ, "Bearer wrong", "GET") in REFUSED


def test_a_token_to_read_does_not_operate(daemon: ExporterDaemon) -> None:
    header = operator(daemon, "read")["Authorization"]
    assert authorized(daemon, READ, header, "GET") == 200
    assert authorized(daemon, START, header) == 401


def test_a_token_in_the_address_counts_for_nothing(daemon: ExporterDaemon) -> None:
    secret = operator(daemon)["Authorization"].removeprefix("Bearer ")
    for query in (f"token={secret}", f"access_token={secret}", f"authorization=Bearer%20{secret}"):
        assert authorized(daemon, f"{START}?{query}", None) == 401


# Other sites in a browser on this machine


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:10042", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example@localhost",
     "", "[", "[::1", "a b", "0x7f.1", "2130706433", "\xe9", "localhost,evil.example", "0.0.0.0", "192.0.2.1"],
)  # fmt: skip
def test_a_name_that_was_pointed_at_us_reads_nothing(daemon: ExporterDaemon, host: str) -> None:
    request = f"GET {READ} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("latin-1")
    assert status(raw(daemon, request)) in (400, 401)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Real-IP", "127.0.0.1"),
        ("Forwarded", "for=127.0.0.1"),
        ("Via", "1.1 proxy"),
    ],
)
def test_what_a_proxy_on_this_machine_passes_on_reads_nothing(daemon: ExporterDaemon, header: str, value: str) -> None:
    assert daemon.get("/api/v1/runs", headers={header: value}).status_code == 401


def test_a_request_without_a_host_reads_nothing(daemon: ExporterDaemon) -> None:
    assert status(raw(daemon, f"GET {READ} HTTP/1.0\r\n\r\n".encode())) == 401


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "127.0.0.5", "localhost:80"])
def test_our_own_names_read(daemon: ExporterDaemon, host: str) -> None:
    request = f"GET {READ} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    assert status(raw(daemon, request)) == 200


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"mode=full"),
        ("text/plain", b"{}"),
        ("multipart/form-data; boundary=x", b"--x--"),
        ("", b"{}"),
        ("application/json-patch+json", b"{}"),
        ("text/plain; application/json", b"{}"),
    ],
)
def test_what_a_form_on_another_site_can_send_starts_nothing(
    daemon: ExporterDaemon, content_type: str, body: bytes
) -> None:
    headers = {"Content-Type": content_type, "Origin": "http://evil.example", "Cookie": "a=b"}
    assert daemon.post(START, data=body, headers=headers).status_code == 401
    # Not even with a token that a page has got hold of in some other way.
    assert daemon.post(START, data=body, headers={**headers, **operator(daemon)}).status_code == 415


def test_no_page_of_another_site_is_let_in_by_cors(daemon: ExporterDaemon) -> None:
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = requests.options(daemon.url + START, headers=asked, timeout=10)
    assert answer.status_code == 405
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


def test_nothing_of_a_request_is_shown_as_markup(daemon: ExporterDaemon) -> None:
    markup = "<script>alert(1)</script>"
    for answer in (
        daemon.get(f"/{markup}"),
        daemon.get(f"{READ}?task={markup}"),
        daemon.post(f"/api/v1/tasks/{markup}/start", json={}, headers=operator(daemon)),
    ):
        assert "html" not in answer.headers["content-type"]
        assert answer.headers["x-content-type-options"] == "nosniff"
