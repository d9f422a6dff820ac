"""The OpenAPI document, made from the operations; loaded when somebody asks for it.

(https://spec.openapis.org/oas/v3.1.1.html) Its schemas are made by pydantic from the very shapes that type checking
holds the documents to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter

from exporter import __version__
from exporter.web.api.operations import JSON, Answer, Field, Operation, Parameter
from exporter.web.api.shapes import ProblemDetails

_REF = "#/components/schemas/{model}"
_PROBLEM = {"application/problem+json": {"schema": {"$ref": _REF.format(model="ProblemDetails")}}}
_COMMON = {
    400: "Something in the request is not as it should be.",
    500: "Something went wrong here; the exporter's log says what.",
    503: "The store or the tokens cannot be used.",
}
_OF_THE_GUARDED = {
    401: "It takes a token with the scope.",
    429: "Too many wrong tokens came from this address; a right one is let in at any time.",
}
_OF_BODIES = {413: "The body is too large.", 415: "The body is not JSON, or is compressed."}
_ABOUT = (
    "What SutazAI Exporter sees, and what it can be told to do. Refusals are problem details (RFC 9457). "
    "Parameters that are not known are refused. A document may get further keys in a later version; none is taken away."
)
_BEARER = (
    "A token of `sutazai-exporter token create`. `operate` opens everything, `read` all that there is to see, `scrape` "
    "the metrics, `alert` the intake of alerts. Reading takes none from this machine."
)


def document_of(operations: Iterable[Operation]) -> bytes:
    """The document, as JSON."""
    schemas = _Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    schemas.of(ProblemDetails)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "SutazAI Exporter", "version": __version__, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": schemas.named,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": _BEARER}},
        },
    }
    return json.dumps(document, ensure_ascii=False).encode()


class _Schemas:
    """The schemas that are named, each once."""

    def __init__(self) -> None:
        self.named: dict[str, Any] = {}

    def of(self, shape: Any) -> dict[str, Any]:
        """The schema of a shape; what it consists of is named."""
        made = TypeAdapter(shape).json_schema(ref_template=_REF, mode="serialization")
        self.named |= made.pop("$defs", {})
        name = getattr(shape, "__name__", "")
        if made.get("type") != "object" or name.startswith("dict"):
            return made
        self.named[name] = made
        return {"$ref": _REF.format(model=name)}


def _operation(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _id(operation),
        "summary": operation.summary,
        "description": " ".join(filter(None, [operation.about, _who(operation)])),
        "tags": [_tag(operation.path)],
        "responses": _answers(operation, schemas),
    }
    if operation.scope:
        # From this machine reading takes no token: an empty requirement says that it may be left out.
        described["security"] = [{"token": []}, *([{}] if operation.scope == "read" else [])]
    if operation.parameters:
        described["parameters"] = [_parameter(parameter) for parameter in operation.parameters]
    body = operation.takes or (operation.body and _body(operation.body))
    if body:
        described["requestBody"] = {"content": {JSON: {"schema": dict(body)}}, "required": operation.takes is not None}
    return described


def _id(operation: Operation) -> str:
    words = operation.path.replace("{", "").replace("}", "").replace("-", "").split("/")
    return "_".join([operation.method.lower(), *filter(None, words)]).replace(".", "_")


def _tag(path: str) -> str:
    return "health" if path.startswith("/-/") else path.split("/")[3 if path.startswith("/api/v1") else 2]


def _who(operation: Operation) -> str:
    return f"Scope: `{operation.scope}`." if operation.scope else "Open to everybody."


def _answers(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    refusals: dict[int, str] = {}
    if operation.scope:
        refusals |= _COMMON | _OF_THE_GUARDED
    if operation.body is not None or operation.takes:
        refusals |= _OF_BODIES
    refusals |= operation.refusals
    answers = {str(operation.answer.status): _answer(operation.answer, schemas)}
    return answers | {str(status): _refusal(status, about, operation) for status, about in sorted(refusals.items())}


def _answer(answer: Answer, schemas: _Schemas) -> dict[str, Any]:
    schema: Mapping[str, Any] = schemas.of(answer.shape) if answer.shape is not None else {}
    example = {"example": answer.example} if answer.example is not None else {}
    content = {media: {"schema": schema or _anything(media), **example} for media in answer.media}
    return {"description": answer.about, "content": content}


def _anything(media: str) -> dict[str, Any]:
    return {} if media.endswith("json") else {"type": "string"}


def _refusal(status: int, about: str, operation: Operation) -> dict[str, Any]:
    if operation.path == "/-/ready":
        return {"description": about, "content": {"text/plain": {"schema": {"type": "string"}}}}
    title = HTTPStatus(status).phrase
    example = {"type": "about:blank", "status": status, "title": title, "detail": about}
    return {
        "description": about,
        "content": {media: {**content, "example": example} for media, content in _PROBLEM.items()},
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.about,
        "required": parameter.place == "path",
        "schema": dict(parameter.schema),
        "example": parameter.example,
    }


def _body(fields: Mapping[str, Field]) -> dict[str, Any]:
    properties = {
        name: {"type": "string", "description": field.about, "examples": [field.example], "pattern": field.pattern}
        for name, field in fields.items()
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}
