"""The names that SutazAI's own guide has for tasks, beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

OTHER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        **{"health": "health-check", "daily-health-check": "health-check"},
        **{"logs": "log-rotation", "log-rotation-cleanup": "log-rotation"},
        **{"databases": "database-maintenance", "database": "database-maintenance"},
        **{"certificates": "certificate-renewal", "certificate": "certificate-renewal"},
        **{"agents": "agent-monitor", "agent-restart-monitor": "agent-monitor"},
        **{"performance": "performance-report", "performance-report-generator": "performance-report"},
        **{"security": "security-scan", "security-scanner": "security-scan"},
        **{"backups": "backup-verification", "backup": "backup-verification"},
    }
)
"""By the name of its script, and by the word for what it reports on."""


def task_of(name: str) -> str:
    """Our name of a task; a name that is none stays as it is."""
    return OTHER_NAMES.get(name, name)
