"""One mail handed to an SMTP server (RFC 5321), all of it within one time limit; a server may hang or drip."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage

from exporter.bridge.outgoing.channels.base import Delayed, Refused, one_line

_PERMANENT = 500
"""Replies from here on mean: never (RFC 5321, 4.2.1)."""
_QUIT_SECONDS = 2.0
"""So long a server that has taken a mail may take to say goodbye."""


@dataclass(frozen=True)
class Server:
    """Where mail goes in, how the connection is encrypted, and who logs in. `tls` verifies it; None: no encryption."""

    host: str
    port: int
    our_name: str
    tls: ssl.SSLContext | None
    starttls: bool
    username: str
    password: str

    @property
    def shown(self) -> str:
        """As a person writes it."""
        return f"{self.host}:{self.port}"


def send(server: Server, mail: EmailMessage, sender: str, recipients: tuple[str, ...], timeout_seconds: float) -> str:
    """Hand a mail over; return which recipients were refused, while others were taken. Raise Refused or Delayed.

    A thread of its own does it: neither a look-up of a name nor a server that sends a byte now and then can be
    limited otherwise. Past the limit its connection is cut.
    """
    return _refusals(_made(_Handover(server, mail, sender, recipients, timeout_seconds), timeout_seconds).refused)


def greet(server: Server, timeout_seconds: float) -> None:
    """Connect, encrypt and log in as for a mail, and hand none over; raise Delayed where that cannot be done."""
    _made(_Greeting(server, EmailMessage(), "", (), timeout_seconds), timeout_seconds)


def _made(handover: _Handover, timeout_seconds: float) -> _Handover:
    thread = threading.Thread(target=handover.run, daemon=True, name="smtp")
    thread.start()
    if not handover.over.wait(timeout_seconds):
        handover.cut()
        raise Delayed(f"{handover.server.shown}: not done after {timeout_seconds:g} s")
    thread.join(_QUIT_SECONDS)
    if handover.error:
        raise handover.error
    return handover


class _Handover:
    """The exchange. It is `over` once the mail is the server's, whatever happens then, or by an error."""

    def __init__(
        self, server: Server, mail: EmailMessage, sender: str, recipients: tuple[str, ...], timeout_seconds: float
    ) -> None:
        self.server, self._mail, self._sender, self._recipients = server, mail, sender, recipients
        self._smtp = _Connection(server, timeout_seconds)
        self.over = threading.Event()
        self.refused: Mapping[str, tuple[int, bytes]] = {}
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._log_in()
            self._hand_over()
            self.over.set()
            with contextlib.suppress(smtplib.SMTPException, OSError):
                self._smtp.quit()
        except (Refused, Delayed) as error:
            self.error = error
        except Exception as error:  # noqa: BLE001  # the border of the thread: whoever waits for it judges
            self.error = Delayed(f"{self.server.shown}: {type(error).__name__}")
        finally:
            self.over.set()
            self._smtp.close()

    def cut(self) -> None:
        self._smtp.cut()

    def _log_in(self) -> None:
        """Connect, encrypt, log in. What goes wrong here is no word on the message: it is tried again."""
        server, smtp = self.server, self._smtp
        try:
            code, said = smtp.connect(server.host, server.port)
            if code != 220:
                raise Delayed(f"{server.shown} does not serve: {_told(code, said)}")
            smtp.ehlo_or_helo_if_needed()
            if server.starttls:
                smtp.starttls(context=server.tls)
            if server.username:
                smtp.login(server.username, server.password)
        except smtplib.SMTPNotSupportedError:
            raise Delayed(self._not_offered()) from None
        except smtplib.SMTPAuthenticationError as error:
            # Nothing of what it says: it has just been told the password, in another form than we would know.
            raise Delayed(f"{server.shown} refuses {server.username!r} ({error.smtp_code}); check password") from None
        except smtplib.SMTPResponseException as error:
            raise Delayed(f"{server.shown}: {_told(error.smtp_code, error.smtp_error)}") from None
        except (smtplib.SMTPException, OSError) as error:
            raise Delayed(f"{server.shown}: {_reason(error)}") from None

    def _not_offered(self) -> str:
        shown = self.server.shown
        if self.server.starttls and not isinstance(self._smtp.sock, ssl.SSLSocket):
            return (
                f"{shown} does not offer STARTTLS, and nothing is sent in plain text: "
                "mend the server, or set notifications.mail.security to what it has"
            )
        return f"{shown} lets nobody log in; unset notifications.mail.username, or mend the server"

    def _hand_over(self) -> None:
        shown = self.server.shown
        try:
            self.refused = self._smtp.send_message(self._mail, self._sender, self._recipients)
        except smtplib.SMTPNotSupportedError as error:
            raise Refused(f"{shown}: {error}; use addresses of ASCII") from None
        except smtplib.SMTPRecipientsRefused as error:
            kind = Refused if all(code >= _PERMANENT for code, _ in error.recipients.values()) else Delayed
            raise kind(f"{shown}: {_refusals(error.recipients)}") from None
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            kind = Refused if error.smtp_code >= _PERMANENT else Delayed
            raise kind(f"{shown}: {_told(error.smtp_code, error.smtp_error)}") from None
        except smtplib.SMTPResponseException as error:  # smtplib's own, for what is no reply
            raise Delayed(f"{shown}: {_told(error.smtp_code, error.smtp_error)}") from None
        except (smtplib.SMTPException, OSError) as error:
            raise Delayed(f"{shown}: {_reason(error)}") from None


class _Greeting(_Handover):
    """The exchange up to where a mail would be handed over."""

    def _hand_over(self) -> None:
        return


class _Connection(smtplib.SMTP):
    """smtplib's, with TLS from the beginning where it is asked for, and a way to cut it off from another thread."""

    def __init__(self, server: Server, timeout_seconds: float) -> None:
        super().__init__(local_hostname=server.our_name, timeout=timeout_seconds)
        self._host = server.host  # the name that starttls() verifies
        self._at_once = None if server.starttls else server.tls
        self._cut = False

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = super()._get_socket(host, port, timeout)  # type: ignore[misc]  # smtplib's own hook for SMTP_SSL
        self.sock = plain  # so that it can be cut during the handshake
        if self._at_once is not None:
            self.sock = self._at_once.wrap_socket(plain, server_hostname=host)
        return self.sock

    def send(self, s: bytes | str) -> None:  # type: ignore[override]
        """Write, unless the exchange was cut: a handshake that was under way then may have ended since."""
        if self._cut:
            raise smtplib.SMTPServerDisconnected("cut off at the time limit")
        super().send(s)

    def cut(self) -> None:
        """End the exchange where it is."""
        self._cut = True
        if self.sock is not None:
            # Not SSLSocket's own shutdown: after it what is written would go out in plain text.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


def _refusals(refused: Mapping[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{address}: {_told(code, said)}" for address, (code, said) in refused.items())


def _told(code: int, said: bytes | str) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return f"{code} {one_line(text, 1000)}".strip()


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}; ca_file names whom to trust"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or 'failed').replace('_', ' ').lower()}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return one_line(str(error), 300) or type(error).__name__
