"""Being asked for the end: once is enough, and what tidies up then is not interrupted itself."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, `kill`, and a terminal that is closed. `make` hands on what it gets, so that they come twice."""


def interrupt_once() -> None:
    """Let the first of them raise KeyboardInterrupt."""
    for number in _ENDING:
        signal.signal(number, _interrupt)


@contextmanager
def interrupted_later() -> Iterator[None]:
    """Let them wait for the end of what is begun here: what was just started, and is noted nowhere yet, nobody ends."""
    asked: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: asked.append(number)) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if asked:
            signal.raise_signal(asked[0])


def no_more_interrupts() -> None:
    """Let none of them do anything."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    no_more_interrupts()
    raise KeyboardInterrupt
