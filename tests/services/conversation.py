"""A person at a terminal who is asked questions: waits for each, and types the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.services.terminal import Terminal
from tests.services.wait import wait_for

PATIENCE_SECONDS = 60.0


class Conversation(Terminal):
    """A program that asks; used in a `with`. Its terminal is so wide that no question is broken."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], cwd: Path) -> None:
        super().__init__(argv, environment, cwd, columns=250)
        self._heard = 0

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def expect(self, text: str) -> None:
        """Wait until it shows a text, beyond what was waited for before."""
        wait_for(lambda: self._place_of(text) >= 0, PATIENCE_SECONDS, f"{text!r} is shown", detail=self.shown)
        self._heard = self._place_of(text) + len(text)

    def answer(self, question: str, text: str) -> None:
        """Wait for a question, and type the answer."""
        self.expect(question)
        self.press(f"{text}\n".encode())

    def _place_of(self, text: str) -> int:
        return self.shown().find(text, self._heard)
