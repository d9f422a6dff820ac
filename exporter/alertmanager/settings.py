"""Where Alertmanager is, what it delivers, and when."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from exporter.setting_types import HeaderSecret, MailAddress, PostUrl
from jobs.core.settings import AbsolutePath, HttpUrl, Seconds, SettingsModel

Hour = Annotated[float, Field(gt=0, le=8760)]


class CriticalRoute(SettingsModel):
    """How Alertmanager sends what is critical."""

    wait_seconds: Seconds = Field(10, description="Time that a new group waits for more alerts, before it is told.")
    interval_seconds: Seconds = Field(60, description="Time before a group is told again when it has changed.")
    repeat_hours: Hour = Field(4, description="Time before a group that has not changed is told again.")
    recipients: tuple[MailAddress, ...] = Field((), max_length=20, description="Who gets critical mail besides.")


class OtherRoute(SettingsModel):
    """How Alertmanager sends everything else."""

    wait_seconds: Seconds = Field(120, description="Time that a new group waits for more alerts, before it is told.")
    interval_seconds: Seconds = Field(900, description="Time before a group is told again when it has changed.")
    repeat_hours: Hour = Field(24, description="Time before a group that has not changed is told again.")


class AlertmanagerSettings(SettingsModel):
    """The Alertmanager: problems are alerts there, its alerts come back for remediation, and it may tell of them."""

    url: HttpUrl | None = Field(None, description="Its base URL, to post problems to; unset: none are.")
    token: HeaderSecret | None = Field(None, description="Bearer token that it asks for.")
    ca_file: AbsolutePath | None = Field(None, description="Certificates to trust; unset: this host's.")
    timeout_seconds: Seconds = Field(10, description="Limit of one attempt.")
    delivers: tuple[Literal["mail", "webhook"], ...] | None = Field(
        None,
        description="What Alertmanager sends in the exporter's stead: mail, webhook; unset: both of them send both.",
    )
    bridge_url: HttpUrl | None = Field(
        None, description="Where it hands its alerts in; unset: /api/v1/alerts at web.listen_address."
    )
    bridge_token: HeaderSecret | None = Field(
        None, description="Token that it shows there (`token create --scope alert`)."
    )
    deadman_url: PostUrl | None = Field(
        None, description="Where it posts the Watchdog, to a service that speaks up when it stops; unset: nowhere."
    )
    templates: AbsolutePath | None = Field(
        None, description="Directory of your own templates (*.tmpl), which may define the bundled ones anew."
    )
    critical: CriticalRoute = CriticalRoute.model_construct()
    other: OtherRoute = OtherRoute.model_construct()
