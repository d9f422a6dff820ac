"""Texts that more than one section of the exporter's settings takes, and what makes each of them safe."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, SecretStr

MAIL_ADDRESS = r"^[^@\s,;:<>()\[\]\"\\\x00-\x1f\x7f-\x9f]{1,64}@[A-Za-z0-9.-]{1,253}$"
"""One address and nothing that could make it two."""


def _printable(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]{1,4096}", secret.get_secret_value()):
        raise ValueError("only printable ASCII without blanks can be sent (4096 characters at most)")
    return secret


def _mail_address(text: str) -> str:
    if not re.fullmatch(MAIL_ADDRESS, text):
        raise ValueError(f"{text[:100]!r} is not one mail address; write it as somebody@example.org")
    return text


MailAddress = Annotated[str, AfterValidator(_mail_address)]
HeaderSecret = Annotated[SecretStr, AfterValidator(_printable)]
