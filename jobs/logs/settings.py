"""What the log rotation can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from jobs.core.settings import JobSettings, SettingsModel


def _pattern(text: str) -> str:
    if not text or "/" in text or "\0" in text:
        raise ValueError("a pattern is matched against file names, such as *.log; it has no '/'")
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]


class LogDirectory(SettingsModel):
    """A directory with logs. `signal` or `command` matter only where a log cannot be cut while it is written to."""

    directory: Path = Field(description="The directory, absolute or below the base directory.")
    patterns: tuple[Pattern, ...] = Field(("*.log",), min_length=1, description="Names of logs, as a shell has them.")
    recursive: bool = Field(False, description="Whether directories inside it are looked into as well.")
    signal: Literal["HUP", "USR1", "USR2"] | None = Field(
        None, description="Signal by which a writer opens its log anew; sent to those that have it open."
    )
    command: tuple[str, ...] | None = Field(
        None, min_length=1, description="Command and arguments that have the writers open their logs anew."
    )


class Settings(JobSettings):
    """When a log is rotated, how long archives are kept, and what counts as too much."""

    max_run_seconds: Annotated[float, Field(ge=1, le=86400)] = Field(3600, description="A run is killed after this.")
    max_memory_mb: int = Field(256, ge=64, le=1048576, description="Memory that a run may allocate.")
    directories: tuple[LogDirectory, ...] | None = Field(
        None, min_length=1, description="Where logs are; unset: *.log in logs/ of the base directory."
    )
    max_log_size_mb: int = Field(100, ge=1, le=1048576, description="Size beyond which a log is rotated.")
    max_log_age_days: int = Field(
        7, ge=1, le=3650, description="Days without a line after which a log that nobody has open is archived."
    )
    delete_archives_days: int = Field(30, ge=1, le=3650, description="Days after which an archive is deleted.")
    max_total_log_size_gb: float = Field(
        5, gt=0, le=1048576, description="What logs and archives may have together; more is reported."
    )
    enforce_total_cap: bool = Field(
        False, description="Whether every rotation deletes the oldest archives beyond the total, as mode force does."
    )
    docker_logs: bool = Field(True, description="Whether logs of containers (json-file driver) are rotated as well.")
    max_container_log_size_mb: int = Field(
        50, ge=1, le=1048576, description="Size beyond which a container's log is rotated."
    )
    min_free_mb: int = Field(
        100, ge=0, le=1048576, description="An archive is given up when less than this is free where it goes."
    )
    max_growth_mb_per_hour: int = Field(
        1024, ge=1, le=1048576, description="Growth of a directory's logs from which it is a warning."
    )
    max_deleted_open_mb: int = Field(
        100, ge=1, le=1048576, description="Room of deleted files held open from which it is a warning."
    )
    forecast_window_hours: float = Field(24, ge=1, le=48, description="How far back the trend of disk use looks.")
    min_hours_to_full: float = Field(24, ge=0, le=8760, description="A disk that is full before is a warning.")

    @model_validator(mode="after")
    def _each_directory_once(self) -> Self:
        paths = [entry.directory for entry in self.directories or ()]
        twice = next((path for path in paths if paths.count(path) > 1), None)
        if twice:
            raise ValueError(f"directories: {twice} stands here twice; give it all its patterns in one entry")
        return self
