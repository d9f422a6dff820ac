"""One question to one service."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from jobs.security.scanner import Weakness


@dataclass(frozen=True)
class Question:
    """`ask` puts it and returns what is weak; it raises ClientError where the service could not be asked."""

    subject: str
    ask: Callable[[], Iterable[Weakness]]
