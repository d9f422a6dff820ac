"""What the maintenance of PostgreSQL can be told."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from jobs.core.settings import JobSettings, Percent, Seconds

Days = Annotated[float, Field(ge=0, le=3650)]


class PostgresMaintenance(JobSettings):
    """When a table or an index of PostgreSQL is due, when nothing is touched, and what is a warning."""

    vacuum_threshold_days: Days = Field(
        7, description="A table that was changed is vacuumed when its last vacuum is older than this."
    )
    vacuum_dead_rows: int = Field(
        50, ge=0, le=1_000_000_000, description="Dead rows below which a table is left, with vacuum_dead_percent."
    )
    vacuum_dead_percent: Percent = Field(
        10, description="Share of a table's rows, beyond vacuum_dead_rows, that may be dead before it is vacuumed."
    )
    vacuum_age_percent: Percent = Field(
        50, description="Share of autovacuum_freeze_max_age from which a table's rows are frozen."
    )
    reindex_threshold_days: Days = Field(30, description="An index is not rebuilt again before this.")
    reindex_bloat_percent: Percent = Field(40, description="Share of an index that must be wasted to rebuild it.")
    reindex_bloat_mb: float = Field(
        10, gt=0, le=1_048_576, description="Megabytes of an index that must be wasted to rebuild it."
    )
    lock_timeout_seconds: Seconds = Field(5, description="Wait for a lock; whatever holds it longer is left alone.")
    statement_timeout_seconds: Seconds = Field(3600, description="Limit of one VACUUM, ANALYZE or REINDEX.")
    max_replica_lag_mb: float = Field(
        256, gt=0, le=1_048_576, description="Megabytes that a replica may be behind for maintenance to go on."
    )
    max_connection_percent: Percent = Field(80, description="PostgreSQL connections beyond which it is a warning.")
    max_transaction_seconds: Seconds = Field(3600, description="Age from which a transaction is a warning.")
