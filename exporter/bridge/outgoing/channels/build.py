"""A channel by its name; each kind loads only what it needs."""

from __future__ import annotations

import math

from exporter.bridge.outgoing.channels import ALERTMANAGER, HANDLER_PREFIX, MAIL, WEBHOOK
from exporter.bridge.outgoing.channels.base import Channel
from exporter.settings import Settings


def channel(name: str, settings: Settings, limit_seconds: float = math.inf) -> Channel:
    """The channel of that name, whose sending takes `limit_seconds` at most; raise LookupError if there is none."""
    told = settings.notifications
    if name == MAIL:
        from exporter.bridge.outgoing.channels.mail import MailChannel

        return MailChannel(settings, min(told.mail.timeout_seconds, limit_seconds))
    if name == WEBHOOK:
        from exporter.bridge.outgoing.channels.webhook import Webhook

        return Webhook(told.webhook, min(told.webhook.timeout_seconds, limit_seconds))
    if name == ALERTMANAGER:
        from exporter.bridge.outgoing.channels.alertmanager import AlertmanagerChannel

        return AlertmanagerChannel(settings.alertmanager, min(settings.alertmanager.timeout_seconds, limit_seconds))
    for handler in told.handlers:
        if name == HANDLER_PREFIX + handler.name:
            from exporter.bridge.outgoing.channels.handler import HandlerChannel

            return HandlerChannel(handler, min(handler.timeout_seconds, limit_seconds))
    raise LookupError(f"no channel is called {name!r} in the configuration")
