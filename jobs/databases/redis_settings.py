"""What the maintenance of Redis can be told."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from jobs.core.settings import JobSettings, Percent, Seconds


class RedisMaintenance(JobSettings):
    """When Redis's memory is put in order, when its data is saved, and what is a warning."""

    redis_max_fragmentation_ratio: Annotated[float, Field(ge=1.05, le=100)] = Field(
        1.5, description="Pages in use against data in them, beyond which memory is defragmented."
    )
    redis_reclaim_min_mb: int = Field(
        128,
        ge=1,
        le=1048576,
        description="Megabytes that must be wasted before anything is done; smaller instances are left alone.",
    )
    redis_defrag_seconds: Annotated[float, Field(ge=0, le=86400)] = Field(
        300, description="Limit of active defragmentation in one run; 0: never."
    )
    redis_save_max_age_hours: Annotated[float, Field(gt=0, le=8760)] = Field(
        24, description="Age of the last save from which changes are saved; twice this is a warning."
    )
    redis_save_max_changes: int = Field(
        100_000, ge=1, le=1_000_000_000, description="Changes since the last save from which they are saved."
    )
    redis_save_timeout_seconds: Seconds = Field(600, description="Limit of waiting for a save to end.")
    redis_max_memory_percent: Percent = Field(90, description="Share of maxmemory beyond which it is a warning.")
    redis_max_clients_percent: Percent = Field(80, description="Share of maxclients beyond which it is a warning.")
    redis_max_lag_seconds: Seconds = Field(60, description="How far a replica may be behind before it is a warning.")
    redis_slow_commands: int = Field(10, ge=1, le=128, description="Slow commands that are looked at and reported.")
