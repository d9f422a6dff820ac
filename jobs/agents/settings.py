"""What the agent monitor can be told."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from jobs.core.cadence import Cadence
from jobs.core.settings import JobSettings, Seconds

CADENCES = (Cadence(minutes=5),)
"""When it runs, unless told."""


class Settings(JobSettings):
    """When the monitor acts, and how often at most."""

    consecutive_failures: int = Field(3, ge=1, le=1000, description="Failures in a row that lead to a restart.")
    max_restarts_per_hour: int = Field(
        3, ge=1, le=60, description="Restarts of one agent in a sliding hour; the next failure quarantines it."
    )
    backoff_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        30, description="Wait before the second restart within the hour; it doubles with each further one."
    )
    recovery_timeout_seconds: Seconds = Field(
        30, description="Time to become healthy after a restart; a container younger than this may be starting."
    )
    stop_timeout_seconds: Annotated[float, Field(ge=0, le=600)] = Field(
        10, description="Time that a running agent gets to stop before it is killed."
    )
    auto_restart: bool = Field(True, description="Whether it restarts agents, or only reports.")
    evidence_log_lines: int = Field(200, ge=0, le=10000, description="Log lines kept as evidence of a failure.")
    evidence_files: int = Field(50, ge=1, le=10000, description="Evidence files kept of each agent.")
