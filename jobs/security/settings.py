"""What the security scan can be told."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from jobs.core.model import Severity
from jobs.core.settings import JobSettings, SettingsModel
from jobs.security.code.settings import CodeSettings
from jobs.security.configuration.settings import ConfigurationSettings
from jobs.security.containers.settings import ContainersSettings
from jobs.security.filesystem.settings import FileSystemSettings
from jobs.security.network.settings import NetworkSettings

STANDARD, FULL = "standard", "full"
MODES = (STANDARD, FULL)
REPORT_SECONDS = 60
"""Kept of a run for ending its scanners and writing down what they found."""


def _in_small_letters(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


AnyCase = BeforeValidator(_in_small_letters)
"""`MEDIUM` is as good as `medium`."""


class AcceptedRisk(SettingsModel):
    """Findings that are known and accepted for a time: listed apart, and not scored."""

    rule: str = Field(min_length=1, max_length=256, description="Rule, or a pattern of rules (CVE-2024-*).")
    subject: str = Field("*", min_length=1, max_length=1024, description="Subject, or a pattern of subjects.")
    reason: str = Field(min_length=1, max_length=1024, pattern=r"\S", description="Why it is accepted, and by whom.")
    until: date = Field(description="Last day on which it is accepted (2026-12-31); after that it counts again.")

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not self.rule.strip("*?") and not self.subject.strip("*?"):
            raise ValueError(
                f"rule {self.rule!r} with subject {self.subject!r} would accept everything: name one of them"
            )
        return self


class Settings(JobSettings):
    """What the scan looks at, how long it may, and what it reports."""

    severity_threshold: Annotated[Severity, AnyCase] = Field(
        Severity.MEDIUM, description="info, low, medium, high or critical: findings below are counted, and not scored."
    )
    max_scan_seconds: Annotated[float, Field(ge=1, le=86400)] = Field(
        3600, description="Limit of the whole scan, a minute below max_run_seconds; what was reached is kept."
    )
    max_scanner_seconds: Annotated[float, Field(ge=1, le=86400)] = Field(
        1800, description="Limit of each scanner within that."
    )
    disabled_scanners: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(
        (), description="Scanners that are switched off, by their names in the report."
    )
    parallel_scanners: int = Field(2, ge=1, le=16, description="Scanners that run side by side.")
    max_run_seconds: Annotated[float, Field(ge=1, le=86400)] = Field(4200, description="A run is killed after this.")
    max_memory_mb: int = Field(
        4096, ge=64, le=1048576, description="Memory that a run may allocate, and each program that a scanner starts."
    )
    report_format: Annotated[Literal["json", "html", "both"], AnyCase] = Field(
        "both", description="Forms of the report: json, html or both."
    )
    sarif: bool = Field(True, description="Whether findings are also written as SARIF, for other tools.")
    accepted_risks: tuple[AcceptedRisk, ...] = Field(
        (), description="Findings accepted for a time: each with rule, subject, reason, until."
    )
    containers: ContainersSettings = ContainersSettings.model_construct()
    filesystem: FileSystemSettings = FileSystemSettings.model_construct()
    network: NetworkSettings = NetworkSettings.model_construct()
    code: CodeSettings = CodeSettings.model_construct()
    configuration: ConfigurationSettings = ConfigurationSettings.model_construct()

    @model_validator(mode="after")
    def _scan_ends_before_the_run(self) -> Self:
        if self.max_scan_seconds > self.max_run_seconds - REPORT_SECONDS:
            raise ValueError(
                f"max_scan_seconds: {self.max_scan_seconds:g} must be {REPORT_SECONDS} below max_run_seconds "
                f"({self.max_run_seconds:g}), or the run is killed before it can report"
            )
        return self
