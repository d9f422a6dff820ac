"""The composition root: the only place that builds real things and ties them together."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from exporter import __version__, self_report
from exporter.bridge.outgoing import announcing
from exporter.clock import SystemClock
from exporter.config import Configuration
from exporter.locks import Busy, FileLock, holder_of, is_held
from exporter.logs import set_up
from exporter.ownership import other_owner
from exporter.redaction import Redactor
from exporter.runner import Runner
from exporter.service_manager import ServiceManager
from exporter.store import Store, StoreError
from exporter.web.listening import Unavailable, listening_socket
from exporter.web.tokens import Tokens

if TYPE_CHECKING:
    from exporter.bridge.outgoing.postman import Postman
    from exporter.bridge.remediation.engine import Engine
    from exporter.daemon import Daemon
    from exporter.events import DockerWatch
    from exporter.views.sources import Sources
    from exporter.web.web_config_watch import WatchedWebConfig

logger = logging.getLogger(__name__)
DAEMON_LOCK = Path("data/daemon.lock")
"""Below the base directory; held by the daemon that serves it."""
_SECOND_LOOK_SECONDS = 0.1


def store_file(configuration: Configuration) -> Path:
    """Where the store is."""
    return configuration.settings.base_dir / "data" / "sutazai.db"


def open_store(configuration: Configuration, *, read_only: bool = False) -> Store:
    """The store of a base directory; raise StoreError if it cannot be used."""
    file, base_dir = store_file(configuration), configuration.settings.base_dir
    if base_dir.exists() and not base_dir.is_dir():
        raise StoreError(f"{base_dir}: is no directory; set base_dir, or SUTAZAI_BASE_DIR, to one")
    try:
        return Store(file, read_only=read_only)
    except StoreError:
        if owner := other_owner(file):
            who = owner if owner == "root" else f"{owner} or root"
            raise StoreError(f"{file}: is {owner}'s, and not to be read by others; run this as {who}") from None
        if _is_full(base_dir):
            raise StoreError(f"{file}: the store cannot be used: its disk is full; make room") from None
        raise


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
    return Sources(configuration, store, replayed_metrics(configuration, store, now).exposition, now)


def open_sources(configuration: Configuration) -> Sources:
    """What views look at, for a command that only tells. Raise StoreError."""
    found = sources(configuration, open_store(configuration, read_only=True))
    self_report.show(holder_of(configuration.settings.base_dir / DAEMON_LOCK), found.exposition)
    return found


def set_up_logs(configuration: Configuration) -> None:
    """Log as the configuration says."""
    log = configuration.settings.log
    set_up(log.level, log.format, Redactor(configuration.secrets))


def serve(configuration: Configuration, reload_configuration: Callable[[], Configuration]) -> None:
    """Serve until SIGTERM or SIGINT; raise ConfigError, Unavailable or StoreError when that cannot even begin."""
    from exporter.daemon import Daemon
    from exporter.heaps import share_heaps
    from exporter.web.server import run_loop

    share_heaps()
    set_up_logs(configuration)
    manager = ServiceManager(os.environ)
    base_dir = configuration.settings.base_dir
    web_config = _web_config(configuration)
    with _only_daemon(base_dir) as lock, listening_socket(configuration.settings.web.listen_address) as listener:
        store = open_store(configuration)
        tell = partial(_tell_wrong, lock)
        daemon = Daemon(configuration, store, SystemClock(), reload_configuration, set_up_logs, tell)
        daemon.start()
        try:
            host, port = listener.getsockname()[:2]
            about = {"version": __version__, "address": f"{host}:{port}", "base_dir": str(base_dir)}
            if web_config:
                web_config.show_in(daemon.metrics)
                about |= web_config.about()
            logger.info("serving", extra=about)
            watch, engine, postman = _docker_watch(daemon), _engine(daemon, store), _postman(daemon, store)
            with _running(watch), _running(engine), _running(postman):
                run_loop(daemon, store, open_tokens(configuration), listener, manager, web_config)
        finally:
            daemon.stop()
            store.close()
            logger.info("stopped")


def _web_config(configuration: Configuration) -> WatchedWebConfig | None:
    """The web configuration file, where there is one; raise ConfigError if it cannot be used."""
    file = configuration.settings.web.config_file
    if file is None:
        return None
    from exporter.web.web_config_watch import WatchedWebConfig

    return WatchedWebConfig(file)


@contextmanager
def _only_daemon(base_dir: Path) -> Iterator[FileLock]:
    try:
        lock = _daemon_lock(base_dir)
    except Busy as busy:
        raise Unavailable(
            f"{base_dir}: another daemon ({busy.holder}) already serves this base directory; "
            "stop it, or set SUTAZAI_BASE_DIR to another one"
        ) from None
    except OSError as error:
        raise Unavailable(
            f"{error.filename or base_dir}: cannot be written: {error.strerror}; "
            "set SUTAZAI_BASE_DIR to a directory of your own"
        ) from None
    try:
        yield lock
    finally:
        lock.release()


def _tell_wrong(lock: FileLock, words: list[str]) -> None:
    try:
        lock.say(self_report.line(os.getpid(), words))
    except OSError as error:  # a disk that is read-only: commands see that by themselves
        logger.warning("commands are not told what is wrong here", extra={"wrong": words, "reason": error.strerror})


def _daemon_lock(base_dir: Path) -> FileLock:
    file, holder = base_dir / DAEMON_LOCK, self_report.line(os.getpid())
    try:
        return FileLock(file, holder)
    except Busy:
        time.sleep(_SECOND_LOOK_SECONDS)  # a command that looks whether there is a daemon is gone by then
        return FileLock(file, holder)


def is_served(configuration: Configuration) -> bool:
    """Whether a daemon serves this base directory."""
    return is_held(configuration.settings.base_dir / DAEMON_LOCK)


def send_notifications(configuration: Configuration, store: Store, stop: threading.Event) -> None:
    """Send what is due, briefly, where no daemon does."""
    from exporter.bridge.outgoing.postman import send_due

    if not is_served(configuration):
        send_due(configuration, store, SystemClock(), stop)


class _Startable(Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...


@contextmanager
def _running(part: _Startable) -> Iterator[None]:
    part.start()
    try:
        yield
    finally:
        part.stop()


def _docker_watch(daemon: Daemon) -> DockerWatch:
    from exporter.events import DockerWatch

    return DockerWatch(daemon)


def _engine(daemon: Daemon, store: Store) -> Engine:
    from exporter.bridge import families
    from exporter.bridge.remediation.engine import Engine, Surroundings

    around = Surroundings(
        settings=lambda: daemon.configuration.settings,
        known_agents=daemon.known_agents,
        submit=daemon.submit,
        stopping=daemon.runner.stop.is_set,
        audit_checked=lambda whole: daemon.metrics.set(families.AUDIT_INTACT, float(whole)),
        came=daemon.alerts_came,
    )
    return Engine(store, SystemClock(), around)


def _postman(daemon: Daemon, store: Store) -> Postman:
    from exporter.bridge.outgoing.postman import Postman

    return Postman(lambda: daemon.configuration, store, SystemClock())
