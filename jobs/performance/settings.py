"""What the performance report can be told."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from jobs.core.settings import Percent
from jobs.performance.sampling.settings import SamplingSettings


class Settings(SamplingSettings):
    """What is sampled, what costs score, when two periods can be compared, and how the report is written."""

    max_run_seconds: Annotated[float, Field(ge=1, le=86400)] = Field(300, description="A run is killed after this.")
    report_format: Literal["json", "html", "both"] = Field("both", description="Forms in which a report is written.")
    busy_memory_percent: Percent = Field(60, description="Memory use beyond which 5 points are lost.")
    busy_disk_percent: Percent = Field(70, description="Use of a file system beyond which 10 points are lost.")
    min_healthy_agents_percent: Percent = Field(80, description="Share of well agents below which 25 points are lost.")
    min_cache_hit_percent: Percent = Field(90, description="Reads from PostgreSQL's cache below which 10 are lost.")
    max_connection_percent: Percent = Field(80, description="PostgreSQL connections beyond which 15 are lost.")
    min_coverage_percent: Percent = Field(
        25, description="Share of both periods that must be known of a figure to compare it."
    )
    finding_points: float = Field(10, gt=0, le=100, description="Deductions from this on are findings.")
    max_worse_findings: int = Field(10, ge=0, le=1000, description="Findings on what got worse, the worst first.")

    @model_validator(mode="after")
    def _sampling_fits_into_a_run(self) -> Self:
        if self.sample_deadline_seconds >= self.max_run_seconds:
            raise ValueError(
                f"sample_deadline_seconds: {self.sample_deadline_seconds:g} must be below max_run_seconds "
                f"({self.max_run_seconds:g})"
            )
        return self
