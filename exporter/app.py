"""Where commands get real things from: the store, tokens, runs on the real clock. `exporter.serving` has the daemon."""

from __future__ import annotations

import logging
import shutil
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter import self_report
from exporter.bridge.outgoing import announcing
from exporter.clock import SystemClock
from exporter.config import Configuration
from exporter.locks import holder_of, is_held
from exporter.runs.runner import Runner
from exporter.store import Store, StoreError, schedule_zone
from exporter.users import other_owner
from exporter.web.access.tokens import Tokens

if TYPE_CHECKING:
    from exporter.views.sources import Sources

logger = logging.getLogger(__name__)
DAEMON_LOCK = Path("data/daemon.lock")
"""Below the base directory; held by the daemon that serves it."""


def store_file(configuration: Configuration) -> Path:
    """Where the store is."""
    return configuration.settings.base_dir / "data" / "sutazai.db"


def open_store(configuration: Configuration, *, read_only: bool = False) -> Store:
    """The store of a base directory; raise StoreError if it cannot be used."""
    file, base_dir = store_file(configuration), configuration.settings.base_dir
    if base_dir.exists() and not base_dir.is_dir():
        raise StoreError(f"{base_dir}: is no directory; set base_dir, or SUTAZAI_BASE_DIR, to one")
    if _is_something_else(file):
        raise StoreError(f"{file}: is no file that could be a store; move it aside")
    try:
        store = Store(file, read_only=read_only)
    except StoreError:
        if owner := other_owner(file):
            who = owner if owner == "root" else f"{owner} or root"
            raise StoreError(f"{file}: is {owner}'s, and not to be read by others; run this as {who}") from None
        if _is_full(base_dir):
            raise StoreError(f"{file}: the store cannot be used: its disk is full; make room") from None
        raise
    if not read_only and (command := click.get_current_context(silent=True)):
        # The process takes nothing apart when it ends, and what was written last would stay in a file beside the store.
        command.call_on_close(store.close)
    return store


def _is_something_else(file: Path) -> bool:
    """Whether a directory, or a pipe that whoever opens it waits at, stands in the place of a file."""
    try:
        return not stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False


def _is_full(directory: Path) -> bool:
    try:
        return shutil.disk_usage(directory).free == 0
    except OSError:
        return False


def open_tokens(configuration: Configuration) -> Tokens:
    """The tokens of a base directory."""
    return Tokens(configuration.settings.base_dir / "secrets_secure" / "tokens.json")


def build_runner(configuration: Configuration, store: Store) -> Runner:
    """A runner for this process alone, on the real clock; its runs need not load what is loaded here."""
    return Runner(configuration, store, SystemClock(), fork=True)


def remind(configuration: Configuration, store: Store) -> None:
    """Tell again of problems that stand for long, where no daemon does; raise StoreError."""
    with store.transaction() as db:
        announcing.remind(db, configuration.settings, SystemClock().now())


def sources(configuration: Configuration, store: Store) -> Sources:
    """What views look at where no daemon is asked: the ledger, told again. Raise StoreError."""
    from exporter.replay import replayed_metrics
    from exporter.views.sources import Sources

    now = SystemClock().now()
    metrics = replayed_metrics(configuration, store, schedule_zone.by_schedule(store, now))
    return Sources(configuration, store, metrics.exposition, now)


def open_sources(configuration: Configuration) -> Sources:
    """What views look at, for a command that only tells. Raise StoreError."""
    found = sources(configuration, open_store(configuration, read_only=True))
    self_report.show(holder_of(configuration.settings.base_dir / DAEMON_LOCK), found.exposition)
    return found


def is_served(configuration: Configuration) -> bool:
    """Whether a daemon serves this base directory."""
    return is_held(configuration.settings.base_dir / DAEMON_LOCK)


def daemon_of(configuration: Configuration) -> self_report.Where | None:
    """Where the daemon is that serves this base directory; None where none does."""
    return self_report.where(holder_of(configuration.settings.base_dir / DAEMON_LOCK))


def send_notifications(configuration: Configuration, store: Store, stop: threading.Event) -> None:
    """Send what is due, briefly, where no daemon does."""
    from exporter.bridge.outgoing.postman import send_due

    if not is_served(configuration):
        send_due(configuration, store, SystemClock(), stop)
