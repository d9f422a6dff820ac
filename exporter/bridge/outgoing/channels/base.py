"""What every way out shares: what it is, how it fails, and whom it trusts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from exporter.bridge.model import Message


class Refused(Exception):
    """This message will never be taken; the text is one line that says why, and what to do. It may hold secrets."""


class Delayed(Exception):
    """This message was not taken now; the text is one line that says why. It may hold secrets.

    `retry_after_seconds` is when the other side wants to be asked again, where it said so.
    """

    def __init__(self, reason: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True)
class Receipt:
    """A message was taken: by whom, in one line, and what a person should know all the same."""

    detail: str
    doubt: str = ""


class Channel(Protocol):
    """A way out."""

    name: str

    def send(self, message: Message, now: datetime) -> Receipt:
        """Send a message within the channel's time limit; raise Refused or Delayed."""
        ...


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """How a server is verified: by these authorities, or this host's, and by name. Raise Delayed."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise Delayed(f"{ca_file}: has no certificates in PEM form; ca_file must name such a file") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Delayed(f"{ca_file}: the certificates to trust cannot be read: {reason}") from None


def one_line(text: str, limit: int) -> str:
    """A text without control characters and line ends, of at most `limit` characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
