"""A request that waits or runs: who wants to hear of it, and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from exporter.record import Record
from exporter.runs.stopping import Stop
from jobs.core.model import Request

OnEnd = Callable[[Record | None], None]
"""Hears, on the thread of the run, how it ended; None if it came to no record."""
OnBegin = Callable[[], None]
"""Called when the run is in the ledger and has not done anything yet; where it raises StoreError, it never will."""
Claim = Callable[[], Request | None]
"""Called in the transaction that enters a run: claims the slot that it is for and returns what is to be done;
None where others have done it."""


class Submit(Protocol):
    """Enqueues a request; `Dispatcher.submit` says how."""

    def __call__(
        self,
        request: Request,
        on_end: OnEnd | None = None,
        on_begin: OnBegin | None = None,
        claim: Claim | None = None,
        /,
    ) -> object:
        """Do so; raise UnknownRequest."""


@dataclass(frozen=True)
class Progress:
    """How far a run is: `done` of `total` steps; `total` is 0 until the run has said."""

    since: datetime
    done: int = 0
    total: int = 0
    message: str = ""

    @property
    def ratio(self) -> float:
        """The share that is done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0


@dataclass(eq=False)
class Ticket:
    """A request that was submitted and is not over, and who wants to hear of it.

    `claims` are the slots of the schedule that it is for; `wanted` is whether somebody else asked for it as well.
    """

    request: Request
    stop: Stop
    on_begin: list[OnBegin] = field(default_factory=list)
    on_end: list[OnEnd] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    wanted: bool = False
    work: Future[None] | None = None
    begun: bool = False


def key_of(request: Request) -> tuple[str, str, str]:
    """What is the same of equal requests."""
    return request.task, request.mode, request.target


def about(request: Request) -> dict[str, str]:
    """A request as fields of a log line."""
    fields = {"task": request.task, "mode": request.mode, "trigger": request.trigger.value}
    return fields | ({"target": request.target} if request.target else {})
