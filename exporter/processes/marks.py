"""What our processes and all their descendants carry in their environment that is no setting.

By the mark of a run they are found even in another process group or session: a program that detaches itself keeps its
environment.
"""

from __future__ import annotations

import contextlib
import os
import signal

RUN_ID_VARIABLE = "SUTAZAI_RUN_ID"
EVENT_PREFIX = "SUTAZAI_EVENT_"
"""What begins so tells a handler of its message."""
MAX_KILL_ROUNDS = 20


def is_mark(variable: str) -> bool:
    """Whether we have put a variable of this name there ourselves: a handler may call us in its turn."""
    return variable == RUN_ID_VARIABLE or variable.startswith(EVENT_PREFIX)


def kill_marked(marker: str, spare: int) -> None:
    """SIGKILL every process but `spare` that carries the mark `NAME=VALUE`."""
    for _ in range(MAX_KILL_ROUNDS):  # one of them may have a child while we look
        marked = _marked(marker.encode(), spare)
        for pid in marked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not marked:
            return


def _marked(wanted: bytes, spare: int) -> list[int]:
    marked = []
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit() and int(entry.name) != spare:
                # A Path would keep the number of every process there ever was: pathlib interns names.
                with contextlib.suppress(OSError), open(f"{entry.path}/environ", "rb") as variables:  # noqa: PTH123
                    if wanted in variables.read().split(b"\0"):
                        marked.append(int(entry.name))
    return marked
