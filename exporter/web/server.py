"""The event loop: serves on a socket until the process is told to end."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from exporter.web.connections.listening import BACKLOG

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import Server

    from exporter.daemon import Daemon
    from exporter.daemon.service_manager import ServiceManager
    from exporter.store import Store
    from exporter.web.access.tokens import Tokens
    from exporter.web.web_config.watch import WatchedWebConfig

logger = logging.getLogger(__name__)


def run_loop(
    daemon: Daemon,
    store: Store,
    tokens: Tokens,
    listener: socket.socket,
    manager: ServiceManager,
    web_config: WatchedWebConfig | None,
) -> None:
    """Serve until SIGTERM or SIGINT, behind the door of a web configuration file where there is one."""
    # First of all: what follows loads parts of uvicorn as well.
    from exporter.web.connections.uvicorn_parts import Config  # isort: split

    from exporter.web.access.lockout import Lockout
    from exporter.web.access.permission import Access
    from exporter.web.access.token_look import TokenLook
    from exporter.web.api.application import Api
    from exporter.web.connections.protocol import GuardedProtocol, Limits, guarded_protocol
    from exporter.web.metrics_app import Application, MetricsApp
    from exporter.web.metrics_gate import MetricsGate

    web = daemon.configuration.settings.web
    limits = Limits.within_descriptors(
        web.max_connections, web.header_timeout_seconds, web.body_timeout_seconds, web.max_body_bytes
    )
    access, look = Access(tokens, Lockout()), TokenLook(tokens)
    api = Api(daemon, store, access).application()
    application: Application = MetricsApp(daemon.metrics.exposition, web.telemetry_path, api)
    if web.metrics_need_token:
        application = MetricsGate(application, web.telemetry_path, access, look)
    protocol = GuardedProtocol
    if web_config:
        from exporter.web.connections.front import FrontProtocol
        from exporter.web.door import Door

        protocol = FrontProtocol
        application = Door(application, lambda: web_config.current, tokens, look, web)
    config = Config(
        application,
        http=guarded_protocol(limits, protocol),
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
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        server = _server(config, limits.header_seconds, web_config)
        runner.run(_serve(server, daemon, listener, manager, web_config))


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
) -> None:
    """Serve; on SIGTERM end the runs first, so that /metrics answers until they are entered."""
    from exporter.web.connections.protocol import sweep

    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stopping.set)
    status = f"serving on {daemon.configuration.settings.web.listen_address}"

    def reload() -> None:
        manager.reloading()
        problems = daemon.reload()
        manager.ready("the configuration was not reloaded, the old one stays" if problems else status)

    loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, reload))

    async def end() -> None:
        await stopping.wait()
        logger.info("stopping: runs have their grace to end")
        manager.stopping()
        await loop.run_in_executor(None, daemon.stop)
        server.should_exit = True

    helpers = [asyncio.create_task(end()), asyncio.create_task(sweep(lambda: server.server_state.connections))]
    helpers.append(asyncio.create_task(manager.keep_alive()))
    if web_config:
        helpers.append(asyncio.create_task(web_config.follow(lambda: server.server_state.connections)))
    manager.ready(status)  # it listens already, and what comes now is answered as soon as the loop turns
    # Of uvicorn's serve() the part after its own signal handlers, which would end the process before the runs.
    await server._serve([listener])
    for helper in helpers:
        helper.cancel()
        with suppress(asyncio.CancelledError):
            await helper
