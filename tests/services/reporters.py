"""Stand-ins for what a run says how far it is to."""

from __future__ import annotations


class KeepingReporter:
    """Keeps what a run says, line by line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def progress(self, done: int, total: int, message: str) -> None:
        """Keep the message."""
        self.lines.append(message)

    def log(self, level: str, message: str) -> None:
        """Keep the line."""
        self.lines.append(f"{level}: {message}")
