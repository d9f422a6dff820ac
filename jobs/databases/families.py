"""What is exported about the maintenance and everything that it looks after."""

from __future__ import annotations

from jobs.backups.families import FAMILIES as BACKUP_FAMILIES
from jobs.core.model import Family
from jobs.databases.postgres_families import FAMILIES as POSTGRES_FAMILIES
from jobs.databases.redis_families import FAMILIES as REDIS_FAMILIES

SUCCESS = Family(
    name="sutazai_database_maintenance_success",
    help="1 if the last maintenance of the part (postgres/SERVER, redis, backups) failed at nothing, else 0.",
    labels=("part",),
)
LAST = Family(
    name="sutazai_database_maintenance_timestamp_seconds",
    help="When the last maintenance of the part ended, whatever came of it.",
    labels=("part",),
)
SECONDS = Family(
    name="sutazai_database_maintenance_duration_seconds",
    help="How long the last maintenance of the part took.",
    labels=("part",),
)
FAMILIES = (SUCCESS, LAST, SECONDS, *BACKUP_FAMILIES, *POSTGRES_FAMILIES, *REDIS_FAMILIES)
