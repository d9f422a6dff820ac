"""What the scan of the area `code` can be told."""

from __future__ import annotations

from pydantic import Field

from jobs.core.settings import SettingsModel


class CodeSettings(SettingsModel):
    """The area `code`."""

    enabled: bool = Field(True, description="Whether the area is scanned; switched off, the report says so.")
