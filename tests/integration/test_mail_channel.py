"""Mail, to real servers: what they get, and what becomes of a mail that they do not take."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from exporter.bridge.model import Message, News
from exporter.bridge.outgoing.channels.base import Delayed, Receipt, Refused
from exporter.bridge.outgoing.channels.build import channel
from jobs.core.model import Severity
from tests.services.certificates import Made, make, make_ca
from tests.services.messages import AT, configured, message, problem
from tests.services.ports import free_port
from tests.services.smtp_sink import SmtpSink, talking_server
from tests.stand_ins import TcpServer, endless, silent

PASSWORD = "canary-in-the-coal-mine"
Sinks = Callable[..., SmtpSink]


@pytest.fixture
def sinks() -> Iterator[Sinks]:
    made: list[SmtpSink] = []

    def sink(*args: Any, **options: Any) -> SmtpSink:
        made.append(SmtpSink(*args, **options))
        return made[-1]

    yield sink
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def authority() -> Made:
    return make_ca()


@pytest.fixture(scope="module")
def pair(authority: Made) -> Made:
    return make(("127.0.0.1", "localhost"), ca=authority)


class Sending:
    """Sends through the mail channel of a configuration."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self, port: int, told: Message | None = None, **mail: Any) -> Receipt:
        usual = {"host": "127.0.0.1", "port": port, "security": "none", "recipients": ["ops@example.org"]}
        settings = configured(self._directory, {"notifications": {"mail": {**usual, **mail}}}).settings
        return channel("mail", settings).send(told or message(), AT)


@pytest.fixture
def send(tmp_path: Path) -> Sending:
    return Sending(tmp_path)


def ca_file(directory: Path, authority: Made) -> str:
    file = directory / "ca.pem"
    file.write_bytes(authority.cert_pem)
    return str(file)


# What arrives


def test_a_mail_has_text_and_html_and_the_headers_that_mail_programs_go_by(sinks: Sinks, send: Sending) -> None:
    sink = sinks()
    receipt = send(sink.port, recipients=["ops@example.org", "boss@example.org"])
    assert receipt == Receipt(f"127.0.0.1:{sink.port} took it for ops@example.org, boss@example.org")
    (mail,) = sink.mails
    assert (mail.sender, mail.recipients) == (
        "sutazai-exporter@host1.localdomain",
        ("ops@example.org", "boss@example.org"),
    )
    headers = mail.message
    assert headers["From"] == "sutazai-exporter@host1.localdomain"
    assert headers["To"] == "ops@example.org, boss@example.org"
    assert headers["Subject"] == "[critical] host1: agent/orchestrator: restarted 3 times within an hour"
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["Message-ID"] == f"<{'a' * 32}@host1.localdomain>"
    assert (headers["In-Reply-To"], headers["References"]) == (None, None)
    assert parsedate_to_datetime(headers["Date"]) == AT
    assert headers.get_content_type() == "multipart/alternative"
    for part in (mail.part("plain"), mail.part("html")):
        for told in ("agent/orchestrator", "restarted 3 times within an hour", "see its log", "CRITICAL", "host1"):
            assert told in part


def test_what_comes_later_of_a_problem_belongs_to_the_thread_that_opened_it(sinks: Sinks, send: Sending) -> None:
    sink = sinks()
    send(sink.port, message("b" * 32, thread="a" * 32, news=News.CLEARED))
    headers = sink.mails[0].message
    assert headers["Message-ID"] == f"<{'b' * 32}@host1.localdomain>"
    assert headers["In-Reply-To"] == headers["References"] == f"<{'a' * 32}@host1.localdomain>"
    assert headers["Subject"].startswith("[cleared] host1: ")


def test_a_repetition_has_the_same_id_and_the_same_date(sinks: Sinks, send: Sending) -> None:
    sink = sinks()
    send(sink.port)
    send(sink.port)
    first, second = (mail.message for mail in sink.mails)
    assert (first["Message-ID"], first["Date"]) == (second["Message-ID"], second["Date"])


@pytest.mark.parametrize("host", ["h" * 63 + ".example.org", "under_score", "läuft", "", "a..b"])
@pytest.mark.parametrize("identifier", ["a" * 32, "x" * 300, "ä b@c>"])
def test_ids_are_whole_and_plain_whatever_host_and_message_are_called(
    sinks: Sinks, send: Sending, host: str, identifier: str
) -> None:
    sink = sinks()
    send(sink.port, message("b" * 32, thread=identifier, host=host))
    head = sink.mails[0].content.partition(b"\r\n\r\n")[0]
    ids = re.findall(rb"(?m)^(?:Message-ID|In-Reply-To|References): (?:\r\n )?(\S+)\r$", head)
    assert len(ids) == 3
    assert all(re.fullmatch(rb"<[A-Za-z0-9_-]{1,36}@[A-Za-z0-9.-]{1,36}>", one) for one in ids)


@pytest.mark.parametrize(
    ("news", "status", "subject"),
    [
        (News.OPENED, "", "[critical] host1: it"),
        (News.WORSE, "", "[worse: critical] host1: it"),
        (News.REMINDER, "", "[still critical] host1: it"),
        (News.CLEARED, "", "[cleared] host1: it"),
        (News.COMPLETED, "HEALTHY", "[healthy] host1: it"),
        (News.COMPLETED, "", "[completed] host1: it"),
        (News.TEST, "", "[test] host1: it"),
    ],
)
def test_the_subject_says_what_has_happened(sinks: Sinks, send: Sending, news: News, status: str, subject: str) -> None:
    sink = sinks()
    send(sink.port, message(news=news, status=status, summary="it"))
    assert sink.mails[0].message["Subject"] == subject


def test_of_very_many_problems_the_first_are_told_and_the_rest_is_counted(sinks: Sinks, send: Sending) -> None:
    sink = sinks()
    send(sink.port, message(problems=tuple(problem(subject=f"agent/{n}") for n in range(130))))
    for part in (sink.mails[0].part("plain"), sink.mails[0].part("html")):
        assert "agent/99" in part
        assert "agent/100" not in part
        assert "And 30 more" in part


def test_admin_email_gets_the_mail_where_no_recipients_are_set(sinks: Sinks, tmp_path: Path) -> None:
    sink = sinks()
    mail = {"host": "127.0.0.1", "port": sink.port, "security": "none"}
    document = {"admin_email": "chief@example.org", "notifications": {"mail": mail}}
    channel("mail", configured(tmp_path, document).settings).send(message(), AT)
    assert sink.mails[0].recipients == ("chief@example.org",)


# Encryption and logging in


@pytest.mark.parametrize("mode", ["starttls", "tls"])
def test_an_encrypted_connection_is_used_to_log_in_and_send(
    mode: str, sinks: Sinks, send: Sending, pair: Made, authority: Made, tmp_path: Path
) -> None:
    sink = sinks(mode, pair, {"robot": PASSWORD})
    trusted = ca_file(tmp_path, authority)
    send(sink.port, security=mode, ca_file=trusted, username="robot", password=PASSWORD)
    assert [(mail.encrypted, mail.login) for mail in sink.mails] == [(True, "robot")]


@pytest.mark.parametrize("mode", ["starttls", "tls"])
@pytest.mark.parametrize("trusted", [True, False])
def test_a_server_that_cannot_prove_who_it_is_gets_no_password_and_no_mail(
    mode: str, trusted: bool, sinks: Sinks, send: Sending, pair: Made, authority: Made, tmp_path: Path
) -> None:
    stranger = make(("mail.elsewhere.example",), ca=authority) if trusted else pair
    sink = sinks(mode, stranger, {"robot": PASSWORD})
    given = {"ca_file": ca_file(tmp_path, authority)} if trusted else {}
    with pytest.raises(Delayed, match=rf"127\.0\.0\.1:{sink.port}: TLS: .*ca_file"):
        send(sink.port, security=mode, username="robot", password=PASSWORD, **given)
    assert sink.mails == []


def test_a_server_without_starttls_gets_nothing_in_plain_text(send: Sending) -> None:
    heard: list[bytes] = []

    def serve(connection: socket.socket, closing: object) -> None:
        connection.sendall(b"220 ready\r\n")
        while line := connection.recv(65536):
            heard.append(line)
            connection.sendall(b"250 AUTH PLAIN LOGIN\r\n")

    with TcpServer(serve) as server, pytest.raises(Delayed, match="does not offer STARTTLS, and nothing is sent in pl"):
        send(server.port, security="starttls", username="robot", password=PASSWORD)
    assert [line.split()[0] for line in heard] == [b"ehlo"]


def test_a_refused_password_is_no_word_on_the_message_and_is_not_shown(
    sinks: Sinks, send: Sending, pair: Made, authority: Made, tmp_path: Path
) -> None:
    sink = sinks("starttls", pair, {"robot": "another"})
    with pytest.raises(Delayed) as caught:
        send(
            sink.port,
            security="starttls",
            ca_file=ca_file(tmp_path, authority),
            username="robot",
            password=PASSWORD,
        )
    assert str(caught.value) == f"127.0.0.1:{sink.port} refuses 'robot' (535); check password"


def test_what_a_server_says_to_a_password_is_not_repeated(send: Sending) -> None:
    with talking_server(
        b"220 ready\r\n", b"250 AUTH PLAIN\r\n", b"535 no: AHJvYm90AGNhbmFyeS1pbi10aGUtY29hbC1taW5l\r\n"
    ) as server:
        with pytest.raises(Delayed) as caught:
            send(server.port, username="robot", password=PASSWORD)
        assert "AHJ" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_certificates_to_trust_that_are_not_there_are_named(
    send: Sending, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "trust.pem"
    if content:
        file.write_bytes(content)
    with pytest.raises(Delayed, match=r"trust\.pem: "):
        send(free_port(), security="tls", ca_file=str(file))


# What is not taken


def test_451_is_tried_again_and_550_is_not(sinks: Sinks, send: Sending) -> None:
    sink = sinks()
    sink.refuse_data = lambda mail: "451 4.7.1 greylisted"
    with pytest.raises(Delayed, match=r"451 4\.7\.1 greylisted"):
        send(sink.port)
    sink.refuse_data = lambda mail: "550 5.7.1 looks like spam"
    with pytest.raises(Refused, match=r"550 5\.7\.1 looks like spam"):
        send(sink.port)
    assert sink.mails == []


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        (["550 no such user", "550 no such user"], Refused),
        (["550 no such user", "450 later"], Delayed),
    ],
)
def test_it_is_given_up_only_if_every_recipient_is_refused_for_good(
    sinks: Sinks, send: Sending, replies: list[str], expected: type[Exception]
) -> None:
    sink = sinks()
    answers = dict(zip(["a@example.org", "b@example.org"], replies, strict=True))
    sink.refuse_recipient = answers.get
    with pytest.raises(expected, match=r"a@example\.org: 550 no such user; b@example\.org: "):
        send(sink.port, recipients=list(answers))


def test_one_refused_recipient_of_two_is_told_and_the_mail_counts_as_sent(sinks: Sinks, send: Sending) -> None:
    sink = sinks()
    sink.refuse_recipient = {"old@example.org": "550 no such user"}.get
    receipt = send(sink.port, recipients=["old@example.org", "ops@example.org"])
    assert receipt.doubt == "old@example.org: 550 no such user"
    assert [mail.recipients for mail in sink.mails] == [("ops@example.org",)]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((b"554 go away\r\n",), "does not serve: 554 go away"),
        ((b"220 ready\r\n", b"550 who\r\n", b"550 who\r\n"), "550 who"),
        ((b"HTTP/1.1 400 Bad Request\r\n",), "does not serve: -1"),
        ((b"220 ready\r\n", b"250 sink\r\n", b"x" * 20000 + b"\r\n"), "500 Line too long."),
        ((b"220 ready\r\n", b"250 sink\r\n", b"421 shutting down\r\n"), "421 shutting down"),
    ],
)
def test_a_server_that_does_not_work_is_tried_again(send: Sending, lines: tuple[bytes, ...], reason: str) -> None:
    with talking_server(*lines) as server, pytest.raises(Delayed) as caught:
        send(server.port)
    assert reason in str(caught.value)


def test_nobody_listening_is_said_so(send: Sending) -> None:
    port = free_port()
    with pytest.raises(Delayed, match=f"127.0.0.1:{port}: connection refused"):
        send(port)


@pytest.mark.parametrize(
    "server",
    [
        lambda: TcpServer(silent),
        lambda: talking_server(b"220 ready\r\n", b"250 sink\r\n", hang_after=1),
        lambda: talking_server(b"220 " + b"r" * 600 + b"\r\n", byte_seconds=0.1),
        lambda: TcpServer(endless(b"220 ready\r\n", b"250-and so on\r\n")),
    ],
    ids=["silent", "hanging", "dripping", "endless"],
)
@pytest.mark.parametrize("security", ["none", "tls"])
def test_a_server_that_hangs_or_drips_or_never_ends_takes_no_longer_than_the_limit(
    send: Sending, server: Callable[[], TcpServer], security: str
) -> None:
    began = time.monotonic()
    with server() as slow, pytest.raises(Delayed):
        send(slow.port, security=security, timeout_seconds=1)
    assert time.monotonic() - began < 20  # without a limit for the whole it would be a minute and more


def test_a_mail_that_was_taken_is_sent_even_if_the_server_never_says_goodbye(send: Sending) -> None:
    replies = (b"220 ready\r\n", b"250 sink\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go on\r\n", b"250 taken\r\n")
    with talking_server(*replies) as server:
        assert send(server.port, timeout_seconds=30).doubt == ""


# Hostile texts


def test_texts_with_line_ends_and_commas_add_no_header_and_no_recipient(sinks: Sinks, send: Sending) -> None:
    sink = sinks()
    evil = "fine\r\nBcc: thief@example.net\r\n\r\n.\r\nMAIL FROM:<x@y>, thief@example.net\n.\n"
    told = message(summary=evil, host="host1\r\nBcc: thief@example.net", problems=(problem(message=evil, remedy=evil),))
    send(sink.port, told)
    (mail,) = sink.mails
    assert mail.recipients == ("ops@example.org",)
    assert mail.message["Bcc"] is None
    assert mail.message["To"] == "ops@example.org"
    assert "thief@example.net" in mail.message["Subject"]
    assert len(sink.mails) == 1


def test_lines_with_a_dot_alone_arrive_as_they_are(sinks: Sinks, send: Sending) -> None:
    sink = sinks()
    send(sink.port, message(problems=(problem(message="above\n.\n..\n.below"),)))
    text = sink.mails[0].part("plain").replace("\r\n", "\n")
    assert "above\n.\n..\n.below" in text


def test_a_subject_of_a_megabyte_is_cut(sinks: Sinks, send: Sending) -> None:
    sink = sinks()
    send(sink.port, message(summary="ä" * (1 << 20)))
    (mail,) = sink.mails
    assert len(mail.message["Subject"]) == 200
    assert max(map(len, mail.content.split(b"\r\n"))) <= 998


def test_markup_is_shown_as_text_and_hidden_signs_are_seen(sinks: Sinks, send: Sending) -> None:
    sink = sinks()
    evil = "<script>alert(1)</script><img src=http://example.net/x>\u202egnp.exe"
    send(sink.port, message(summary=evil, problems=(problem(subject=evil, message=evil, remedy=evil),)))
    html = sink.mails[0].part("html")
    assert "<script" not in html
    assert "<img" not in html
    assert "\u202e" not in html
    assert "&lt;script&gt;" in html
    assert "\u202e" not in sink.mails[0].part("plain")


def test_times_are_those_of_the_message_and_not_of_the_attempt(sinks: Sinks, send: Sending) -> None:
    sink = sinks()
    at = datetime(2026, 1, 5, 7, 8, 9, tzinfo=UTC)
    send(sink.port, message(at=at, severity=Severity.HIGH))
    assert parsedate_to_datetime(sink.mails[0].message["Date"]) == at
