"""Which runs are truly under way, in whatever process: a run keeps its lock, its entry stays when it is cut off."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from exporter.locks import holder_of, run_lock
from exporter.store import Store
from jobs.core.model import Request


@dataclass(frozen=True)
class UnderWay:
    """A run that the ledger holds for unfinished and whose lock is held; `holder` is what its process says of it."""

    request: Request
    pid: int
    started: datetime
    holder: str


def under_way(store: Store, base_dir: Path) -> Iterator[UnderWay]:
    """Every run under way, in the order in which they began. Raise StoreError."""
    for _, request, pid, started in store.unfinished_runs():
        if holder := holder_of(run_lock(base_dir, request.task, request.target)):
            yield UnderWay(request, pid, started, holder)


def held_elsewhere(store: Store, base_dir: Path, task: str, target: str | None = None) -> str:
    """Which other process runs a task (for a target, if given); empty where none does. Raise StoreError."""
    others = (
        run.holder
        for run in under_way(store, base_dir)
        if run.request.task == task and target in (None, run.request.target) and run.pid != os.getpid()
    )
    return next(others, "")
