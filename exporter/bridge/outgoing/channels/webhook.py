"""A message as JSON by POST: signed, with a key by which the other side knows a repetition, and nothing followed."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime

from exporter.bridge.model import Message
from exporter.bridge.outgoing.channels import WEBHOOK
from exporter.bridge.outgoing.channels.base import Receipt
from exporter.bridge.outgoing.channels.document import document
from exporter.bridge.outgoing.channels.posting import Target, post
from exporter.bridge.outgoing.settings import WebhookSettings


class Webhook:
    """The configured webhook."""

    name = WEBHOOK

    def __init__(self, settings: WebhookSettings, timeout_seconds: float) -> None:
        self._settings = settings
        self._timeout_seconds = timeout_seconds

    def send(self, message: Message, now: datetime) -> Receipt:
        """Post the message; raise Refused or Delayed."""
        settings = self._settings
        url = settings.url.get_secret_value() if settings.url else ""
        target = Target(url, settings.token, settings.ca_file, "notifications.webhook")
        body = json.dumps(document(message)).encode()
        return post(target, body, self._headers(message, body, now), self._timeout_seconds, now)

    def _headers(self, message: Message, body: bytes, now: datetime) -> dict[str, str]:
        headers = {"Idempotency-Key": message.id}
        if self._settings.hmac_secret:
            stamp = str(int(now.timestamp()))
            secret = self._settings.hmac_secret.get_secret_value()
            headers |= {"X-Sutazai-Timestamp": stamp, "X-Sutazai-Signature": signature(secret, stamp, body)}
        return headers


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """`sha256=` and the HMAC-SHA256 (RFC 2104) of the timestamp, a dot and the body."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
