"""A message as a mail: text with an HTML alternative, one thread for each problem, to nobody but who is configured."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from exporter.bridge.model import Message, News
from exporter.bridge.outgoing.channels import MAIL
from exporter.bridge.outgoing.channels.base import Receipt, one_line, trusting
from exporter.bridge.outgoing.channels.smtp import Server, send
from exporter.bridge.outgoing.settings import MailSettings
from exporter.bridge.outgoing.wording import domain_of
from exporter.settings import Settings
from jobs.pages.texts import visible

MAX_SUBJECT = 200
MAX_PROBLEMS = 100
"""Problems in one mail; the rest is counted."""
_MAX_ID = 36
"""Characters of an id or a host in a Message-ID: a header's line has 78, and such a token cannot be folded."""
_WIDE = policy.SMTP.clone(max_line_length=900)
"""Lines may have 998 characters (RFC 5322, 2.1.1); an encoded word has 75 at most, for which only 78 are right."""
_MARKS = {News.WORSE: "worse: ", News.REMINDER: "still ", News.OPENED: ""}


class MailChannel:
    """The configured mail server."""

    name = MAIL

    def __init__(self, settings: Settings, timeout_seconds: float) -> None:
        self._settings = settings.notifications.mail
        self._recipients = recipients_of(settings)
        self._timeout_seconds = timeout_seconds

    def send(self, message: Message, now: datetime) -> Receipt:
        """Send the message as one mail; raise Refused or Delayed."""
        sender = self._settings.sender or f"sutazai-exporter@{domain_of(message.host)}"
        server = server_of(self._settings, domain_of(message.host))
        mail = mail_of(message, sender, self._recipients)
        refused = send(server, mail, sender, self._recipients, self._timeout_seconds)
        return Receipt(f"{server.shown} took it for {', '.join(self._recipients)}", refused)


def recipients_of(settings: Settings) -> tuple[str, ...]:
    """To whom mail goes: those of the configuration."""
    return settings.notifications.mail.recipients or ((settings.admin_email,) if settings.admin_email else ())


def server_of(settings: MailSettings, our_name: str) -> Server:
    """The mail server of the settings, to which we say that we are `our_name`; raise Delayed for a bad ca_file."""
    return Server(
        host=(settings.host or "").strip("[]"),
        port=settings.port,
        our_name=our_name,
        tls=None if settings.security == "none" else trusting(settings.ca_file),
        starttls=settings.security == "starttls",
        username=settings.username or "",
        password=settings.password.get_secret_value() if settings.password else "",
    )


def mail_of(message: Message, sender: str, recipients: tuple[str, ...]) -> EmailMessage:
    """The mail. Its ids are those of the message, so that a repetition is known as one and a thread stays together."""
    subject = subject_of(message)
    mail = EmailMessage(policy=_WIDE if subject.isascii() else policy.SMTP)
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Subject"] = subject
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = _message_id(message.id, message.host)
    if message.thread not in ("", message.id):
        mail["In-Reply-To"] = mail["References"] = _message_id(message.thread, message.host)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday answers it
    mail.set_content(_render("mail.txt.j2", message))
    mail.add_alternative(_render("mail.html.j2", message), subtype="html")
    return mail


def subject_of(message: Message) -> str:
    """`[critical] host: summary`, in one line."""
    if message.news is News.CLEARED:
        word = "cleared"
    elif message.news is News.COMPLETED:
        word = message.status.lower() or "completed"
    elif message.news is News.TEST:
        word = "test"
    else:
        word = _MARKS[message.news] + message.severity
    return one_line(f"[{word}] {message.host}: {message.summary}", MAX_SUBJECT)


def _message_id(identifier: str, host: str) -> str:
    plain = re.fullmatch(rf"[A-Za-z0-9_-]{{1,{_MAX_ID}}}", identifier)
    left = identifier if plain else hashlib.sha256(identifier.encode()).hexdigest()[:_MAX_ID]
    right = domain_of(host)
    return f"<{left}@{right if len(right) <= _MAX_ID else hashlib.sha256(right.encode()).hexdigest()[:_MAX_ID]}>"


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("exporter.bridge.outgoing.channels"),
        autoescape=select_autoescape(("html.j2",), default=False),
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _render(template: str, message: Message) -> str:
    shown = message.problems[:MAX_PROBLEMS]
    more = len(message.problems) - len(shown)
    return (
        _environment()
        .get_template(template)
        .render(message=message, subject=subject_of(message), problems=shown, more=more)
    )


def _finalize(value: object) -> object:
    """What becomes of each value that a template shows, before it is escaped."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
