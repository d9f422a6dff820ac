"""One POST of JSON, and what its answer means. URLs come from the configuration alone and nothing is followed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from pydantic import SecretStr

from exporter.bridge.outgoing.channels.base import Delayed, Receipt, Refused, one_line, trusting
from exporter.redaction import Redactor, halves_of, keys_in
from jobs.clients.http import Ask, HttpClient, Reply

MAX_ANSWER_BYTES = 4096
"""Of what the other side says, so much is read; only failures need it."""
MAX_RETRY_AFTER_SECONDS = 6 * 3600
"""No server makes us wait longer than this."""
_NOT_NOW = (401, 408, 425, 429)
"""Client errors that are no word on the message: a token that must be mended, and "later"

(RFC 9110, 15.5.2 and 15.5.9; RFC 8470, 5.2; RFC 6585, 4)."""


@dataclass(frozen=True)
class Target:
    """Where to post to, with what token, trusting whom; `section` of the settings says so."""

    url: str
    token: SecretStr | None
    ca_file: Path | None
    section: str

    @property
    def shown(self) -> str:
        """The server. The path may hold a secret: many services have theirs there."""
        return halves_of(self.url)[0]

    @property
    def path(self) -> str:
        """What comes after the server."""
        return halves_of(self.url)[1]

    def masked(self, text: str, *more: str) -> str:
        """What the server says, which often repeats what it was asked for; before anything of it is cut off."""
        address = self.url.partition("://")[2] if self.path else ""
        return Redactor([address, *keys_in(self.url), *more]).text(text)


def post(target: Target, body: bytes, headers: Mapping[str, str], timeout_seconds: float, now: datetime) -> Receipt:
    """Post JSON; a status of 2xx is good. Raise Delayed where asking again may help, Refused where it will not."""
    sent = {"Content-Type": "application/json", **headers}
    if target.token:
        sent["Authorization"] = f"Bearer {target.token.get_secret_value()}"
    tls = trusting(target.ca_file) if target.url.startswith("https:") else None
    ask = Ask(
        target.url,
        timeout_seconds=timeout_seconds,
        method="POST",
        body=body,
        headers=sent,
        max_body_bytes=MAX_ANSWER_BYTES,
    )
    return _judge(HttpClient(tls).fetch(ask), target, now)


def _judge(reply: Reply, target: Target, now: datetime) -> Receipt:
    status = reply.status
    if status is None:
        raise Delayed(f"{target.shown}: {reply.error}")
    answered = f"{target.shown} answered {status}"
    if 200 <= status < 300:
        return Receipt(answered)
    if 300 <= status < 400:
        location = reply.headers.get("location", "nowhere")
        own = [target.path] if location.startswith("/") else []
        where = one_line(target.masked(location, *own), 200)
        raise Delayed(
            f"{answered} and points to {where}; nothing is followed: set {target.section}.url to the end of it"
        )
    said = target.masked(reply.body.decode(errors="replace"), target.path)
    said = one_line(said, MAX_ANSWER_BYTES)
    reason = f"{answered}{': ' if said else ''}{said}"
    if status in _NOT_NOW or status >= 500:
        raise Delayed(reason, _retry_after_seconds(reply.headers.get("retry-after", ""), now))
    raise Refused(reason)


def _retry_after_seconds(text: str, now: datetime) -> float | None:
    """What a Retry-After says (RFC 9110, 10.2.3: seconds or a date); None for nothing or nonsense."""
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), MAX_RETRY_AFTER_SECONDS))
    try:
        wait = parsedate_to_datetime(text).timestamp() - now.timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(wait, 0.0), MAX_RETRY_AFTER_SECONDS)
