"""The daemon that serves this base directory, as a command beside it sees it: where it is, and what it alone knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from exporter import app
from exporter.config import Configuration
from exporter.runs.tickets import Progress
from exporter.runs.under_way import under_way
from exporter.views.sources import Sources

if TYPE_CHECKING:
    from jobs.clients.http import Reply

_PROGRESS_SECONDS = 1.0
_MAX_TASKS_BYTES = 4 << 20
_OTHER = {"http": "https", "https": "http"}


def ask(url: str, path: str, timeout_seconds: float, max_body_bytes: int = 4096) -> Reply:
    """What a daemon answers; nothing is told to it, so its certificate is not judged. Twice `timeout_seconds` at most.

    Its web configuration may have turned TLS on or off since it said where it is, and TLS may demand a certificate that
    we have not: what is then answered in plain text (400) is an answer, too.
    """
    from jobs.clients.http import Ask, HttpClient
    from jobs.clients.tls_wire import lenient

    http = HttpClient(lenient())
    scheme, _, rest = url.partition("://")
    first = http.fetch(Ask(f"{url}{path}", timeout_seconds, max_body_bytes=max_body_bytes))
    if first.status not in (None, 400):
        return first
    other = http.fetch(Ask(f"{_OTHER[scheme]}://{rest}{path}", timeout_seconds, max_body_bytes=max_body_bytes))
    return first if other.status is None or first.status == other.status else other


def sources_beside(configuration: Configuration) -> Sources:
    """What views look at, with how far the daemon's runs are. Raise StoreError."""
    found = app.open_sources(configuration)
    return replace(found, progress_of=_ProgressBeside(found).of)


@dataclass(frozen=True)
class _ProgressBeside:
    """How far the daemon's runs are. It is asked once, and only where the ledger holds a run of its for unfinished."""

    sources: Sources

    def of(self, task: str) -> Progress | None:
        """How far the run of a task is; None where there is none, or the daemon does not say."""
        return self._known.get(task)

    @cached_property
    def _known(self) -> Mapping[str, Progress]:
        daemon = app.daemon_of(self.sources.configuration)
        if daemon is None or not daemon.url:
            return {}
        runs = under_way(self.sources.store, self.sources.configuration.settings.base_dir)
        begun = {run.request.task: run.started for run in runs if run.pid == daemon.pid}
        if not begun:
            return {}
        reply = ask(daemon.url, "/api/v1/tasks", _PROGRESS_SECONDS, _MAX_TASKS_BYTES)
        told = _progress_in(reply.body) if reply.status == 200 else {}
        # Where that address leads elsewhere (a daemon in a container has its own 127.0.0.1), others may answer.
        return {task: one for task, one in told.items() if task in begun and _is_same(one.since, begun[task])}


def _is_same(one: datetime, other: datetime) -> bool:
    return abs((one - other).total_seconds()) < 1


def _progress_in(document: bytes) -> dict[str, Progress]:
    """How far each task's run is, by what `/api/v1/tasks` answered; nothing of what cannot be understood."""
    try:
        running = {str(entry["task"]): entry["running"] for entry in json.loads(document)}
        return {task: _progress(now) for task, now in running.items() if now and now["ours"]}
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return {}


def _progress(now: Mapping[str, Any]) -> Progress:
    since = datetime.fromisoformat(now["since"]).astimezone()
    return Progress(since, int(now["done"]), int(now["total"]), str(now["message"]))
