"""What the scan of the area `containers` can be told."""

from __future__ import annotations

from pydantic import Field

from jobs.core.settings import SettingsModel


class ContainersSettings(SettingsModel):
    """The area `containers`."""

    enabled: bool = Field(True, description="Whether the area is scanned; switched off, the report says so.")
