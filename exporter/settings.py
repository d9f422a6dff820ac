"""Every setting there is, and the name that each has in the environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import AfterValidator, Field, SecretStr, create_model, model_validator
from pydantic.fields import FieldInfo

from exporter.alertmanager.settings import AlertmanagerSettings
from exporter.bridge.outgoing.settings import NotificationSettings
from exporter.bridge.remediation.settings import RemediationSettings
from exporter.rules.settings import AlertSettings
from exporter.setting_types import MailAddress
from jobs.core.registry import all_jobs
from jobs.core.settings import HttpPath, Seconds, SettingsModel, SomePath, World

PREFIX = "SUTAZAI_"

GUIDE_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "SUTAZAI_DOMAIN": ("certificate", "domain"),
    "SUTAZAI_ORG": ("certificate", "organization"),
    "SUTAZAI_CITY": ("certificate", "city"),
    "SUTAZAI_STATE": ("certificate", "state"),
    "SUTAZAI_COUNTRY": ("certificate", "country"),
    "SUTAZAI_MAX_MEMORY_USAGE": ("thresholds", "max_memory_percent"),
    "SUTAZAI_MAX_DISK_USAGE": ("thresholds", "max_disk_percent"),
    "SUTAZAI_MAX_LOAD_THRESHOLD": ("thresholds", "max_load_per_core"),
}
"""Variables that installations of SutazAI set already, and the settings they are."""


def _listen_address(text: str) -> str:
    match = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]*):(\d{1,5})", text)
    if not match or not 1 <= int(match[2]) <= 65535:
        raise ValueError(f"{text!r} is no address to listen on; write host:port, such as 127.0.0.1:10042")
    return text


ListenAddress = Annotated[str, AfterValidator(_listen_address)]


class WebSettings(SettingsModel):
    """The HTTP server."""

    listen_address: ListenAddress = Field("127.0.0.1:10042", description="Address to serve on.")
    telemetry_path: HttpPath = Field("/metrics", description="Path of the metrics.")
    config_file: SomePath | None = Field(
        None, description="Web configuration file as Prometheus' exporters have it: TLS, users, headers; unset: none."
    )
    health_without_authentication: bool = Field(
        False, description="Answer /-/healthy and /-/ready also to those who do not say who they are."
    )
    metrics_need_token: bool = Field(
        True, description="Whether the metrics take a token from elsewhere, a user or a client certificate."
    )
    max_connections: int = Field(512, ge=8, le=65536, description="Open connections; the stalest gives way.")
    header_timeout_seconds: Seconds = Field(10, description="Time for a request's headers to arrive.")
    body_timeout_seconds: Seconds = Field(30, description="Time for a request's body to arrive.")
    max_body_bytes: int = Field(1 << 20, ge=1024, le=1 << 30, description="Largest request body.")
    max_series_per_family: int = Field(
        50_000, ge=100, le=10_000_000, description="Series of one family beyond this are dropped and counted."
    )


class LogSettings(SettingsModel):
    """The daemon's own log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is written.")
    format: Literal["logfmt", "json"] = Field("logfmt", description="How a line is written.")


class TextfileSettings(SettingsModel):
    """Output for node-exporter's textfile collector."""

    directory: SomePath | None = Field(
        None, description="Directory to write sutazai.prom to after each run; unset: none."
    )


class RunsSettings(SettingsModel):
    """What holds for every run."""

    max_parallel: int = Field(8, ge=1, le=64, description="Runs side by side.")
    stop_grace_seconds: Seconds = Field(10, description="Time a run has to end by itself when it is stopped.")
    ledger_retention_days: int = Field(90, ge=1, le=3650, description="How long the ledger of runs is kept.")


class ReportsSettings(SettingsModel):
    """Reports and run logs."""

    keep_per_task: int = Field(200, ge=1, le=100_000, description="Newest reports of a task that are kept.")
    retention_days: int = Field(90, ge=1, le=3650, description="Reports older than this are removed.")


class Settings(World):
    """Every setting there is. `jobs` has one section for each job, named as its file."""

    admin_email: MailAddress | None = Field(None, description="The person in charge.")
    web: WebSettings = WebSettings.model_construct()
    log: LogSettings = LogSettings.model_construct()
    textfile: TextfileSettings = TextfileSettings.model_construct()
    runs: RunsSettings = RunsSettings.model_construct()
    reports: ReportsSettings = ReportsSettings.model_construct()
    notifications: NotificationSettings = NotificationSettings.model_construct()
    alertmanager: AlertmanagerSettings = AlertmanagerSettings.model_construct()
    remediation: RemediationSettings = RemediationSettings.model_construct()
    alerts: AlertSettings = AlertSettings.model_construct()
    jobs: Any = None

    @model_validator(mode="after")
    def _mail_reaches_somebody(self) -> Self:
        mail = self.notifications.mail
        if mail.host and not (mail.recipients or self.admin_email):
            raise ValueError(
                "notifications.mail.host is set and nobody to send to; set notifications.mail.recipients or admin_email"
            )
        return self


@cache
def settings_model() -> type[Settings]:
    """Settings with one section for each job that is there."""
    sections: dict[str, Any] = {job.key: (job.settings, job.settings.model_construct()) for job in all_jobs().values()}
    jobs_model = create_model("JobsSettings", __base__=SettingsModel, __doc__="One section for each job.", **sections)
    jobs = (jobs_model, jobs_model.model_construct())
    return create_model("Settings", __base__=Settings, __doc__=Settings.__doc__, jobs=jobs)


@cache
def leaf_fields() -> tuple[tuple[tuple[str, ...], FieldInfo], ...]:
    """Every setting that is not a section, with its path."""
    return tuple(_walk(settings_model(), ()))


def _walk(model: type[SettingsModel], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    for name, info in model.model_fields.items():
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, SettingsModel):
            yield from _walk(annotation, (*above, name))
        else:
            yield (*above, name), info


@cache
def environment_names() -> Mapping[str, tuple[tuple[str, ...], FieldInfo]]:
    """Every variable that is understood, with the setting it is."""
    fields = dict(leaf_fields())
    names = {PREFIX + "__".join(path).upper(): (path, info) for path, info in fields.items()}
    return names | {name: (path, fields[path]) for name, path in GUIDE_VARIABLES.items()}


def is_secret(info: FieldInfo) -> bool:
    """Whether a setting must never be shown."""
    return any(isinstance(kind, type) and issubclass(kind, SecretStr) for kind in _types(info.annotation))


def wants_text(info: FieldInfo) -> bool:
    """Whether a setting is text of some kind, so that a password `123` stays text."""
    types = _types(info.annotation)
    return is_secret(info) or bool(types & {str, Path}) or any(isinstance(kind, str) for kind in types)


def _types(annotation: Any) -> set[Any]:
    """The types and literal values that an annotation allows, without None."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType, Literal):
        return set().union(*(_types(inner) for inner in get_args(annotation)))
    if hasattr(annotation, "__metadata__"):
        return _types(annotation.__origin__)
    return set() if annotation is type(None) else {origin or annotation}
