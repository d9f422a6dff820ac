"""The composition root: the only place that builds real things and ties them together."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from exporter import __version__
from exporter.bridge.outgoing import announcing
from exporter.clock import SystemClock
from exporter.config import Configuration
from exporter.locks import Busy, FileLock, is_held
from exporter.logs import set_up
from exporter.redaction import Redactor
from exporter.runner import Runner
from exporter.store import Store
from exporter.web.tokens import Tokens

if TYPE_CHECKING:
    from uvicorn.server import Server

    from exporter.bridge.outgoing.postman import Postman
    from exporter.bridge.remediation.engine import Engine
    from exporter.daemon import Daemon
    from exporter.events import DockerWatch
    from exporter.views.sources import Sources

logger = logging.getLogger(__name__)
_BACKLOG = 1024
DAEMON_LOCK = Path("data/daemon.lock")
"""Below the base directory; held by the daemon that serves it."""
_SECOND_LOOK_SECONDS = 0.1


class Unavailable(Exception):
    """The daemon cannot serve here; the message names the thing, the reason and the remedy."""


def store_file(configuration: Configuration) -> Path:
    """Where the store is."""
    return configuration.settings.base_dir / "data" / "sutazai.db"


def open_store(configuration: Configuration, *, read_only: bool = False) -> Store:
    """The store of a base directory; raise StoreError if it cannot be used."""
    return Store(store_file(configuration), read_only=read_only)


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


def set_up_logs(configuration: Configuration) -> None:
    """Log as the configuration says."""
    log = configuration.settings.log
    set_up(log.level, log.format, Redactor(configuration.secrets))


def serve(configuration: Configuration, reload_configuration: Callable[[], Configuration]) -> None:
    """Serve until SIGTERM or SIGINT; raise Unavailable or StoreError when that cannot even begin."""
    from exporter.daemon import Daemon
    from exporter.heaps import share_heaps

    share_heaps()
    set_up_logs(configuration)
    base_dir = configuration.settings.base_dir
    with _only_daemon(base_dir), _listening_socket(configuration.settings.web.listen_address) as listener:
        store = open_store(configuration)
        daemon = Daemon(configuration, store, SystemClock(), reload_configuration, set_up_logs)
        daemon.start()
        try:
            host, port = listener.getsockname()[:2]
            about = {"version": __version__, "address": f"{host}:{port}", "base_dir": str(base_dir)}
            logger.info("serving", extra=about)
            watch, engine, postman = _docker_watch(daemon), _engine(daemon, store), _postman(daemon, store)
            with _running(watch), _running(engine), _running(postman):
                _run_loop(daemon, store, listener)
        finally:
            daemon.stop()
            store.close()
            logger.info("stopped")


@contextmanager
def _only_daemon(base_dir: Path) -> Iterator[None]:
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
        yield
    finally:
        lock.release()


def _daemon_lock(base_dir: Path) -> FileLock:
    file, holder = base_dir / DAEMON_LOCK, f"pid {os.getpid()}"
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


@contextmanager
def _listening_socket(address: str) -> Iterator[socket.socket]:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while attempting")[0]  # the address is named already
        raise Unavailable(f"{address}: cannot be listened on: {reason}; choose another --web.listen-address") from None
    with listener:
        yield listener


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


def _run_loop(daemon: Daemon, store: Store, listener: socket.socket) -> None:
    import asyncio

    # First of all: what follows loads parts of uvicorn as well.
    from exporter.web.parts import Config, Server  # isort: split

    from exporter.web.api import Api
    from exporter.web.metrics_app import MetricsApp
    from exporter.web.protocol import Limits, guarded_protocol

    web = daemon.configuration.settings.web
    limits = Limits.within_descriptors(
        web.max_connections, web.header_timeout_seconds, web.body_timeout_seconds, web.max_body_bytes
    )
    api = Api(daemon, store, open_tokens(daemon.configuration)).application()
    config = Config(
        MetricsApp(daemon.metrics.exposition, web.telemetry_path, api),
        http=guarded_protocol(limits),
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
        backlog=_BACKLOG,
    )
    server = Server(config)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_serve(server, daemon, listener))


async def _serve(server: Server, daemon: Daemon, listener: socket.socket) -> None:
    """Serve; on SIGTERM end the runs first, so that /metrics answers until they are entered."""
    import asyncio

    from exporter.web.protocol import sweep

    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, daemon.reload))

    async def end() -> None:
        await stopping.wait()
        logger.info("stopping: runs have their grace to end")
        await loop.run_in_executor(None, daemon.stop)
        server.should_exit = True

    helpers = [asyncio.create_task(end()), asyncio.create_task(sweep(lambda: server.server_state.connections))]
    # Of uvicorn's serve() the part after its own signal handlers, which would end the process before the runs.
    await server._serve([listener])
    for helper in helpers:
        helper.cancel()
        with suppress(asyncio.CancelledError):
            await helper
