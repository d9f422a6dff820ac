"""What ends a run before its time: the exporter's own end, or somebody who asked for it."""

from __future__ import annotations

import threading

from exporter.record import STOPPED_WITH_US


class Stop:
    """The end of one run. It is set when `everything` is, which ends all runs, or when somebody asks for it.

    `by` says who asked (`token:NAME`); it is empty while nobody has. Any thread may use it.
    """

    def __init__(self, everything: threading.Event) -> None:
        self._everything = everything
        self._asked = threading.Event()
        self.by = ""

    def ask(self, by: str) -> None:
        """End the run; the first who asks is named."""
        self.by = self.by or by
        self._asked.set()

    def is_set(self) -> bool:
        """Whether the run is to end."""
        return self._asked.is_set() or self._everything.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for somebody to ask, and say whether the run is to end."""
        self._asked.wait(seconds)
        return self.is_set()

    @property
    def reason(self) -> str:
        """Why the run ended, for the ledger."""
        return f"stopped by {self.by}" if self.by else STOPPED_WITH_US
