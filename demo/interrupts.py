"""Being asked for the end: once is enough, and what tidies up then is not interrupted itself."""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, `kill`, and a terminal that is closed. `make` hands on what it gets, so that they come twice."""


def interrupt_once() -> None:
    """Let the first of them raise KeyboardInterrupt."""
    for number in _ENDING:
        signal.signal(number, _interrupt)


def no_more_interrupts() -> None:
    """Let none of them do anything."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    no_more_interrupts()
    raise KeyboardInterrupt
