"""The daemon put together: the one place that builds all its parts, ties them and ends them again."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from exporter import __version__, self_report
from exporter.app import DAEMON_LOCK, open_store, open_tokens
from exporter.bridge import families
from exporter.bridge.outgoing.postman import Postman
from exporter.bridge.remediation.engine import Engine, Surroundings
from exporter.clock import SystemClock
from exporter.config import Configuration
from exporter.daemon import Daemon
from exporter.daemon.docker_watch import DockerWatch
from exporter.daemon.service_manager import ServiceManager
from exporter.failure import remedy_for
from exporter.locks import Busy, FileLock
from exporter.logs import set_up
from exporter.memory import share_heaps
from exporter.redaction import Redactor
from exporter.runs.tickets import Asker
from exporter.store import Store
from exporter.web.connections.listening import Unavailable, listening_socket
from exporter.web.server import keep_signals, run_loop
from jobs.core.addresses import asked_at

if TYPE_CHECKING:
    from exporter.web.web_config.watch import WatchedWebConfig

logger = logging.getLogger(__name__)
_SECOND_LOOK_SECONDS = 0.1
_TURN_SECONDS = 0.0005
"""After so long a thread that makes what people read gives way to a scrape; Python's own would be ten times that."""


def set_up_logs(configuration: Configuration) -> None:
    """Log as the configuration says."""
    log = configuration.settings.log
    set_up(log.level, log.format, Redactor(configuration.secrets))


def serve(configuration: Configuration, reload_configuration: Callable[[], Configuration]) -> None:
    """Serve until SIGTERM or SIGINT; raise ConfigError, Unavailable or StoreError when that cannot even begin."""
    share_heaps()
    sys.setswitchinterval(_TURN_SECONDS)
    set_up_logs(configuration)
    manager = ServiceManager(os.environ)
    base_dir = configuration.settings.base_dir
    web_config = _web_config(configuration)
    with _only_daemon(base_dir) as lock, listening_socket(configuration.settings.web.listen_address) as listener:
        store = open_store(configuration)
        tell = partial(_tell, lock, _asked_at(listener, web_config))
        tell([])
        kept = keep_signals()
        daemon = Daemon(configuration, store, SystemClock(), reload_configuration, set_up_logs, tell)
        daemon.start()
        try:
            host, port = listener.getsockname()[:2]
            about = {"version": __version__, "address": f"{host}:{port}", "base_dir": str(base_dir)}
            if web_config:
                web_config.show_in(daemon.metrics)
                about |= web_config.about()
            logger.info("serving", extra=about)
            watch, engine = DockerWatch(daemon), _engine(daemon, store)
            postman = Postman(lambda: daemon.configuration, store, SystemClock())
            with _running(watch), _running(engine), _running(postman):
                run_loop(daemon, store, open_tokens(configuration), listener, manager, web_config, kept)
        finally:
            daemon.stop()
            store.close()
            logger.info("stopped")


def _web_config(configuration: Configuration) -> WatchedWebConfig | None:
    """The web configuration file, where there is one; raise ConfigError if it cannot be used."""
    file = configuration.settings.web.config_file
    if file is None:
        return None
    from exporter.web.web_config.watch import WatchedWebConfig

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
            + remedy_for(error, "set SUTAZAI_BASE_DIR to a directory of your own")
        ) from None
    try:
        yield lock
    finally:
        lock.release()


def _asked_at(listener: socket.socket, web_config: WatchedWebConfig | None) -> str:
    """The URL at which commands of this machine ask the daemon."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if web_config and web_config.current.tls else "http"
    return f"{scheme}://{asked_at(host, in_url=True)}:{port}"


def _tell(lock: FileLock, url: str, wrong: list[str]) -> None:
    """Tell commands beside the daemon where it is, and what is wrong with it."""
    try:
        lock.say(self_report.line(os.getpid(), wrong, url))
    except OSError as error:  # a disk that is read-only: commands see that by themselves
        logger.warning("commands are not told what is wrong here", extra={"wrong": wrong, "reason": error.strerror})


def _daemon_lock(base_dir: Path) -> FileLock:
    file, holder = base_dir / DAEMON_LOCK, self_report.line(os.getpid())
    try:
        return FileLock(file, holder)
    except Busy:
        time.sleep(_SECOND_LOOK_SECONDS)  # a command that looks whether there is a daemon is gone by then
        return FileLock(file, holder)


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


def _engine(daemon: Daemon, store: Store) -> Engine:
    around = Surroundings(
        settings=lambda: daemon.configuration.settings,
        known_agents=daemon.known_agents,
        submit=lambda request, on_end: daemon.submit(request, Asker(on_end)),
        stopping=daemon.runner.stop.is_set,
        audit_checked=lambda whole: daemon.metrics.set(families.AUDIT_INTACT, float(whole)),
        came=daemon.alerts_came,
    )
    return Engine(store, SystemClock(), around)
