"""The names that SutazAI's own guide has for tasks: those of its scripts, and its words for what they report on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SCRIPTS: Mapping[str, str] = MappingProxyType(
    {
        "daily-health-check": "health-check",
        "log-rotation-cleanup": "log-rotation",
        "database-maintenance": "database-maintenance",
        "certificate-renewal": "certificate-renewal",
        "agent-restart-monitor": "agent-monitor",
        "performance-report-generator": "performance-report",
        "security-scanner": "security-scan",
        "backup-verification": "backup-verification",
    }
)
"""Our tasks by the name of the script (without `.sh`) that did such work."""
OTHER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        **SCRIPTS,
        "health": "health-check",
        "logs": "log-rotation",
        "databases": "database-maintenance",
        "database": "database-maintenance",
        "certificates": "certificate-renewal",
        "certificate": "certificate-renewal",
        "agents": "agent-monitor",
        "performance": "performance-report",
        "security": "security-scan",
        "backups": "backup-verification",
        "backup": "backup-verification",
    }
)


def task_of(name: str) -> str:
    """Our name of a task; a name that is none stays as it is."""
    return OTHER_NAMES.get(name, name)
