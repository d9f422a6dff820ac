"""What an operator should know of a configuration that was written: what is missing in it, and what is said twice."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.alertmanager.receivers import delivered, urls_with_keys
from exporter.alertmanager.secret_files import BRIDGE_TOKEN, SecretFiles
from exporter.bridge.outgoing.channels import MAIL, WEBHOOK
from exporter.settings import Settings


def remarks(settings: Settings, secrets: SecretFiles) -> list[str]:
    """A line for each thing, with its remedy."""
    of_settings = [*_unsent(settings), *_said_twice(settings), *_unsigned(settings)]
    return [*of_settings, *_readable(settings, secrets), *_files(secrets)]


def _unsent(settings: Settings) -> Iterator[str]:
    wanted, told = settings.alertmanager.delivers, settings.notifications
    if told.mail.host is None and (wanted is None or MAIL in wanted):
        yield "notifications.mail.host: is not set: Alertmanager mails nobody"
    if wanted and WEBHOOK in wanted and told.webhook.url is None:
        yield "notifications.webhook.url: is not set: Alertmanager calls no webhook"


def _said_twice(settings: Settings) -> Iterator[str]:
    both = " and ".join(sorted(delivered(settings)))
    if settings.alertmanager.delivers is None and both:
        yield (
            f"alertmanager.delivers: is not set: Alertmanager and the exporter both send {both}, and tell of many "
            f"problems twice; set it to what Alertmanager alone is to send"
        )


def _unsigned(settings: Settings) -> Iterator[str]:
    if WEBHOOK in delivered(settings) and settings.notifications.webhook.hmac_secret:
        yield (
            "notifications.webhook.hmac_secret: Alertmanager signs nothing; leave the webhook to the exporter "
            "(alertmanager.delivers without webhook), or do without a signature"
        )


def _readable(settings: Settings, secrets: SecretFiles) -> Iterator[str]:
    if not secrets.directory:
        for name in urls_with_keys(settings):
            yield (
                f"{name}: seems to have a key in it, and stands in alertmanager.yml, as Alertmanager 0.25 reads it "
                "from nowhere else: --secrets-for USER makes that file USER's alone"
            )


def _files(secrets: SecretFiles) -> Iterator[str]:
    for secret in secrets.missing():
        made = ", or write it with --secrets-for USER" if secret.value else ""
        if secret.setting == ".".join(BRIDGE_TOKEN) and not secret.value:
            made = " (`sutazai-exporter token create --name alertmanager --scope alert` prints one)"
        yield f"{secret.setting}: Alertmanager reads it from {secret.file}, which is not there: put it there{made}"
    if named := [str(secret.file) for secret in secrets.named()]:
        yield f"Alertmanager's user must be able to read {', '.join(named)}; --secrets-for USER writes copies for it"
