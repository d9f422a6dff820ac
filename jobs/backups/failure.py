"""Why a backup was not made."""

from __future__ import annotations


class BackupFailed(Exception):
    """A backup was not made, and nothing of it is left; the message is one line, `remedy` what may help."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.remedy = remedy
