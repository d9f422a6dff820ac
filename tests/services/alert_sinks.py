"""Where Alertmanager's news ends up in tests: a mail server and a webhook that keep what they get."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from http.server import BaseHTTPRequestHandler
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from tests.services.http_agent import HttpServer, read_body, reply
from tests.services.ports import free_port
from tests.services.wait import wait_for


@dataclass(frozen=True)
class Mail:
    """A mail as it came: to whom, and what."""

    to: tuple[str, ...]
    message: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    def part(self, kind: str) -> str:
        """The text of one of its parts, `plain` or `html`."""
        body = self.message.get_body((kind,))
        assert body is not None, f"no {kind} part"
        return str(body.get_content())


class MailSink:
    """A real SMTP server. With a `login` it takes mail only from who knows it; with `tls`, by STARTTLS only.

    `implicit` has TLS from the beginning. `mails` are what came, oldest first.
    """

    def __init__(
        self,
        *,
        login: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        host: str = "127.0.0.1",
        port: int | None = None,
    ) -> None:
        self.mails: list[Mail] = []
        self.host, self.port = host, port or free_port()
        options: dict[str, Any] = {"decode_data": False, "data_size_limit": 1 << 26}
        if login:
            # Its LOGIN asks for a `User Name`; Alertmanager answers `Username:` only, as other servers ask for it.
            options |= {"authenticator": _knows(*login), "auth_required": True, "auth_exclude_mechanism": ["LOGIN"]}
            options["auth_require_tls"] = tls is not None and not implicit
        if tls and not implicit:
            options |= {"tls_context": tls, "require_starttls": True}
        kind = _ImplicitTls if implicit else Controller
        context = {"ssl_context": tls} if implicit else {}
        self._controller = kind(self, hostname=host, port=self.port, **context, **options)
        self._controller.start()

    async def handle_DATA(self, server: object, session: object, envelope: Envelope) -> str:
        message = BytesParser(policy=default).parsebytes(envelope.original_content or b"")
        self.mails.append(Mail(tuple(envelope.rcpt_tos), message))  # type: ignore[arg-type]
        return "250 taken"

    def wait(self, about: Callable[[Mail], object], what: str, timeout_seconds: float = 60) -> Mail:
        """Wait for a mail that is `about` something."""
        return wait_for(lambda: self.about(about), timeout_seconds, what, detail=self._seen)[0]

    def about(self, about: Callable[[Mail], object]) -> list[Mail]:
        """The mails that are `about` something."""
        return [mail for mail in list(self.mails) if about(mail)]

    def close(self) -> None:
        """Stop listening."""
        self._controller.stop()

    def _seen(self) -> str:
        return "\n".join(f"{mail.to} {mail.subject}" for mail in self.mails)


class _ImplicitTls(Controller):
    """The kit's own look at whether it listens would be made with the server's context, which is no client's."""

    def _trigger_server(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection((self.hostname, self.port), 10) as plain, context.wrap_socket(plain) as secure:
            secure.recv(1024)


def _knows(user: str, password: str) -> Callable[..., AuthResult]:
    def check(server: object, session: object, envelope: object, mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (user.encode(), password.encode())
        return AuthResult(success=good)

    return check


@dataclass(frozen=True)
class Call:
    """A request that a webhook got."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """Its JSON."""
        loaded: dict[str, Any] = json.loads(self.body)
        return loaded

    def names(self) -> list[str]:
        """The alerts in it by name."""
        return [alert["labels"]["alertname"] for alert in self.document["alerts"]]


class HookSink:
    """A webhook that answers 200 and keeps its `calls`."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._server = HttpServer(self._answer)
        self.url = self._server.url

    def about(self, name: str, **labels: str) -> list[Call]:
        """The calls with an alert of that name and these labels."""
        wanted = {"alertname": name, **labels}.items()
        return [c for c in list(self.calls) if any(wanted <= a["labels"].items() for a in c.document["alerts"])]

    def wait(self, name: str, status: str = "firing", timeout_seconds: float = 60, **labels: str) -> Call:
        """Wait for a call about an alert in a state."""

        def found() -> list[Call]:
            return [call for call in self.about(name, **labels) if call.document["status"] == status]

        return wait_for(found, timeout_seconds, f"the webhook hears of {name} {status}")[0]

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        self.calls.append(Call(request.path, dict(request.headers), read_body(request)))
        reply(request, 200, b"", {})
