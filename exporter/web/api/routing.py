"""Operations as Starlette's routes: who may is asked first, then whether the request is as it should be."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, cast

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exporter.store import StoreError
from exporter.web.access.permission import OPEN, Access
from exporter.web.access.tokens import TokenError
from exporter.web.answers import Problem, problem
from exporter.web.api.bodies import texts
from exporter.web.api.operations import Call, Operation, Parameter
from exporter.web.api.readers import Readers

logger = logging.getLogger(__name__)


def routes_of(operations: Iterable[Operation], access: Access) -> list[Route]:
    """One route for each path, in the order in which they are named."""
    by_path: dict[str, dict[str, Operation]] = {}
    readers = Readers()
    for operation in operations:
        by_path.setdefault(operation.route, {})[operation.method] = operation
    return [
        Route(path, _endpoint(methods, access, readers), methods=list(methods)) for path, methods in by_path.items()
    ]


def _endpoint(
    methods: Mapping[str, Operation], access: Access, readers: Readers
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        operation = methods["GET" if request.method == "HEAD" else request.method]
        try:
            return await _answer(operation, request, access, readers)
        except (HTTPException, StoreError, TokenError):
            raise
        except Exception:  # the client is told that it was not him, and the log what it was
            logger.exception("a request could not be answered", extra={"operation": operation.path})
            return problem(request, Problem(500, "something went wrong here; the exporter's log says what"))

    return endpoint


async def _answer(operation: Operation, request: Request, access: Access, readers: Readers) -> Response:
    call, handler = Call(request, ""), operation.handler
    if not operation.admits:
        # Whether we live is answered whatever the disk does, and so without a thread that may be waiting for it.
        who = "" if operation.scope == OPEN else await run_in_threadpool(access.demand, request, operation.scope)
        values = values_of(operation, request)
        body = {} if operation.body is None else await texts(request, operation.body)
        call = Call(request, who, values, body)
    if inspect.iscoroutinefunction(handler):
        answered: Response = await handler(call)
        return answered
    in_thread = readers.make if operation.method == "GET" else run_in_threadpool
    return cast(Response, await in_thread(handler, call))


def values_of(operation: Operation, request: Request) -> dict[str, Any]:
    """The values of the operation's parameters that the request has, or that stand for those it has not.

    Raise Problem where one is not as it should be, or where the query has one that is not known: a wrong letter in
    the name of a filter must not give an answer about everything.
    """
    values = {parameter.name: parameter.schema.get("default") for parameter in operation.parameters}
    known = {(parameter.place, parameter.name.lower()): parameter for parameter in operation.parameters}
    for place, name, text in _said(request, operation):
        parameter = known.get((place, name))
        if parameter is None:
            raise Problem(400, f"there is no parameter {name[:100]!r}; {_those_of(operation)}")
        values[parameter.name] = parameter.read(text)
    _once(operation.parameters, request)
    return values


def _said(request: Request, operation: Operation) -> Iterable[tuple[str, str, str]]:
    yield from (("path", name, str(text)) for name, text in request.path_params.items())
    if operation.scope != OPEN:
        yield from (("query", name, text) for name, text in request.query_params.multi_items())
    headers = [parameter.name.lower() for parameter in operation.parameters if parameter.place == "header"]
    yield from (("header", name, text) for name in headers for text in request.headers.getlist(name))


def _once(parameters: Iterable[Parameter], request: Request) -> None:
    for parameter in parameters:
        said = request.headers.getlist if parameter.place == "header" else request.query_params.getlist
        if parameter.place != "path" and len(said(parameter.name)) > 1:
            raise Problem(400, f"{parameter.name} is given more than once")


def _those_of(operation: Operation) -> str:
    names = [parameter.name for parameter in operation.parameters if parameter.place == "query"]
    return f"there are {', '.join(names)}" if names else "this takes none"
