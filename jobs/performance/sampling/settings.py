"""What the sampling of performance can be told."""

from __future__ import annotations

from pydantic import Field

from jobs.core.settings import HttpPath, JobSettings, Seconds


class SamplingSettings(JobSettings):
    """How much is sampled, how long it may take, and from when a model counts as slow."""

    sample_deadline_seconds: Seconds = Field(60, description="Limit for everything that is sampled together.")
    max_containers: int = Field(200, ge=1, le=10000, description="Containers beyond this are not measured.")
    agent_metrics_path: HttpPath = Field("/metrics", description="Path where agents may tell figures of their own.")
    slow_statements: int = Field(5, ge=0, le=50, description="Slowest statements that are named for each database.")
    model_probe_interval_seconds: float = Field(
        900, ge=0, le=86400, description="Time between two short generations by one loaded model; 0: none at all."
    )
    model_probe_timeout_seconds: Seconds = Field(30, description="Limit of one short generation.")
    min_model_speed_ratio: float = Field(
        0.7, gt=0, le=1, description="Tokens per second, against the model's usual, below which it is slow."
    )
    max_first_token_ratio: float = Field(
        2, ge=1, le=100, description="Time to the first token, against the model's usual, beyond which it is slow."
    )
    model_baseline_days: int = Field(
        14, ge=1, le=400, description="How far back a model's usual figures are looked for."
    )
    min_model_probes: int = Field(10, ge=2, le=10000, description="Figures that must be known before they are usual.")
