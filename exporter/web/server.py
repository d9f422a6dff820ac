"""The event loop: serves on a socket until the process is told to end."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from exporter.web.connections.listening import BACKLOG

if TYPE_CHECKING:
    from starlette.types import ASGIApp
    from uvicorn.config import Config
    from uvicorn.server import Server

    from exporter.daemon import Daemon
    from exporter.daemon.service_manager import ServiceManager
    from exporter.store import Store
    from exporter.web.access.tokens import Tokens
    from exporter.web.connections.protocol import GuardedProtocol
    from exporter.web.web_config.watch import WatchedWebConfig

logger = logging.getLogger(__name__)


def keep_signals() -> list[int]:
    """Keep each signal that comes from now on until `run_loop` heeds it: runs may be under way by then."""
    kept: list[int] = []
    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sign, lambda number, frame: kept.append(number))
    return kept


def run_loop(
    daemon: Daemon,
    store: Store,
    tokens: Tokens,
    listener: socket.socket,
    manager: ServiceManager,
    web_config: WatchedWebConfig | None,
    kept: list[int],
) -> None:
    """Serve until SIGTERM or SIGINT, behind the door of a web configuration file where there is one.

    `kept` are signals that came before (`keep_signals`).
    """
    # First of all: what follows loads parts of uvicorn as well.
    from exporter.web.connections.uvicorn_parts import Config  # isort: split

    from exporter.web.connections.protocol import Limits, guarded_protocol

    web = daemon.configuration.settings.web
    limits = Limits.within_descriptors(
        web.max_connections, web.header_timeout_seconds, web.body_timeout_seconds, web.max_body_bytes
    )
    config = Config(
        _layers(daemon, store, tokens, web_config),
        http=guarded_protocol(limits, _protocol(web_config)),
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
        backlog=BACKLOG,
    )
    # What is there by now stays: looking through all of it for garbage would keep a scrape waiting again and again.
    gc.collect()
    gc.freeze()
    gc.enable()  # commands do without (exporter.cli.program)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        server = _server(config, limits.header_seconds, web_config)
        runner.run(_serve(server, daemon, listener, manager, web_config, kept))


def _layers(daemon: Daemon, store: Store, tokens: Tokens, web_config: WatchedWebConfig | None) -> ASGIApp:
    """What a request passes, from the inside out: each knows the next, and hands on what is not for itself."""
    from exporter.web.access.lockout import Lockout
    from exporter.web.access.permission import Access
    from exporter.web.access.token_look import TokenLook
    from exporter.web.api.application import Api
    from exporter.web.metrics_app import MetricsApp
    from exporter.web.metrics_gate import MetricsGate

    web = daemon.configuration.settings.web
    access, look = Access(tokens, Lockout()), TokenLook(tokens)
    api = Api(daemon, store, access).application()
    layers: ASGIApp = MetricsApp(daemon.metrics.exposition, web.telemetry_path, api)
    if web.metrics_need_token:
        layers = MetricsGate(layers, web.telemetry_path, access, look)
    if web_config:
        from exporter.web.door import Door

        layers = Door(layers, lambda: web_config.current, tokens, look, web)
    return layers


def _protocol(web_config: WatchedWebConfig | None) -> type[GuardedProtocol]:
    if web_config is None:
        from exporter.web.connections.protocol import GuardedProtocol

        return GuardedProtocol
    from exporter.web.connections.front import FrontProtocol

    return FrontProtocol


def _server(config: Config, handshake_seconds: float, web_config: WatchedWebConfig | None) -> Server:
    from exporter.web.connections.uvicorn_parts import Server

    if web_config is None:
        return Server(config)
    from exporter.web.connections.front import FrontServer

    return FrontServer(config, lambda: web_config.current.tls, handshake_seconds)


async def _serve(
    server: Server,
    daemon: Daemon,
    listener: socket.socket,
    manager: ServiceManager,
    web_config: WatchedWebConfig | None,
    kept: list[int],
) -> None:
    """Serve; on SIGTERM end the runs first, so that /metrics answers until they are entered."""
    from exporter.web.connections.protocol import sweep

    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stopping.set)
    status = f"serving on {daemon.configuration.settings.web.listen_address}"
    loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, _reload, daemon, manager, status))
    for number in kept:  # no more are added: the loop has them now
        signal.raise_signal(number)

    def connections() -> set[Any]:
        return server.server_state.connections

    works = [_stop(stopping, server, daemon, manager), sweep(connections), manager.keep_alive()]
    if web_config:
        works.append(web_config.follow(connections))
    async with _meanwhile(*works):
        manager.ready(status)  # it listens already, and what comes now is answered as soon as the loop turns
        # Of uvicorn's serve() the part after its own signal handlers, which would end the process before the runs.
        await server._serve([listener])


def _reload(daemon: Daemon, manager: ServiceManager, status: str) -> None:
    manager.reloading()
    problems = daemon.reload()
    manager.ready("the configuration was not reloaded, the old one stays" if problems else status)


async def _stop(stopping: asyncio.Event, server: Server, daemon: Daemon, manager: ServiceManager) -> None:
    await stopping.wait()
    logger.info("stopping: runs have their grace to end")
    manager.stopping()
    await asyncio.to_thread(daemon.stop)
    server.should_exit = True


@asynccontextmanager
async def _meanwhile(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do these until the end of the block."""
    tasks = [asyncio.create_task(work) for work in works]
    yield
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
