"""What is exported about backups and their making: kinds and sources, never one series for each file."""

from __future__ import annotations

from jobs.core.model import Family, MetricType

_OF_SOURCE = ("kind", "source")

LAST_SUCCESS = Family(
    name="sutazai_backup_last_success_timestamp_seconds",
    help="When the newest backup of the source was made.",
    labels=_OF_SOURCE,
)
FAILED = Family(
    name="sutazai_backup_failed",
    help="1 if the last run could not make a backup of the source, else 0.",
    labels=_OF_SOURCE,
)
BYTES = Family(name="sutazai_backup_bytes", help="Size of the newest backup of the source.", labels=_OF_SOURCE)
DURATION = Family(
    name="sutazai_backup_duration_seconds",
    help="How long making the backup of the source took in the last run.",
    labels=_OF_SOURCE,
)
COUNT = Family(name="sutazai_backups", help="Backups that are there.", labels=("kind",))
STORED = Family(name="sutazai_backups_stored_bytes", help="What the backups take up.", labels=("kind",))
FREE = Family(
    name="sutazai_backup_storage_free_bytes", help="Space that is left on the file system that backups are written to."
)
MADE = Family(
    name="sutazai_backups_made_total",
    help="Backups that were to be made, by what came of it (ok, failed).",
    labels=("kind", "result"),
    type=MetricType.COUNTER,
)
REMOVED = Family(
    name="sutazai_backups_removed_total",
    help="Backups that were removed because they were too old.",
    labels=("kind",),
    type=MetricType.COUNTER,
)
FAMILIES = (LAST_SUCCESS, FAILED, BYTES, DURATION, COUNT, STORED, FREE, MADE, REMOVED)
