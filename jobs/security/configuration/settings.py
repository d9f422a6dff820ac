"""What the scan of the area `configuration` can be told."""

from __future__ import annotations

from pydantic import Field

from jobs.core.settings import SettingsModel


class ConfigurationSettings(SettingsModel):
    """The area `configuration`."""

    enabled: bool = Field(True, description="Whether the area is scanned; switched off, the report says so.")
