"""Health paths, reload, and the REST API: Starlette routes over a Daemon."""

from __future__ import annotations

import html
import json

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from exporter import __version__
from exporter.daemon import Daemon
from exporter.runner import UnknownRequest
from exporter.store import Store, StoreError
from exporter.views import tasks as views
from exporter.web.access import Access
from exporter.web.alerts import AlertIntake
from exporter.web.answers import HEADERS, Problem, answer, limit_of, media_type, problem, unavailable
from exporter.web.lockout import Lockout
from exporter.web.remediations import Remediations
from exporter.web.tokens import TokenError, Tokens
from jobs.core.model import Request, Trigger
from jobs.core.registry import all_jobs


class Api:
    """The handlers. All that may wait for the disk are plain functions, which Starlette runs on other threads."""

    def __init__(self, daemon: Daemon, store: Store, tokens: Tokens) -> None:
        self._daemon = daemon
        self._store = store
        access = Access(tokens, Lockout())
        self._demand = access.demand
        self._intake = AlertIntake(daemon.reception, access, daemon.configuration.settings.web.max_body_bytes)
        self._remediations = Remediations(store, lambda: daemon.configuration.settings, access.demand)

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/", self.landing),
                Route("/-/healthy", self.healthy),
                Route("/-/ready", self.ready),
                Route("/-/reload", self.reload, methods=["POST", "PUT"]),
                Route("/api/v1/tasks", self.tasks),
                Route("/api/v1/tasks/{task}/start", self.start, methods=["POST"]),
                Route("/api/v1/runs", self.runs),
                Route("/api/v1/alerts", self._intake.alerts, methods=["GET", "POST"]),
                Route("/api/v1/agents/{agent}/release", self.release, methods=["POST"]),
                *self._remediations.routes(),
            ],
            exception_handlers={HTTPException: problem, StoreError: unavailable, TokenError: unavailable},
        )

    # Open to everybody

    async def landing(self, request: HttpRequest) -> Response:
        """A page that says what this is and where things are."""
        path = html.escape(self._daemon.configuration.settings.web.telemetry_path)
        links = "".join(f'<li><a href="{p}">{p}</a></li>' for p in (path, "/-/healthy", "/-/ready", "/api/v1/tasks"))
        page = (
            "<!doctype html><html lang=en><meta charset=utf-8><title>SutazAI Exporter</title>"
            f"<h1>SutazAI Exporter</h1><p>Version {__version__}</p><ul>{links}</ul></html>"
        )
        return HTMLResponse(page, headers=HEADERS)

    async def healthy(self, request: HttpRequest) -> Response:
        """200 as long as the process answers at all."""
        return PlainTextResponse("SutazAI Exporter is healthy.\n", headers=HEADERS)

    async def ready(self, request: HttpRequest) -> Response:
        """200 while the schedule is being watched, else 503."""
        if self._daemon.ready.is_set() and not self._daemon.runner.stop.is_set():
            return PlainTextResponse("SutazAI Exporter is ready.\n", headers=HEADERS)
        return PlainTextResponse("SutazAI Exporter is starting or stopping.\n", status_code=503, headers=HEADERS)

    # For those who may read

    def tasks(self, request: HttpRequest) -> Response:
        """Every task with its cadences and its last run."""
        self._demand(request, "read")
        return answer(views.tasks(self._daemon.sources()))

    def runs(self, request: HttpRequest) -> Response:
        """The ledger, newest first: `?task=NAME&limit=N` (1 to 1000)."""
        self._demand(request, "read")
        task = request.query_params.get("task")
        limit = limit_of(request, 1000)
        if task is not None and task not in all_jobs():
            raise Problem(404, f"no task is called {task[:100]!r}; there are {', '.join(all_jobs())}")
        return answer(
            {
                "runs": [json.loads(record.model_dump_json()) for record in self._store.ledger(task, limit)],
                "missed": self._store.missed(task, limit),
            }
        )

    # For those who may operate

    def reload(self, request: HttpRequest) -> Response:
        """Load the configuration anew, or keep the old one and say why."""
        self._demand(request, "operate")
        problems = self._daemon.reload()
        if problems:
            raise Problem(422, "the configuration was not reloaded: " + "; ".join(problems))
        return PlainTextResponse("The configuration was reloaded.\n", headers=HEADERS)

    async def start(self, request: HttpRequest) -> Response:
        """Start a task: a JSON object with `mode` and `target`, both optional."""
        who = await run_in_threadpool(self._demand, request, "operate")
        wanted = await _json_object(request, {"mode", "target"})
        task = request.path_params["task"]
        return await run_in_threadpool(self._submit, who, Request(task=task, trigger=Trigger.API, **wanted))

    def release(self, request: HttpRequest) -> Response:
        """Release an agent from quarantine and give it its restarts back."""
        who, agent = self._demand(request, "operate"), request.path_params["agent"]
        return self._submit(who, Request(task="agent-monitor", mode="release", target=agent, trigger=Trigger.API))

    def _submit(self, who: str, wanted: Request) -> Response:
        if self._daemon.runner.stop.is_set():
            raise Problem(503, "the exporter is stopping: nothing was started")
        wanted = wanted.model_copy(update={"reason": f"asked for by token:{who}"})
        try:
            self._daemon.submit(wanted)
        except UnknownRequest as error:
            raise Problem(404, str(error)) from None
        return answer({"accepted": wanted.model_dump(mode="json")}, status=202)


async def _json_object(request: HttpRequest, keys: set[str]) -> dict[str, str]:
    if media_type(request) != "application/json":
        raise Problem(415, "the body must be JSON, with the content type application/json")
    try:
        body = json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError):
        raise Problem(400, "the body is not JSON") from None
    except ClientDisconnect:
        raise Problem(400, "the body is not complete") from None
    if not isinstance(body, dict) or not set(body) <= keys or not all(isinstance(v, str) for v in body.values()):
        raise Problem(400, f"the body must be an object with no other keys than {', '.join(sorted(keys))}, all text")
    return body
