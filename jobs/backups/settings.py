"""What the making of backups can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from jobs.core.backups import Format
from jobs.core.settings import JobSettings, Seconds


class BackupMaking(JobSettings):
    """What is backed up, how, and how long it is kept."""

    backup_enabled: bool = Field(True, description="Whether backups are made.")
    backup_format: Literal["custom", "sql"] = Field(
        "custom", description="What a dump is: pg_dump's custom format (for pg_restore), or SQL as .sql.gz (for psql)."
    )
    backup_redis: bool = Field(True, description="Whether Redis is backed up.")
    backup_config_paths: tuple[Path, ...] = Field(
        (), description="Files and directories to back up with config/ of the base directory."
    )
    backup_retention_days: int = Field(
        30, ge=1, le=36500, description="Older backups go, except the newest and the newest verified of each source."
    )
    backup_timeout_seconds: Seconds = Field(3600, description="Limit of one backup.")
    backup_lock_timeout_seconds: Seconds = Field(
        60, description="How long a dump waits for a table that somebody has locked."
    )
    backup_min_free_mb: int = Field(
        256, ge=0, le=1 << 30, description="Space that a backup leaves free on its file system."
    )
    backup_max_archive_mb: int = Field(
        1024, ge=1, le=1 << 20, description="Files that one archive may hold, before they are compressed."
    )

    @property
    def dump_format(self) -> Format:
        """What a dump's file is."""
        return Format.SQL if self.backup_format == "sql" else Format.CUSTOM_DUMP
