"""The limits of alerts that no task has."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from jobs.core.settings import Percent, Seconds, SettingsModel

Points = Annotated[float, Field(ge=0, le=100)]


class AlertSettings(SettingsModel):
    """Limits of alerts that no task judges by; `sutazai-exporter rules` writes the rules with them and the others."""

    low_score: Points = Field(75, description="Health or performance score below which it is a warning.")
    critical_score: Points = Field(
        60, description="Health or performance score below which it is critical; a security score, a warning."
    )
    target_down_seconds: Seconds = Field(180, description="Time without a scrape of the exporter, or of its host.")
    agent_down_seconds: Seconds | None = Field(
        None, description="Time for which an agent may be down; unset: until two checks in a row have found it so."
    )
    agent_slow_seconds: Seconds = Field(5, description="Average of an agent's answers beyond which it is slow.")
    agent_restarts: int = Field(3, ge=1, le=1000, description="Restarts of an agent within six hours that are many.")
    container_restarts: int = Field(
        3, ge=1, le=12, description="Samples of an hour in which a container had restarted anew that are many."
    )
    container_memory_percent: Percent = Field(90, description="Share of its memory limit that a container may use.")
    memory_pressure_percent: Percent = Field(
        10, description="Share of 15 minutes for which everything may wait for memory."
    )
    disk_pressure_percent: Percent = Field(
        30, description="Share of 30 minutes for which everything may wait for disks."
    )
    backup_shrunk_percent: Percent = Field(
        50, description="Size of a new backup, against the largest of two days, below which it has shrunk."
    )
    backup_room_runs: int = Field(2, ge=1, le=100, description="Further backups that there must be room for.")
    backup_success_percent: Percent = Field(90, description="Share of checks that must have found a good backup.")
    certificate_imminent_days: float = Field(
        3, gt=0, le=365, description="Days left of a certificate below which it is critical."
    )
    critical_findings_hours: float = Field(
        24, gt=0, le=8760, description="Time for which critical findings of the security scan may stay open."
    )
    postgres_dead_percent: Percent = Field(30, description="Share of a database's rows that may be dead.")
    postgres_dead_rows: int = Field(100_000, ge=0, le=10**12, description="Dead rows that never matter.")
    postgres_replay_delay_seconds: Seconds = Field(300, description="How far a PostgreSQL replica may be behind.")
    postgres_slot_gb: float = Field(5, gt=0, le=1_048_576, description="WAL that a replication slot may retain.")
    postgres_deadlocks: int = Field(5, ge=0, le=10**9, description="Deadlocks that a database may have in an hour.")
    postgres_bloat_percent: Percent = Field(50, description="Share of a database that may be wasted in its tables.")
    postgres_bloat_gb: float = Field(5, ge=0, le=1_048_576, description="Waste in tables that never matters.")
    notification_down_seconds: Seconds = Field(900, description="Time for which a channel may take no message.")
    notification_delay_seconds: Seconds = Field(1800, description="Age that a message may have before it is sent.")
    approval_wait_seconds: Seconds = Field(900, description="Time for which a remediation may wait for a person.")

    @model_validator(mode="after")
    def _scores_are_in_order(self) -> Self:
        if self.critical_score > self.low_score:
            raise ValueError(f"critical_score: {self.critical_score:g} is above low_score ({self.low_score:g})")
        return self
