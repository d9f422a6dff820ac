"""What the scan of the area `configuration` can be told."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from jobs.clients.file_search import NOT_OURS
from jobs.core.settings import SettingsModel

COMPOSE_NAMES = ("compose*.yml", "compose*.yaml", "docker-compose*.yml", "docker-compose*.yaml")
ENVIRONMENT_NAMES = (".env", ".env.*", "*.env")
NOT_CONFIGURATION = (*NOT_OURS, "*.example", "*.sample", "*.template", "*.dist")


class ConfigurationSettings(SettingsModel):
    """The area `configuration`: Compose files, variables, Docker, sshd, PostgreSQL, Redis, the exporter itself."""

    enabled: bool = Field(True, description="Whether the area is scanned; switched off, the report says so.")
    paths: tuple[Path, ...] = Field(
        (), description="Directories and files that are searched for configuration; empty: the base directory."
    )
    compose_names: tuple[str, ...] = Field(COMPOSE_NAMES, description="Patterns of the names of Compose files.")
    environment_names: tuple[str, ...] = Field(
        ENVIRONMENT_NAMES, description="Patterns of the names of files of environment variables."
    )
    excluded: tuple[str, ...] = Field(
        NOT_CONFIGURATION, description="Patterns of the names of directories and files that are left out."
    )
    max_depth: int = Field(6, ge=0, le=64, description="Levels of directories that are searched.")
    max_files: int = Field(2000, ge=1, le=100_000, description="Files beyond this are not read, and told of.")
    host_root: Path = Field(
        Path("/"), description="Where the host's own files are seen: a mount, where the exporter is in a container."
    )
    servers: bool = Field(
        True, description="Whether PostgreSQL and Redis are asked for the configuration that is in force."
    )
