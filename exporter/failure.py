"""How a command fails: in one line, and with an exit code of sysexits.h."""

from __future__ import annotations

EXIT_USAGE = 64
EXIT_UNAVAILABLE = 69
EXIT_CONFIG = 78


class Failure(Exception):
    """What was asked cannot be done: one line (the thing, the reason, the remedy) and an exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
