"""What the bridge can be told: who hears of problems and how, and what an alert may bring about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from exporter.bridge.hours import Hours
from exporter.bridge.model import RemediationMode
from jobs.core.addresses import is_loopback
from jobs.core.job import Job
from jobs.core.model import MetricType, Severity
from jobs.core.registry import all_jobs
from jobs.core.settings import AgentName, HttpUrl, Port, Seconds, SettingsModel

MAIL_ADDRESS = r"^[^@\s,;:<>()\[\]\"\\\x00-\x1f\x7f-\x9f]{1,64}@[A-Za-z0-9.-]{1,253}$"
"""One address and nothing that could make it two."""

MIN_SECRET = 16
"""Characters of a secret that signs; a shorter one can be guessed from what it has signed."""

_LABEL = r"^[a-zA-Z_][a-zA-Z0-9_]{0,127}$"
_HOST = r"^(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})$"


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError(f"{str(path)!r}: an absolute path is needed")
    return path


def _printable(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]{1,4096}", secret.get_secret_value()):
        raise ValueError("only printable ASCII without blanks can be sent (4096 characters at most)")
    return secret


def _typed(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[ -~]{1,4096}", secret.get_secret_value()):
        raise ValueError("only printable ASCII can be sent (4096 characters at most)")
    return secret


def _long(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < MIN_SECRET:
        raise ValueError(f"is shorter than {MIN_SECRET} characters; make one with: openssl rand -hex 32")
    return secret


def _mail_address(text: str) -> str:
    if not re.fullmatch(MAIL_ADDRESS, text):
        raise ValueError(f"{text[:100]!r} is not one mail address; write it as somebody@example.org")
    return text


MailAddress = Annotated[str, AfterValidator(_mail_address)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
HeaderSecret = Annotated[SecretStr, AfterValidator(_printable)]
Password = Annotated[SecretStr, AfterValidator(_typed)]
SigningSecret = Annotated[SecretStr, AfterValidator(_long)]
LabelName = Annotated[str, Field(pattern=_LABEL)]
FamilyName = Annotated[str, Field(pattern=r"^sutazai_[a-z0-9_]{1,200}$")]
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

    url: HttpUrl | None = Field(None, description="Where to; unset: nowhere.")
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
    mail: MailSettings = MailSettings()
    webhook: WebhookSettings = WebhookSettings()
    handlers: tuple[Handler, ...] = Field((), max_length=20, description="Programs that are run with each message.")

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [handler.name for handler in self.handlers]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"handlers: two of them are called {twice!r}")
        return self


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
    deadman_url: HttpUrl | None = Field(
        None, description="Where it posts the Watchdog, to a service that speaks up when it stops; unset: nowhere."
    )
    templates: AbsolutePath | None = Field(
        None, description="Directory of your own templates (*.tmpl), which may define the bundled ones anew."
    )
    critical: CriticalRoute = CriticalRoute()
    other: OtherRoute = OtherRoute()


def _known(task: str, mode: str) -> Job:
    job = all_jobs().get(task)
    if job is None:
        raise ValueError(f"no task is called {task!r}; there are {', '.join(all_jobs())}")
    if mode and mode not in job.modes:
        raise ValueError(f"{task} has no mode {mode!r}; it has {', '.join(job.modes)}")
    return job


class Step(SettingsModel):
    """One run of a remediation."""

    task: str = Field(description="Task to run.")
    mode: str = Field("", description="One of its modes; unset: its first.")

    @model_validator(mode="after")
    def _exists(self) -> Self:
        _known(self.task, self.mode)
        return self


class Proof(Step):
    """The look that shows whether a remediation worked: a run, and what its figures must then be.

    It is good if every series of `metric` whose `labels` are those of the alert is within `at_least` and `at_most`,
    and if there is one, unless `or_absent`.
    """

    metric: FamilyName = Field(description="Family that the run reports.")
    per: FamilyName | None = Field(None, description="Family with the same labels that its values are divided by.")
    labels: tuple[LabelName, ...] = Field((), description="Labels that must be as the alert's.")
    at_least: float | None = Field(None, description="Least value that is well.")
    at_most: float | None = Field(None, description="Greatest value that is well.")
    from_now: bool = Field(
        False, description="Whether the values are Unix times, and the limits seconds from now (negative: ago)."
    )
    or_absent: bool = Field(False, description="Whether it is well as well if there is no such series.")
    witness: FamilyName | None = Field(
        None, description="With or_absent: family that must have such a series, which shows that the run looked there."
    )

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        families = {family.name: family for family in _known(self.task, self.mode).metrics}
        for name in filter(None, (self.metric, self.per, self.witness)):
            if name not in families or families[name].type is not MetricType.GAUGE:
                raise ValueError(f"{self.task} reports no gauge {name!r}; `sutazai-exporter metrics` lists them")
            lacking = [label for label in self.labels if label not in families[name].labels]
            if lacking:
                has = ", ".join(families[name].labels) or "none"
                raise ValueError(f"{name} has no label {lacking[0]!r}; it has {has}")
        if self.at_least is None and self.at_most is None:
            raise ValueError("at_least or at_most is needed: without a limit it proves nothing")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least:g} is above at_most {self.at_most:g}: no value is both")
        return self


class Remediation(SettingsModel):
    """What one alert may bring about."""

    name: AgentName = Field(description="What it is called in metrics and in the audit log.")
    alert: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$", description="The alert's name.")
    labels: Mapping[LabelName, str] = Field({}, description="Further labels that the alert must have.")
    target_label: LabelName | None = Field(
        None, description="Label that names the agent to act on, which must be a known one; unset: the task as a whole."
    )
    steps: tuple[Step, ...] = Field(max_length=5, description="Runs that mend it, one after another.")
    proof: Proof = Field(description="The look that shows whether they did.")
    mode: RemediationMode | None = Field(None, description="off, shadow, approve or auto; unset: remediation.mode.")

    @model_validator(mode="after")
    def _can_be_run(self) -> Self:
        if not self.steps:
            raise ValueError("steps: at least one run is needed")
        without = [step.task for step in self.steps if not all_jobs()[step.task].takes_target]
        if self.target_label and without:
            raise ValueError(f"target_label: {without[0]} takes no target; leave it out")
        return self


class RemediationSettings(SettingsModel):
    """What alerts that come in may bring about."""

    mode: RemediationMode = Field(
        RemediationMode.APPROVE,
        description="off; shadow (only say what would be done); approve (wait for a person); auto.",
    )
    rules: tuple[Remediation, ...] | None = Field(
        None, max_length=100, description="The remediations; unset: the bundled ones."
    )
    max_per_target_per_hour: int = Field(3, ge=1, le=60, description="Remediations of one target in a sliding hour.")
    max_per_hour: int = Field(10, ge=1, le=1000, description="Remediations of everything in a sliding hour.")
    cool_down_seconds: Annotated[float, Field(ge=0, le=86400)] = Field(
        300, description="Rest of a target after a remediation, before another one."
    )
    max_attempts: int = Field(3, ge=1, le=10, description="Attempts to mend one problem, before a person is called.")
    backoff_seconds: Annotated[float, Field(ge=0, le=86400)] = Field(
        300, description="Wait before the second attempt; it doubles with each further one."
    )
    approval_hours: float = Field(24, gt=0, le=8760, description="An unanswered question is dropped after this.")
    maintenance_windows: tuple[Hours, ...] = Field(
        (), description="Hours, such as sunday 02:00-04:00, in which nothing is done; it waits until they are over."
    )

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [rule.name for rule in self.rules or ()]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"rules: two of them are called {twice!r}")
        return self
