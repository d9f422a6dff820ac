"""What the maintenance of databases can be told, all of its parts together."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from jobs.backups.settings import BackupMaking
from jobs.databases.postgres_settings import PostgresMaintenance
from jobs.databases.redis_settings import RedisMaintenance


class Settings(PostgresMaintenance, RedisMaintenance, BackupMaking):
    """What the maintenance can be told."""

    max_run_seconds: Annotated[float, Field(ge=1, le=86400)] = Field(10800, description="A run is killed after this.")
