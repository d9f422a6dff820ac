"""What the verification can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from jobs.core.settings import JobSettings, Percent, Seconds

DrillMode = Literal["auto", "server", "cluster", "off"]


class Settings(JobSettings):
    """What is checked, how thoroughly, and what is asked of the backups."""

    max_run_seconds: Annotated[float, Field(ge=1, le=86400)] = Field(7200, description="A run is killed after this.")
    max_backup_age_days: float = Field(7, gt=0, le=3650, description="Age from which a source's newest is too old.")
    max_verification_seconds: Seconds = Field(300, description="Limit of one restore in a drill.")
    verify_all: bool = Field(False, description="Whether the full run restores every dump, not each newest.")
    drill: DrillMode = Field(
        "auto",
        description="Where dumps are restored: in a private cluster, on the server, auto (a cluster where the programs "
        "of its version are installed, else the server), or off.",
    )
    drill_directory: Path | None = Field(
        None, description="Where private clusters are put; unset: where temporary files go."
    )
    drill_extensions: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,63}$")], ...] = Field(
        (), description="Extensions that only a superuser may create: made before a dump is restored."
    )
    restore_jobs: int = Field(2, ge=1, le=64, description="Connections that restore one custom dump.")
    storage_warn_percent: Percent = Field(80, description="Use of the backups' disk beyond which it is a warning.")
    storage_max_percent: Percent = Field(90, description="Use of the backups' disk beyond which it is too full.")
    history_days: int = Field(30, ge=1, le=3650, description="How far back the success ratio looks.")
    evidence_files: int = Field(50, ge=1, le=10000, description="Files of evidence kept of each database's drills.")

    @model_validator(mode="after")
    def _limits_are_in_order(self) -> Self:
        if self.storage_warn_percent > self.storage_max_percent:
            raise ValueError(
                f"storage_warn_percent: {self.storage_warn_percent:g} is above storage_max_percent "
                f"({self.storage_max_percent:g})"
            )
        return self
