"""What the guide's own setup-automation-cron.sh has left: units of these names that run its scripts."""

from __future__ import annotations

import re

_NAMES = (
    "health-check",
    "log-cleanup",
    "db-maintenance",
    "cert-renewal",
    "agent-monitor",
    "performance-daily",
    "performance-weekly",
    "security-scan",
    "security-full",
    "backup-verify",
    "backup-verify-full",
)
_UNIT_NAME = re.compile(rf"sutazai-({'|'.join(_NAMES)})\.(service|timer)")
_DESCRIPTION = re.compile(rb"^Description=(?:Timer for )?SutazAI Automation - sutazai-", re.MULTILINE)


def is_guides_unit(name: str, content: bytes) -> bool:
    """Whether a unit is one that the guide's set-up has written."""
    return bool(_UNIT_NAME.fullmatch(name) and _DESCRIPTION.search(content))
