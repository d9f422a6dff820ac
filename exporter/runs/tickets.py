"""A request that waits or runs: who wants to hear of it, and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime

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


def _unheard(*_: object) -> None:
    """Nobody wants to hear of it."""


@dataclass(frozen=True)
class Asker:
    """What whoever asks for a run wants of it: to hear of its end and its beginning, to claim a slot with it."""

    on_end: OnEnd = _unheard
    on_begin: OnBegin = _unheard
    claim: Claim | None = None


NOBODY = Asker()
Submit = Callable[[Request, Asker], object]
"""Enqueues a request; raises UnknownRequest (`Dispatcher.submit`)."""


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
    """A request that was submitted and is not over, and who has asked for it."""

    request: Request
    stop: Stop
    askers: list[Asker] = field(default_factory=list)
    work: Future[None] | None = None
    begun: bool = False

    def claim(self) -> Request | None:
        """Claim all slots that it is for; return what is to be done, None where others did it and nobody else asks."""
        claims = [asker.claim for asker in self.askers if asker.claim]
        claimed = [request for claim in claims if (request := claim())]
        return self.request if len(claims) < len(self.askers) else next(iter(claimed), None)


def key_of(request: Request) -> tuple[str, str, str]:
    """What is the same of equal requests."""
    return request.task, request.mode, request.target


def about(request: Request) -> dict[str, str]:
    """A request as fields of a log line."""
    fields = {"task": request.task, "mode": request.mode, "trigger": request.trigger.value}
    return fields | ({"target": request.target} if request.target else {})
