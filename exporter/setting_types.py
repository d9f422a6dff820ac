"""Texts that more than one section of the exporter's settings takes, and what makes each of them safe."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from exporter.redaction import shown_url
from jobs.core.settings import http_url

MAIL_ADDRESS = r"^[^@\s,;:<>()\[\]\"\\\x00-\x1f\x7f-\x9f]{1,64}@[A-Za-z0-9.-]{1,253}$"
"""One address and nothing that could make it two."""


class SecretUrl(SecretStr):
    """A URL whose path or query may be a key, as those of webhooks often are: as text it is its server alone."""

    def _display(self) -> str:
        return shown_url(self.get_secret_value())


def _usable(secret: SecretUrl) -> SecretUrl:
    http_url(secret.get_secret_value())
    return secret


def _printable(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]{1,4096}", secret.get_secret_value()):
        raise ValueError("only printable ASCII without blanks can be sent (4096 characters at most)")
    return secret


def _mail_address(text: str) -> str:
    if not re.fullmatch(MAIL_ADDRESS, text):
        raise ValueError(f"{text[:100]!r} is not one mail address; write it as somebody@example.org")
    return text


MailAddress = Annotated[str, AfterValidator(_mail_address)]
PostUrl = Annotated[SecretUrl, AfterValidator(_usable)]
HeaderSecret = Annotated[SecretStr, AfterValidator(_printable)]
