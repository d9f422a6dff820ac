"""Webhooks, to a real server: what is posted, how it is signed, and what its answers mean."""

from __future__ import annotations

import hashlib
import hmac
import ssl
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from exporter.bridge.model import Message, News
from exporter.bridge.outgoing.channels.base import Delayed, Receipt, Refused
from exporter.bridge.outgoing.channels.build import channel
from jobs.core.model import Severity
from tests.services.certificates import make, make_ca
from tests.services.messages import AT, configured, message
from tests.services.ports import free_port
from tests.services.webhook_sink import Answer, WebhookSink
from tests.stand_ins import TcpServer, endless, silent

TOKEN, SECRET = "canary-token", "canary-of-sixteen-letters"
URL_KEY = "canary-Of-24-letters-000"


class Sending:
    """Sends through the webhook of a configuration."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self, url: str, told: Message | None = None, **webhook: Any) -> Receipt:
        settings = configured(self._directory, {"notifications": {"webhook": {"url": url, **webhook}}}).settings
        return channel("webhook", settings).send(told or message(), AT)


@pytest.fixture
def send(tmp_path: Path) -> Sending:
    return Sending(tmp_path)


def test_the_guides_fields_stand_at_the_top_and_the_rest_says_more(hook: WebhookSink, send: Sending) -> None:
    assert send(hook.url) == Receipt(f"http://127.0.0.1:{hook.port} answered 204")
    (post,) = hook.posts
    assert post.path == "/hook"
    assert post.document == {
        "event": "agent_problem_opened",
        "status": "CRITICAL",
        "timestamp": "2026-03-02T12:00:00+00:00",
        "version": 1,
        "id": "a" * 32,
        "thread": "a" * 32,
        "news": "opened",
        "type": "agent",
        "severity": "critical",
        "host": "host1",
        "task": "agent-monitor",
        "summary": "agent/orchestrator: restarted 3 times within an hour",
        "duration_seconds": None,
        "report": "",
        "problems": [
            {
                "task": "agent-monitor",
                "kind": "quarantined",
                "subject": "agent/orchestrator",
                "severity": "critical",
                "message": "restarted 3 times within an hour",
                "remedy": "see its log",
                "event": "agent",
                "mode": "full",
                "opened": "2026-03-02T12:00:00+00:00",
            }
        ],
    }


def test_a_run_that_is_complete_has_the_event_of_the_guide(hook: WebhookSink, send: Sending) -> None:
    told = message(
        news=News.COMPLETED, event="health", task="health-check", status="HEALTHY", problems=(), severity=Severity.INFO
    )
    send(hook.url, told)
    document = hook.posts[0].document
    assert (document["event"], document["status"]) == ("health_check_completed", "HEALTHY")


def test_the_headers_say_who_sends_what_and_which_repetition_it_is(hook: WebhookSink, send: Sending) -> None:
    send(hook.url, token=TOKEN, hmac_secret=SECRET)
    post = hook.posts[0]
    assert post.headers["authorization"] == f"Bearer {TOKEN}"
    assert post.headers["content-type"] == "application/json"
    assert post.headers["idempotency-key"] == "a" * 32
    stamp = post.headers["x-sutazai-timestamp"]
    assert stamp == str(int(AT.timestamp()))
    expected = hmac.new(SECRET.encode(), stamp.encode() + b"." + post.body, hashlib.sha256).hexdigest()
    assert post.headers["x-sutazai-signature"] == f"sha256={expected}"


def test_the_signature_is_verified_as_the_documentation_says(hook: WebhookSink, send: Sending) -> None:
    send(hook.url, hmac_secret=SECRET)
    page = (Path(__file__).resolve().parents[2] / "docs" / "notification-channels.md").read_text()
    names: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], names)
    post, sent = hook.posts[0], AT.timestamp()
    signed = post.headers["x-sutazai-timestamp"], post.headers["x-sutazai-signature"]
    assert names["is_genuine"](SECRET, *signed, post.body, sent + 5)
    assert not names["is_genuine"]("another secret of ours", *signed, post.body, sent + 5)
    assert not names["is_genuine"](SECRET, *signed, post.body + b" ", sent + 5)
    assert not names["is_genuine"](SECRET, *signed, post.body, sent + 3600)


def test_without_secrets_nothing_is_signed_and_nobody_is_named(hook: WebhookSink, send: Sending) -> None:
    send(hook.url)
    assert not {"authorization", "x-sutazai-signature", "x-sutazai-timestamp"} & hook.posts[0].headers.keys()


@pytest.mark.parametrize("status", [401, 408, 425, 429, 500, 502, 503])
def test_what_may_work_later_is_tried_again(hook: WebhookSink, send: Sending, status: int) -> None:
    hook.answer = Answer(status, body=b"not now\nplease")
    with pytest.raises(Delayed, match=f"http://127.0.0.1:{hook.port} answered {status}: not now please"):
        send(hook.url)


@pytest.mark.parametrize("status", [400, 403, 404, 410, 413, 422])
def test_what_will_never_be_taken_is_given_up(hook: WebhookSink, send: Sending, status: int) -> None:
    hook.answer = Answer(status, body=b'{"error": "unknown event"}')
    with pytest.raises(Refused, match=f'answered {status}: {{"error": "unknown event"}}'):
        send(hook.url)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("120", 120.0),
        ("Mon, 02 Mar 2026 12:05:00 GMT", 300.0),
        ("Mon, 02 Mar 2026 11:00:00 GMT", 0.0),
        ("99999999999999999999", 6 * 3600.0),
        ("Tue, 02 Mar 2100 12:05:00 GMT", 6 * 3600.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("\u0663", None),
    ],
)
def test_retry_after_is_honoured_within_reason(
    hook: WebhookSink, send: Sending, retry_after: str, seconds: float | None
) -> None:
    hook.answer = Answer(429, {"Retry-After": retry_after.encode().decode("latin-1")})
    with pytest.raises(Delayed) as caught:
        send(hook.url)
    assert caught.value.retry_after_seconds == seconds


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_told_and_not_followed(hook: WebhookSink, send: Sending, status: int) -> None:
    inner = WebhookSink()
    try:
        hook.answer = Answer(status, {"Location": inner.url})
        with pytest.raises(Delayed, match=f"answered {status} and points to {inner.url}; nothing is followed"):
            send(hook.url, token=TOKEN)
        assert (len(hook.posts), inner.posts) == (1, [])
    finally:
        inner.close()


@pytest.mark.parametrize("path", [f"/services/T01/{URL_KEY}", "/my-topic", f"/flow?sig={URL_KEY * 12}"])
@pytest.mark.parametrize("status", [302, 308, 404, 500])
def test_of_the_url_only_the_server_is_told_whatever_that_says(
    hook: WebhookSink, send: Sending, path: str, status: int
) -> None:
    server = f"127.0.0.1:{hook.port}"
    hook.answer = Answer(
        status, {"Location": path if status == 308 else f"https://{server}{path}"}, f"cannot POST {path} here".encode()
    )
    with pytest.raises((Refused, Delayed)) as caught:
        send(f"http://{server}{path}")
    assert hook.posts[0].path == path
    told = str(caught.value)
    assert told.startswith(f"http://{server} answered {status}")
    assert path[1:13] not in told
    assert path[-12:] not in told


def test_a_slow_answer_counts_as_none(hook: WebhookSink, send: Sending) -> None:
    hook.answer = Answer(delay_seconds=60)
    began = time.monotonic()
    with pytest.raises(Delayed, match=r"no full answer within 0\.5 s"):
        send(hook.url, timeout_seconds=0.5)
    assert time.monotonic() - began < 30


def test_of_a_huge_answer_little_is_read(hook: WebhookSink, send: Sending) -> None:
    hook.answer = Answer(400, body=b"x" * (8 << 20))
    with pytest.raises(Refused) as caught:
        send(hook.url)
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize(
    "handler", [silent, endless(b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n"), endless(b"", b"\x00\xff")]
)
def test_a_server_that_speaks_no_http_or_never_ends_is_tried_again(send: Sending, handler: Any) -> None:
    with TcpServer(handler) as server, pytest.raises(Delayed):
        send(f"{server.url}/hook", timeout_seconds=0.5)


def test_nobody_listening_is_said_without_the_path_which_may_be_a_secret(send: Sending) -> None:
    port = free_port()
    with pytest.raises(Delayed) as caught:
        send(f"http://127.0.0.1:{port}/services/T000/canary")
    assert str(caught.value) == f"http://127.0.0.1:{port}: connection refused"


def test_no_proxy_of_the_environment_is_used(hook: WebhookSink, send: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    send(hook.url)
    assert len(hook.posts) == 1


@pytest.mark.parametrize(("name", "trusted"), [("127.0.0.1", True), ("127.0.0.1", False), ("elsewhere.example", True)])
def test_a_server_must_prove_who_it_is(send: Sending, tmp_path: Path, name: str, trusted: bool) -> None:
    authority = make_ca()
    make((name,), ca=authority).write(tmp_path)
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    hook = WebhookSink(tls=context)
    given = {"ca_file": str(tmp_path / "ca.pem")} if trusted else {}
    try:
        if trusted and name == "127.0.0.1":
            send(hook.url, token=TOKEN, **given)
            assert hook.posts[0].headers["authorization"] == f"Bearer {TOKEN}"
        else:
            with pytest.raises(Delayed, match=f"https://127.0.0.1:{hook.port}: TLS: "):
                send(hook.url, token=TOKEN, **given)
            assert hook.posts == []
    finally:
        hook.close()


def test_times_have_their_zone(hook: WebhookSink, send: Sending) -> None:
    send(hook.url, message(at=AT + timedelta(microseconds=5)))
    assert hook.posts[0].document["timestamp"] == "2026-03-02T12:00:00+00:00"
