"""What an alert may bring about, and within which limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from exporter.bridge.hours import Hours
from exporter.bridge.model import RemediationMode
from jobs.core.job import Job
from jobs.core.model import MetricType
from jobs.core.registry import all_jobs
from jobs.core.settings import AgentName, SettingsModel

LabelName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,127}$")]
FamilyName = Annotated[str, Field(pattern=r"^sutazai_[a-z0-9_]{1,200}$")]


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
    negligible: float = Field(0, ge=0, description="With per: a value up to this, divided by whatever, counts as 0.")
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
        always = [step for step in self.steps if step.mode in all_jobs()[step.task].needs_target]
        if always and not self.target_label:
            step = f"{always[0].task} {always[0].mode}"
            raise ValueError(f"target_label: {step} is always about one thing: name the label that names it")
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
    max_per_target_per_hour: int = Field(3, ge=1, le=60, description="Attempts on one target in a sliding hour.")
    max_per_hour: int = Field(10, ge=1, le=1000, description="Attempts on everything in a sliding hour.")
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
