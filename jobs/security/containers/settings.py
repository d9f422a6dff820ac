"""What the scan of the area `containers` can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from jobs.core.settings import Seconds, SettingsModel


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("a path here is absolute")
    return path


class TrivySettings(SettingsModel):
    """Trivy, which looks into images. It is never installed by the exporter."""

    program: Annotated[str, Field(min_length=1, max_length=4096)] = Field("trivy", description="Its name, or its path.")
    cache_dir: Annotated[Path, AfterValidator(_absolute)] | None = Field(
        None,
        description="Its databases and what it knows of layers; unset: Trivy's own choice (~/.cache/trivy).",
    )
    update_database: bool = Field(
        False, description="Whether its databases are brought up to date from the network before the scan."
    )
    max_image_seconds: Seconds = Field(600, description="Limit for one image.")
    max_database_age_days: float = Field(
        7, gt=0, le=3650, description="A database older than this cannot know what is new, and the scan is incomplete."
    )
    ignore_unfixed: bool = Field(False, description="Leave out vulnerabilities for which there is no fixed version.")


class ContainersSettings(SettingsModel):
    """The area `containers`."""

    enabled: bool = Field(True, description="Whether the area is scanned; switched off, the report says so.")
    trivy: TrivySettings = TrivySettings.model_construct()
