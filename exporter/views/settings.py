"""The settings as they are in force."""

from __future__ import annotations

from exporter.views.shapes import SettingEntry
from exporter.views.sources import Sources


def settings(sources: Sources) -> list[SettingEntry]:
    """Every setting, secrets masked, in the order of the reference."""
    raise NotImplementedError
