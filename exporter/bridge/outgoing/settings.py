"""Who hears of problems, when, and how."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from exporter.bridge.hours import Hours
from exporter.setting_types import HeaderSecret, MailAddress, PostUrl
from jobs.core.addresses import is_loopback
from jobs.core.model import Severity
from jobs.core.settings import AbsolutePath, AgentName, Port, Seconds, SettingsModel

MIN_SECRET = 16
"""Characters of a secret that signs; a shorter one can be guessed from what it has signed."""

_HOST = r"^(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})$"


def _typed(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[ -~]{1,4096}", secret.get_secret_value()):
        raise ValueError("only printable ASCII can be sent (4096 characters at most)")
    return secret


def _long(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < MIN_SECRET:
        raise ValueError(f"is shorter than {MIN_SECRET} characters; make one with: openssl rand -hex 32")
    return secret


Password = Annotated[SecretStr, AfterValidator(_typed)]
SigningSecret = Annotated[SecretStr, AfterValidator(_long)]
Completed = Literal["none", "calendar", "all"]
_COMPLETED = "Runs whose end it hears of: none, calendar (no run that comes every few minutes) or all."


class MailSettings(SettingsModel):
    """Mail, by SMTP."""

    host: str | None = Field(None, pattern=_HOST, description="SMTP server; unset: no mail.")
    port: Port = Field(587, description="Its port.")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the connection is encrypted: starttls, tls from its beginning, or none."
    )
    ca_file: AbsolutePath | None = Field(None, description="Certificates to trust; unset: this host's.")
    username: str | None = Field(None, pattern=r"^[ -~]{1,256}$", description="Who logs in; unset: nobody does.")
    password: Password | None = Field(None, description="Its password.")
    sender: MailAddress | None = Field(None, description="From whom; unset: sutazai-exporter@ this host's name.")
    recipients: tuple[MailAddress, ...] = Field((), max_length=20, description="To whom; unset: admin_email.")
    timeout_seconds: Seconds = Field(30, description="Limit of sending one mail.")

    @model_validator(mode="after")
    def _logs_in_safely(self) -> Self:
        if (self.username is None) != (self.password is None):
            given, missing = ("password", "username") if self.username is None else ("username", "password")
            raise ValueError(f"{given} is set without {missing}; set both, or neither")
        if self.username and self.security == "none" and not is_loopback(self.host or ""):
            raise ValueError("security none would send the password in plain text; set it to starttls or tls")
        return self


class WebhookSettings(SettingsModel):
    """A webhook: JSON by POST."""

    url: PostUrl | None = Field(None, description="Where to; unset: nowhere.")
    token: HeaderSecret | None = Field(None, description="Bearer token that is sent along.")
    hmac_secret: SigningSecret | None = Field(None, description="Secret that each body is signed with (HMAC-SHA256).")
    ca_file: AbsolutePath | None = Field(None, description="Certificates to trust; unset: this host's.")
    completed: Completed = Field("calendar", description=_COMPLETED)
    timeout_seconds: Seconds = Field(10, description="Limit of one attempt.")


class Handler(SettingsModel):
    """A program that is run with each message."""

    name: AgentName = Field(description="What it is called in metrics and in the log.")
    path: AbsolutePath = Field(description="The program; only its owner or root may be able to change it.")
    completed: Completed = Field("none", description=_COMPLETED)
    timeout_seconds: Seconds = Field(30, description="It and its children are killed after this.")


class NotificationSettings(SettingsModel):
    """Messages about problems: one when it opens, one when it is gone."""

    min_severity: Severity | None = Field(
        None, description="Findings below this are not told of; unset: what each task says of its own."
    )
    reminder_hours: float = Field(24, ge=0, le=8760, description="One that stands so long is told again; 0: never.")
    quiet_hours: tuple[Hours, ...] = Field(
        (), description="Hours, such as 22:00-07:00, in which only what is critical is sent; the rest waits."
    )
    separate: int = Field(5, ge=1, le=100, description="More pieces of news than this of one run go in one message.")
    give_up_hours: float = Field(72, gt=0, le=8760, description="A message that could not be sent so long is given up.")
    run_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        15, description="Time that `run` may take to send messages where no daemon serves; 0: it leaves them."
    )
    mail: MailSettings = MailSettings.model_construct()
    webhook: WebhookSettings = WebhookSettings.model_construct()
    handlers: tuple[Handler, ...] = Field((), max_length=20, description="Programs that are run with each message.")

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [handler.name for handler in self.handlers]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"handlers: two of them are called {twice!r}")
        return self
