"""What the security scan can be told."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from jobs.core.model import Severity
from jobs.core.settings import JobSettings
from jobs.security.code.settings import CodeSettings
from jobs.security.configuration.settings import ConfigurationSettings
from jobs.security.containers.settings import ContainersSettings
from jobs.security.filesystem.settings import FileSystemSettings
from jobs.security.network.settings import NetworkSettings

STANDARD, FULL = "standard", "full"
MODES = (STANDARD, FULL)


class Settings(JobSettings):
    """What the scan looks at, how long it may, and what it reports."""

    severity_threshold: Severity = Field(Severity.MEDIUM, description="Findings below this are left out.")
    max_scan_seconds: Annotated[float, Field(ge=1, le=86400)] = Field(
        3600, description="Limit of the whole scan; what was reached by then is kept."
    )
    max_run_seconds: Annotated[float, Field(ge=1, le=86400)] = Field(4200, description="A run is killed after this.")
    containers: ContainersSettings = ContainersSettings()
    filesystem: FileSystemSettings = FileSystemSettings()
    network: NetworkSettings = NetworkSettings()
    code: CodeSettings = CodeSettings()
    configuration: ConfigurationSettings = ConfigurationSettings()
