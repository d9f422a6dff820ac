"""The ways out: one module for each kind of channel."""

from __future__ import annotations

from exporter.settings import Settings

MAIL, WEBHOOK, ALERTMANAGER = "mail", "webhook", "alertmanager"
HANDLER_PREFIX = "handler:"


def channel_names(settings: Settings) -> tuple[str, ...]:
    """The channels that are configured, by the names they have in the outbox and in metrics (`handler:NAME`).

    What Alertmanager delivers is none of them: nobody is told twice.
    """
    told, elsewhere = settings.notifications, settings.alertmanager.delivers or ()
    named = {
        MAIL: told.mail.host is not None and bool(told.mail.recipients or settings.admin_email),
        WEBHOOK: told.webhook.url is not None,
        ALERTMANAGER: settings.alertmanager.url is not None,
    }
    handlers = (HANDLER_PREFIX + handler.name for handler in told.handlers)
    return (*(name for name, on in named.items() if on and name not in elsewhere), *handlers)
