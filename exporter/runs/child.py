"""The inside of a run's process: read what to do, do it, say what came of it.

`python -m exporter.runs.child` gets one JSON line on standard input, whose end also tells it that its parent
is gone, and answers in JSON lines on the descriptor named by its only argument. What the job or its
libraries print goes elsewhere (standard output and error), so it can never corrupt an answer.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from exporter.clock import SystemClock
from exporter.processes.inside import Answers, limit_self, read_order
from jobs.clients import Clients
from jobs.core.job import Job, JobError
from jobs.core.model import Request, Result
from jobs.core.ports import Budgets, History
from jobs.core.registry import load_job
from jobs.core.settings import World


class Channel(Answers):
    """The way back to the parent, as the run's Reporter."""

    def progress(self, done: int, total: int, message: str) -> None:
        """Say how far the run is."""
        self.send("progress", {"done": done, "total": total, "message": message})

    def log(self, level: str, message: str) -> None:
        """One line for the run's log."""
        self.send("log", {"level": level, "message": message})


def main(answer_descriptor: int) -> NoReturn:
    """Run one job and exit: 0 after an answer was sent, whatever it says."""
    channel = Channel(answer_descriptor)
    order = read_order()
    try:
        job = load_job(order["request"]["task"])
        settings = job.settings.model_validate_json(json.dumps(order["settings"]["job"]), strict=True)
        limit_self(settings.max_memory_mb)
        world = World.model_validate_json(json.dumps(order["settings"]["world"]), strict=True)
        request = Request.model_validate(order["request"])
        clients = _clients(world, request, order, channel)
        result = job.run(settings, clients, request)
        _check_samples(job, result)
        channel.send("result", result.model_dump(mode="json"))
    except JobError as error:
        channel.send("error", str(error))
    except MemoryError:
        channel.send("error", "out of memory: the run reached jobs.*.max_memory_mb; raise it or look for what grows")
    except Exception as error:  # noqa: BLE001  # the border of the process: whatever it is becomes the run's outcome
        import traceback

        traceback.print_exc()
        channel.send("error", f"{type(error).__name__}: {error}")
    # A client's thread may hang in a system call for ever; the answer is sent, and nothing waits for it.
    sys.stderr.flush()
    os._exit(0)


def _clients(world: World, request: Request, order: Mapping[str, Any], channel: Channel) -> Clients:
    def open_store() -> Any:
        from exporter.store import Store

        return Store(Path(order["store"]), read_only=request.dry_run)

    stores: list[Budgets | History] = []

    def shared() -> Any:
        if not stores:
            stores.append(open_store())
        return stores[0]

    file = order["settings"].get("file")
    return Clients(
        world=world,
        clock=SystemClock(),
        report=channel,
        open_budgets=shared,
        open_history=shared,
        config_file=Path(file) if file else None,
    )


def _check_samples(job: Job, result: Result) -> None:
    families = {family.name: family for family in job.metrics}
    for sample in result.samples:
        family = families.get(sample.family)
        if family is None or set(sample.labels) != set(family.labels):
            raise JobError(f"{job.name}: the sample {sample.family}{dict(sample.labels)} is not in the job's metrics")


if __name__ == "__main__":
    main(int(sys.argv[1]))
