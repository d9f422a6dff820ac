"""The mark that a process of ours and all its descendants carry in their environment.

By it they are found even in another process group or session: a program that detaches itself keeps its environment.
"""

from __future__ import annotations

import contextlib
import os
import signal

RUN_ID_VARIABLE = "SUTAZAI_RUN_ID"
MAX_KILL_ROUNDS = 20


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
