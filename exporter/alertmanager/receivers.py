"""The receivers: a person by mail, a webhook, the exporter's own bridge, and the dead man's switch."""

from __future__ import annotations

from typing import Any

from exporter.alertmanager.routing import BRIDGE, CRITICAL, OTHER, WATCHDOG_RECEIVER
from exporter.alertmanager.secret_files import BRIDGE_TOKEN, MAIL_PASSWORD, WEBHOOK_TOKEN, SecretFiles
from exporter.bridge.outgoing.channels import MAIL, WEBHOOK
from exporter.bridge.outgoing.settings import MailSettings
from exporter.bridge.outgoing.wording import domain_of
from exporter.redaction import keys_in
from exporter.settings import Settings

IMPLICIT_TLS_PORT = 465
"""The one port at which Alertmanager speaks TLS from the beginning (notify/email/email.go of 0.25)."""


class Inexpressible(ValueError):
    """Alertmanager cannot do what is configured; the message is one line."""


def delivered(settings: Settings) -> frozenset[str]:
    """What Alertmanager is to send (mail, webhook), of what is configured."""
    told, wanted = settings.notifications, settings.alertmanager.delivers
    configured = {
        MAIL: told.mail.host is not None,
        WEBHOOK: told.webhook.url is not None,
    }
    return frozenset(name for name, on in configured.items() if on and (wanted is None or name in wanted))


def recipients(settings: Settings) -> tuple[str, ...]:
    """Who gets mail."""
    in_charge = (settings.admin_email,) if settings.admin_email else ()
    return settings.notifications.mail.recipients or in_charge


def smtp(mail: MailSettings, secrets: SecretFiles, host: str) -> dict[str, Any]:
    """How mail is sent, as Alertmanager's `global` section has it; raise Inexpressible."""
    if (mail.security == "tls") != (mail.port == IMPLICIT_TLS_PORT):
        raise Inexpressible(
            f"notifications.mail: Alertmanager speaks TLS from the beginning at port {IMPLICIT_TLS_PORT}, and at no "
            f"other: port {mail.port} with security {mail.security} cannot be; change one of them, or leave mail to "
            "the exporter (alertmanager.delivers without mail)"
        )
    login = {}
    if mail.username:
        login["smtp_auth_username"] = mail.username
        login["smtp_auth_password_file"] = secrets.path(MAIL_PASSWORD)
    return {
        "smtp_smarthost": f"{mail.host}:{mail.port}",
        "smtp_from": literal(mail.sender or f"sutazai-exporter@{domain_of(host)}"),
        **login,
        # It means STARTTLS, which a connection that is encrypted from the beginning does not offer.
        "smtp_require_tls": mail.security == "starttls",
    }


def receivers(settings: Settings, secrets: SecretFiles) -> list[dict[str, Any]]:
    """Every receiver that a route names."""
    people = recipients(settings)
    further = tuple(one for one in settings.alertmanager.critical.recipients if one not in people)
    return [
        {"name": WATCHDOG_RECEIVER, **_deadman(settings)},
        {"name": BRIDGE, "webhook_configs": [_posted(bridge_url(settings), secrets.path(BRIDGE_TOKEN))]},
        {"name": CRITICAL, **_to_people(settings, (*people, *further), secrets)},
        {"name": OTHER, **_to_people(settings, people, secrets)},
    ]


def bridge_url(settings: Settings) -> str:
    """Where Alertmanager hands its alerts in."""
    if settings.alertmanager.bridge_url:
        return settings.alertmanager.bridge_url
    host, _, port = settings.web.listen_address.rpartition(":")
    everywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 (it is replaced)
    return f"http://{everywhere.get(host, host)}:{port}/api/v1/alerts"


def literal(text: str) -> str:
    """Text as a template of Go's that gives just this text."""
    return text.replace("{{", '{{ "{{" }}')


def urls_with_keys(settings: Settings) -> list[str]:
    """The settings whose URL has a key in it, maybe, that will stand in the configuration.

    Alertmanager reads URLs from files (`url_file`) from 0.26 on only.
    """
    hook, deadman = settings.notifications.webhook.url, settings.alertmanager.deadman_url
    written = {
        "notifications.webhook.url": hook if WEBHOOK in delivered(settings) else None,
        "alertmanager.deadman_url": deadman,
    }
    return [name for name, url in written.items() if url and keys_in(url.get_secret_value())]


def _to_people(settings: Settings, people: tuple[str, ...], secrets: SecretFiles) -> dict[str, Any]:
    sent, hook, found = delivered(settings), settings.notifications.webhook, {}
    if MAIL in sent:
        found["email_configs"] = [_mail(settings.notifications.mail, people)]
    if WEBHOOK in sent and hook.url:
        token_file = secrets.path(WEBHOOK_TOKEN) if hook.token else None
        ca_file = str(hook.ca_file) if hook.ca_file else None
        found["webhook_configs"] = [_posted(hook.url.get_secret_value(), token_file, ca_file)]
    return found


def _mail(mail: MailSettings, people: tuple[str, ...]) -> dict[str, Any]:
    trust = {"tls_config": {"ca_file": str(mail.ca_file)}} if mail.ca_file else {}
    return {
        "to": literal(", ".join(people)),
        "send_resolved": True,
        "headers": {"Subject": _template("subject"), "Auto-Submitted": "auto-generated"},
        "text": _template("text"),
        "html": _template("html"),
        **trust,
    }


def _template(part: str) -> str:
    return f'{{{{ template "sutazai.mail.{part}" . }}}}'


def _posted(url: str, token_file: str | None = None, ca_file: str | None = None) -> dict[str, Any]:
    """A webhook. No redirection is followed: it could lead the token anywhere."""
    http: dict[str, Any] = {"follow_redirects": False}
    if token_file:
        http["authorization"] = {"credentials_file": token_file}
    if ca_file:
        http["tls_config"] = {"ca_file": ca_file}
    return {"url": url, "send_resolved": True, "http_config": http}


def _deadman(settings: Settings) -> dict[str, Any]:
    url = settings.alertmanager.deadman_url
    return {"webhook_configs": [{**_posted(url.get_secret_value()), "send_resolved": False}]} if url else {}
