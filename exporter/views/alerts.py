"""Alerts that fire, and the remediations they have brought about."""

from __future__ import annotations

from exporter.views.shapes import AlertEntry, RemediationEntry
from exporter.views.sources import Sources


def firing(sources: Sources) -> list[AlertEntry]:
    """Every alert without an end, newest first."""
    raise NotImplementedError


def remediations(sources: Sources) -> list[RemediationEntry]:
    """Every remediation that is not over, those that wait for a person first."""
    raise NotImplementedError
