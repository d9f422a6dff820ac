"""The one place where tests sleep: between two looks at a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(
    condition: Callable[[], T],
    timeout_seconds: float,
    what: str,
    *,
    ignoring: tuple[type[Exception], ...] = (),
    detail: Callable[[], str] | None = None,
) -> T:
    """Look at `condition` until it is true and return what it gave; raise TimeoutError naming `what`.

    Exceptions in `ignoring` count as "not yet". `detail` is asked for what may explain a time-out (a log).
    """
    deadline = time.monotonic() + timeout_seconds
    pause_seconds, last = 0.005, "nothing"
    while True:
        try:
            value = condition()
            if value:
                return value
            last = repr(value)
        except ignoring as error:
            last = f"{type(error).__name__}: {error}"
        if time.monotonic() >= deadline:
            explanation = f"\n{detail()}" if detail else ""
            raise TimeoutError(f"not within {timeout_seconds:g} s: {what} (last: {last}){explanation}")
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 1.5, 0.2)
