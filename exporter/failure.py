"""How a command fails: in one line, and with an exit code of sysexits.h."""

from __future__ import annotations

import errno

EXIT_USAGE = 64
EXIT_UNAVAILABLE = 69
EXIT_CONFIG = 78


def remedy_for(error: OSError, usual: str) -> str:
    """What to do where a file cannot be written: `usual`, but on a full disk another user can write as little."""
    return "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else usual


class Failure(Exception):
    """What was asked cannot be done: one line (the thing, the reason, the remedy) and an exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
