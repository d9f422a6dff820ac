"""The REST API over a Daemon: its parts, put together."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response

from exporter.clock import SystemClock
from exporter.daemon import Daemon
from exporter.store import Store, StoreError
from exporter.store.idempotency import Keys
from exporter.web.access.permission import Access
from exporter.web.access.tokens import TokenError
from exporter.web.answers import HEADERS, problem, unavailable
from exporter.web.api.catalogue import operations
from exporter.web.api.handlers.alerts import AlertIntake
from exporter.web.api.handlers.control import Control
from exporter.web.api.handlers.events import MAX_LISTENERS, Events
from exporter.web.api.handlers.health import Health
from exporter.web.api.handlers.reading import Reading
from exporter.web.api.handlers.remediations import Remediations
from exporter.web.api.operations import Answer, Call, Operation
from exporter.web.api.routing import routes_of
from exporter.web.page import StatusPage


class Api:
    """What the daemon answers over HTTP besides its metrics."""

    def __init__(self, daemon: Daemon, store: Store, access: Access) -> None:
        self._access = access
        self._page = StatusPage(lambda: daemon.configuration.settings.web.telemetry_path)
        web, clock = daemon.configuration.settings.web, SystemClock()
        reading = Reading(daemon.sources, store)
        most = min(MAX_LISTENERS, web.max_connections // 4)
        self.operations: tuple[Operation, ...] = (
            *operations(
                Health(daemon),
                reading,
                Control(daemon, Keys(store), clock),
                AlertIntake(daemon.reception, access, web.max_body_bytes),
                Remediations(store, lambda: daemon.configuration.settings, clock),
                Events(
                    daemon.hub, access, most, reading.status_document, reading.shared_status, store.change_mark
                ),
            ),
            Operation(
                "GET",
                "/api/v1/openapi.json",
                "read",
                "This document",
                Answer("An OpenAPI 3.1 document.", media=("application/json",)),
                self.document,
            ),
        )

    def application(self) -> Starlette:
        """The ASGI application."""
        handlers = {HTTPException: problem, StoreError: unavailable, TokenError: unavailable}
        routes = [*self._page.routes(), *routes_of(self.operations, self._access)]
        application = Starlette(routes=routes, exception_handlers=handlers)
        # A path is right or wrong: a redirect would send a token to wherever the Host header says.
        application.router.redirect_slashes = False
        return application

    def document(self, call: Call) -> Response:
        """The OpenAPI document; what makes it is loaded when somebody asks."""
        from exporter.web.api.openapi import document_of

        return Response(document_of(self.operations), media_type="application/json", headers=HEADERS)
