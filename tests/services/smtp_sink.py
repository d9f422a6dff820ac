"""A mail server on loopback that keeps what it takes: a real one (aiosmtpd), which a test can make refuse or hang."""

from __future__ import annotations

import email
import email.policy
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from functools import cached_property
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.services.certificates import Made
from tests.services.ports import free_port
from tests.services.process import private_directory, remove_directory
from tests.services.wait import wait_for
from tests.stand_ins import TcpServer


@dataclass(frozen=True)
class Mail:
    """A mail that was taken: its envelope, its bytes, and whether the connection was encrypted, and who logged in."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    encrypted: bool
    login: str

    # Whoever waits for a mail looks into all of them again and again.
    @cached_property
    def message(self) -> EmailMessage:
        """The mail as a mail program reads it."""
        return email.message_from_bytes(self.content, policy=email.policy.default)  # type: ignore[return-value]

    @cached_property
    def _parts(self) -> dict[str, str]:
        bodies = {subtype: self.message.get_body((subtype,)) for subtype in ("plain", "html")}
        return {subtype: str(body.get_content()) for subtype, body in bodies.items() if body is not None}

    def part(self, subtype: str) -> str:
        """The text of its `plain` or `html` part."""
        return self._parts[subtype]


class SmtpSink:
    """A server that is running, and takes everything.

    `mode` is `none`, `starttls` (which it then insists on) or `tls`, with the certificate `pair`; `users` may log in,
    and with `starttls` must. `refuse_recipient` and `refuse_data` are called with the address, or the mail, and may
    give the reply that refuses it (`"451 later"`); they can be set.
    """

    def __init__(
        self,
        mode: str = "none",
        pair: Made | None = None,
        users: dict[str, str] | None = None,
        port: int | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.port = port or free_port()
        self.mails: list[Mail] = []
        self.refuse_recipient: Callable[[str], str | None] = lambda address: None
        self.refuse_data: Callable[[Mail], str | None] = lambda mail: None
        self._directory = private_directory("smtp")
        self._users = users or {}
        self._lock = threading.Lock()
        context = self._context(pair) if pair else None
        self._controller = _Controller(
            self,
            hostname=host,
            port=self.port,
            server_hostname="sink.example",
            ready_timeout=30,
            ssl_context=context if mode == "tls" else None,
            tls_context=context if mode == "starttls" else None,
            require_starttls=mode == "starttls",
            authenticator=self._authenticate,
            auth_required=bool(users) and mode == "starttls",
            # aiosmtpd asks for a `User Name`; Alertmanager answers `Username:` only, as other servers ask for it.
            auth_exclude_mechanism=("LOGIN",),
            auth_require_tls=mode == "starttls",
            enable_SMTPUTF8=True,
        )
        self._encrypted = mode == "tls"
        self._controller.start()

    def close(self) -> None:
        """Stop serving."""
        self._controller.stop()
        remove_directory(self._directory)

    def wait_mails(self, count: int, timeout_seconds: float = 30) -> list[Mail]:
        """Wait until it has taken so many mails."""
        wait_for(lambda: len(self.mails) >= count, timeout_seconds, f"{count} mails arrived (here: {len(self.mails)})")
        return list(self.mails)

    def about(self, about: Callable[[Mail], object]) -> list[Mail]:
        """The mails that are `about` something."""
        return [mail for mail in list(self.mails) if about(mail)]

    def wait(self, about: Callable[[Mail], object], what: str, timeout_seconds: float = 60) -> Mail:
        """Wait for a mail that is `about` something."""
        return wait_for(lambda: self.about(about), timeout_seconds, what, detail=self._subjects)[0]

    def _subjects(self) -> str:
        return "\n".join(str(mail.message["Subject"]) for mail in list(self.mails))

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        """Take a recipient, or not."""
        refusal = self.refuse_recipient(address)
        if refusal is None:
            envelope.rcpt_tos.append(address)
        return refusal or "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Take a mail, or not."""
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        encrypted = self._encrypted or session.ssl is not None
        login = session.auth_data.decode() if isinstance(session.auth_data, bytes) else ""
        mail = Mail(envelope.mail_from or "", tuple(envelope.rcpt_tos), content, encrypted, login)
        refusal = self.refuse_data(mail)
        if refusal is None:
            with self._lock:
                self.mails.append(mail)
        return refusal or "250 taken"

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        good = isinstance(data, LoginPassword) and self._users.get(data.login.decode()) == data.password.decode()
        return AuthResult(success=good, handled=good, auth_data=data.login if good else None)

    def _context(self, pair: Made) -> ssl.SSLContext:
        pair.write(self._directory)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._directory / "cert.pem", self._directory / "key.pem")
        return context


class _Controller(Controller):
    def _trigger_server(self) -> None:
        """Only connect: with TLS the controller's own greeting would not know whom to trust."""
        socket.create_connection((self.hostname, self.port)).close()


def talking_server(*lines: bytes, byte_seconds: float = 0, hang_after: int | None = None) -> TcpServer:
    """A server that answers each line of a client with the next of `lines`, the first at once.

    Each byte comes `byte_seconds` after the one before; after `hang_after` of them it says nothing any more.
    """

    def serve(connection: socket.socket, closing: threading.Event) -> None:
        for number, line in enumerate(lines):
            if number == hang_after:
                break
            if byte_seconds:
                for byte in line:
                    if closing.wait(byte_seconds):
                        return
                    connection.sendall(bytes([byte]))
            else:
                connection.sendall(line)
            if not connection.recv(65536):
                return
        closing.wait(600)

    return TcpServer(serve)
