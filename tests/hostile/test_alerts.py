"""Requests to the intake of alerts that want to break, fill or misuse it."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from exporter.web.api.handlers.alerts import MAX_WAITING
from tests.services.exporter_daemon import NO_JOBS, ExporterDaemon
from tests.services.http_agent import HttpAgent
from tests.services.sent_alerts import PATH, kept, post, refused, sent, webhook
from tests.services.trial_jobs import operator
from tests.services.wait import wait_for

CONFIG = {
    **NO_JOBS,
    "agents": {"listed": [], "discover": False},
    "web": {"header_timeout_seconds": 1, "body_timeout_seconds": 1},
}


@pytest.fixture(scope="module")
def daemon() -> Iterator[ExporterDaemon]:
    running = ExporterDaemon(CONFIG)
    yield running
    running.close()


@pytest.fixture(scope="module")
def headers(daemon: ExporterDaemon) -> dict[str, str]:
    return operator(daemon, "alert")


@pytest.fixture(autouse=True)
def unharmed(daemon: ExporterDaemon, headers: dict[str, str]) -> Iterator[None]:
    """Whatever a test has sent, the next alert is taken in, and nothing went wrong inside."""
    before = len(daemon.log())
    yield
    assert post(daemon, headers, sent(time.monotonic_ns())).json() == {"accepted": 1, "duplicates": 0}
    assert "Traceback" not in daemon.log()[before:]


def head(headers: dict[str, str], *more: str) -> bytes:
    """A request's head, but for its last blank line."""
    lines = [f"POST {PATH} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *more]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "".join(f"{line}\r\n" for line in lines).encode()


def raw(daemon: ExporterDaemon, request: bytes) -> bytes:
    """Everything that is answered until the server ends the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=30) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(request)
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(1 << 16):
                received += chunk
    return received


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def send(daemon: ExporterDaemon, headers: dict[str, str], body: bytes, **more: str) -> tuple[int, str]:
    answer = daemon.post(PATH, data=body, headers={**headers, "Content-Type": "application/json", **more})
    return answer.status_code, answer.json().get("detail", "")


def mine(daemon: ExporterDaemon, number: int) -> bool:
    return f"{number:016x}" in {fingerprint for fingerprint, *_ in kept(daemon)}


# Bodies


def beside(value: bytes) -> bytes:
    """A body that would be right but for this value under a key that nobody reads."""
    return json.dumps(webhook([sent(1)])).encode()[:-1] + b', "x": ' + value + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 20_000, b'{"a":' * 100_000, b"[" * 1_000_000, beside(b"[" * 20_000),
        beside(b"[" * 20_000 + b"]" * 20_000),
        beside(b"NaN"), beside(b"Infinity"), beside(b"9" * 100_000), beside(b'{"a": 1, "a": 2}'), beside(b'"\xff"'),
        b'{"version": "3", ' + json.dumps(webhook([sent(1)])).encode()[1:], beside(b"1") + b"x", beside(b"\x00"),
        json.dumps(webhook([sent(1), sent(2, labels={"a": 1})])).encode(),
        json.dumps(webhook([sent(1), sent(2, startsAt="9" * 100_000)])).encode(),
        json.dumps(webhook([sent(1), sent(2, fingerprint="' OR 1=1 --")])).encode(),
        json.dumps(webhook([sent(1), sent(2, labels={f"l{n}": "" for n in range(20_000)})])).encode(),
        json.dumps(webhook([sent(1)])).encode("utf-16"),
    ],
)  # fmt: skip
def test_a_body_that_is_not_right_is_400_in_one_line_and_nothing_of_it_is_kept(
    daemon: ExporterDaemon, headers: dict[str, str], body: bytes
) -> None:
    status, detail = send(daemon, headers, body)
    assert status == 400
    assert detail and detail.isprintable() and len(detail) < 200
    assert not mine(daemon, 1) and not mine(daemon, 2)


@pytest.mark.parametrize(
    "value", [b"1e999", b"-1E+400", b"123456789012345678901234567890", b'"\\ud800"', b"[[[[{}]]]]"]
)
def test_what_nobody_reads_does_no_harm(daemon: ExporterDaemon, headers: dict[str, str], value: bytes) -> None:
    number = time.monotonic_ns()
    body = beside(value).replace(f"{1:016x}".encode(), f"{number:016x}".encode())
    assert send(daemon, headers, body)[0] == 200
    assert mine(daemon, number)


def test_a_compressed_body_is_refused_and_never_unpacked(daemon: ExporterDaemon, headers: dict[str, str]) -> None:
    bomb = gzip.compress(b" " * (100 << 20), 1)
    assert len(bomb) < 1 << 20
    process = psutil.Process(daemon.pid)
    before = process.memory_info().rss
    for encoding in ("gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", "x"):
        status, detail = send(daemon, headers, bomb, **{"Content-Encoding": encoding})
        assert (status, detail) == (415, "the body must not be compressed")
    assert send(daemon, headers, bomb)[0] == 400
    assert process.memory_info().rss - before < 32 << 20


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_beyond_the_limit_is_413(daemon: ExporterDaemon, headers: dict[str, str], framing: str) -> None:
    body = json.dumps(webhook([sent(1, annotations={"text": "x" * (1 << 20)})])).encode()
    if framing == "length":
        request = head(headers, f"Content-Length: {len(body)}") + b"\r\n" + body
    else:
        request = head(headers, "Transfer-Encoding: chunked") + b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    assert statuses(raw(daemon, request))[:1] == [413]
    assert not mine(daemon, 1)


def test_a_body_just_below_the_limit_is_taken(daemon: ExporterDaemon, headers: dict[str, str]) -> None:
    number = time.monotonic_ns()
    body = json.dumps(webhook([sent(number, annotations={"text": "x" * ((1 << 20) - 2000)})])).encode()
    assert send(daemon, headers, body)[0] == 200


def test_a_body_in_small_chunks_is_taken(daemon: ExporterDaemon, headers: dict[str, str]) -> None:
    number = time.monotonic_ns()
    body = json.dumps(webhook([sent(number)])).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    request = head(headers, "Transfer-Encoding: chunked", "Connection: close") + b"\r\n" + chunks + b"0\r\n\r\n"
    assert statuses(raw(daemon, request)) == [200]
    assert mine(daemon, number)


@pytest.mark.parametrize(
    "rest",
    [
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: -1\r\n\r\n", b"Content-Length: 99999999999999999999\r\n\r\n", b"Content-Length: \xb2\r\n\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    ],
    ids=repr,
)  # fmt: skip
def test_a_body_that_is_framed_wrongly_is_refused(daemon: ExporterDaemon, headers: dict[str, str], rest: bytes) -> None:
    assert set(statuses(raw(daemon, head(headers) + rest))) <= {400, 413}


@pytest.mark.parametrize("order", ["length first", "chunked first"])
def test_a_request_with_two_lengths_smuggles_nothing(
    daemon: ExporterDaemon, headers: dict[str, str], order: str
) -> None:
    body = json.dumps(webhook([sent(7777)])).encode()
    hidden = head(headers, f"Content-Length: {len(body)}") + b"\r\n" + body
    frames = ["Content-Length: 4", "Transfer-Encoding: chunked"]
    request = head(headers, *(frames if order == "length first" else reversed(frames))) + b"\r\n0\r\n\r\n" + hidden
    assert set(statuses(raw(daemon, request))) <= {400}
    assert not mine(daemon, 7777)


# Slow and many


def drip(connection: socket.socket, piece: bytes, seconds: float) -> bool:
    """Send a piece over and over, until the server has ended the connection; False if it never does."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while time.monotonic() < deadline:
        try:
            connection.sendall(piece)
        except OSError:
            return True
        pause.wait(0.05)
    return False


@pytest.mark.parametrize(
    ("frame", "piece"), [("Content-Length: 100000", b" "), ("Transfer-Encoding: chunked", b"1\r\n \r\n")]
)
def test_a_body_that_comes_byte_by_byte_is_ended_at_its_limit(
    daemon: ExporterDaemon, headers: dict[str, str], frame: str, piece: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=30) as slow:
        slow.sendall(head(headers, frame) + b"\r\n")
        assert drip(slow, piece, seconds=20)
    wait_for(lambda: refused(daemon)["incomplete"] > 0, 20, "it is counted")


def test_slow_bodies_leave_a_place_to_whoever_comes_again(daemon: ExporterDaemon, headers: dict[str, str]) -> None:
    """With a right token: without one nobody gets so far."""
    slow = []
    try:
        for _ in range(MAX_WAITING):
            slow.append(socket.create_connection(("127.0.0.1", daemon.port), timeout=30))
            slow[-1].sendall(head(headers, "Content-Length: 1000") + b"\r\n{")
        answer = post(daemon, headers, sent(1))
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) > 0
        else:  # they had been ended before we came
            assert answer.status_code == 200
        wait_for(lambda: post(daemon, headers, sent(8888)).status_code == 200, 30, "an alert gets in")
    finally:
        for connection in slow:
            connection.close()
    with contextlib.closing(socket.create_connection(("127.0.0.1", daemon.port), timeout=30)) as stranger:
        stranger.sendall(head({}, "Content-Length: 1000") + b"\r\n{")
        assert statuses(stranger.recv(1 << 16)) == [401]


# Texts


HOSTILE = [
    "<script>alert(1)</script>", "'; DROP TABLE alerts; --", "$(touch /tmp/x)", "{{ 7*7 }}", "../../etc/passwd",
    "\x1b]0;owned\x07", "\ud800", "a\x00b", "\u202egnp.exe", "%s%n", "\n\nlevel=error msg=forged",
]  # fmt: skip


def test_hostile_texts_come_back_as_texts_and_nowhere_else(daemon: ExporterDaemon, headers: dict[str, str]) -> None:
    number = time.monotonic_ns()
    texts = {f"t{place}": text for place, text in enumerate(HOSTILE)}
    assert post(daemon, headers, sent(number, labels=texts, annotations=texts)).status_code == 200
    answer = daemon.get(f"{PATH}?limit=1")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    (entry,) = answer.json()["alerts"]
    for place, text in enumerate(HOSTILE):
        clean = re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", "\ufffd", text)
        assert entry["labels"][f"t{place}"] == entry["annotations"][f"t{place}"] == clean
    assert "<script" not in daemon.get("/metrics").text
    assert "forged" not in daemon.log()


def test_no_address_in_an_alert_is_asked(
    daemon: ExporterDaemon, headers: dict[str, str], http_agent: Callable[..., HttpAgent]
) -> None:
    trap = http_agent()
    number = time.monotonic_ns()
    addresses: dict[str, Any] = dict.fromkeys(("generatorURL", "silenceURL", "dashboardURL", "imageURL"), trap.url)
    alert = sent(number, annotations={"runbook_url": trap.url, "summary": trap.url}, **addresses)
    body = {**webhook([alert]), "externalURL": trap.url}
    assert daemon.post(PATH, json=body, headers=headers).status_code == 200
    assert daemon.get(f"{PATH}?limit=5").status_code == 200
    assert trap.requests == []


def test_a_page_of_another_site_gets_nothing_in(daemon: ExporterDaemon, headers: dict[str, str]) -> None:
    origin = {"Origin": "http://evil.example", "Cookie": "a=b"}
    body = json.dumps(webhook([sent(9999)])).encode()
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert daemon.post(PATH, data=body, headers={**origin, "Content-Type": content_type}).status_code == 401
        given = {**origin, **headers, "Content-Type": content_type}
        assert daemon.post(PATH, data=body, headers=given).status_code == 415
    assert not mine(daemon, 9999)
