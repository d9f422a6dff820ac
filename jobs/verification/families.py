"""What a verification exports."""

from __future__ import annotations

from jobs.core.model import Family

SUCCESS = Family(
    name="sutazai_backup_success_ratio",
    help="Share of the checks of backups in recent runs that found a good one; a missing backup counts as a bad one.",
)
CHECKED = Family(
    name="sutazai_backups_checked",
    help="Backups by what the last verification found: verified, failed, or unknown as it could not be checked.",
    labels=("kind", "result"),
)
DAMAGED = Family(
    name="sutazai_backup_damaged",
    help="1 for each file that the last verification found to be no good backup (the newest twenty of them).",
    labels=("kind", "file"),
)
MISSING = Family(
    name="sutazai_backup_missing",
    help="1 if there is no backup at all of something that should have one, else 0.",
    labels=("kind", "source"),
)
NEWEST = Family(
    name="sutazai_backup_newest_verified_timestamp_seconds",
    help="When the newest backup of the source that was found whole was made.",
    labels=("kind", "source"),
)
MAX_AGE = Family(
    name="sutazai_backup_max_age_seconds", help="Age from which the newest backup of a source is too old (the setting)."
)
STORAGE = Family(name="sutazai_backup_storage_used_ratio", help="How full the file system of the backups is.")
STORAGE_LIMIT = Family(
    name="sutazai_backup_storage_limit_ratio",
    help="Use of the backups' file system from which it is a warning, and too much (the settings).",
    labels=("level",),
)
DRILL_STATE = Family(
    name="sutazai_restore_drill_state",
    help="1 for what came of the source's last restore drill: restored, failed, or unknown as it could not be made.",
    labels=("source", "state"),
)
DRILL_TIME = Family(
    name="sutazai_restore_drill_timestamp_seconds", help="When the source's last drill was.", labels=("source",)
)
RESTORE_SECONDS = Family(
    name="sutazai_restore_drill_restore_seconds",
    help="How long restoring took in the source's last drill (what the recovery time objective is about).",
    labels=("source",),
)
RESTORE_LIMIT = Family(
    name="sutazai_restore_drill_limit_seconds", help="How long a restore may take in a drill (the setting)."
)
RECOVERY_POINT = Family(
    name="sutazai_backup_recovery_point_timestamp_seconds",
    help="When the newest backup of the source that was restored in a drill was made.",
    labels=("source",),
)
LEFTOVERS = Family(
    name="sutazai_restore_drill_leftovers",
    help="Scratch databases and clusters of killed runs that the last verification found and removed.",
)
FAMILIES = (
    *(SUCCESS, CHECKED, DAMAGED, MISSING, NEWEST, MAX_AGE, STORAGE, STORAGE_LIMIT),
    *(DRILL_STATE, DRILL_TIME, RESTORE_SECONDS, RESTORE_LIMIT, RECOVERY_POINT, LEFTOVERS),
)
