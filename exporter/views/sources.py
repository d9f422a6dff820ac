"""Where views look: the configuration, the ledger, and the figures that it left, at one moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from exporter.config import Configuration
from exporter.dispatcher import Progress
from exporter.exposition import Exposition
from exporter.store import Store


@dataclass(frozen=True)
class Sources:
    """All that a view may look at.

    `exposition` is the daemon's own, or the ledger told again (`exporter.replay`) where no daemon is asked.
    `progress_of` says how far the run of a task is, None where this process knows of none.
    """

    configuration: Configuration
    store: Store
    exposition: Exposition
    now: datetime
    progress_of: Callable[[str], Progress | None] = lambda task: None
