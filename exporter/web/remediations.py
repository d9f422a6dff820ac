"""The routes of remediations and of the audit log."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from exporter.bridge.remediation import audit, receiving, remediations
from exporter.bridge.remediation.desk import Desk
from exporter.clock import SystemClock
from exporter.settings import Settings
from exporter.store import Store
from exporter.web.answers import Problem, answer, limit_of

Demand = Callable[[HttpRequest, str], str]
_GREATEST = (1 << 63) - 1
"""The greatest number that SQLite can ask for."""


class Remediations:
    """The handlers. `demand` lets pass who may do what a scope opens, and says who that is."""

    def __init__(self, store: Store, settings: Callable[[], Settings], demand: Demand) -> None:
        self._store, self._settings, self._demand = store, settings, demand

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/api/v1/remediations", self.listing),
            Route("/api/v1/remediations/{id:int}/approve", self.approve, methods=["POST"]),
            Route("/api/v1/remediations/{id:int}/reject", self.reject, methods=["POST"]),
            Route("/api/v1/audit", self.entries),
        ]

    def listing(self, request: HttpRequest) -> Response:
        """Remediations, newest first: `?open=true&limit=N` (1 to 1000)."""
        self._demand(request, "read")
        only_open = request.query_params.get("open", "false")
        if only_open not in ("true", "false"):
            raise Problem(400, "open must be true or false")
        found = remediations.listing(self._store, limit_of(request, 1000), only_open=only_open == "true")
        return answer({"remediations": [remediations.document(entry) for entry in found]})

    def entries(self, request: HttpRequest) -> Response:
        """The audit log, newest first: `?limit=N` (1 to 1000)."""
        self._demand(request, "read")
        return answer({"entries": audit.entries(self._store, limit_of(request, 1000))})

    def approve(self, request: HttpRequest) -> Response:
        """Let a remediation that waits be done."""
        return self._answer(request, approved=True)

    def reject(self, request: HttpRequest) -> Response:
        """End a remediation that waits."""
        return self._answer(request, approved=False)

    def _answer(self, request: HttpRequest, *, approved: bool) -> Response:
        who = f"token:{self._demand(request, 'operate')}"
        desk = Desk(self._store, self._settings(), SystemClock().now(), who)
        number = min(request.path_params["id"], _GREATEST)
        try:
            return answer(remediations.document(receiving.answer(desk, number, approved=approved)))
        except receiving.Unknown as error:
            raise Problem(404, str(error)) from None
        except receiving.NotWaiting as error:
            raise Problem(409, str(error)) from None
