"""What the API can do, as values: the routes, who may, what is taken and the OpenAPI document all follow from them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from exporter.web.answers import Problem

JSON = "application/json"
NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"
MAX_LIMIT = 1000


@dataclass(frozen=True)
class Parameter:
    """Something that a request may say in its path, query or header (`place`).

    `schema` is a JSON schema of one text, number or truth value; it is what is read by, and what is documented.
    """

    name: str
    place: str
    about: str
    schema: Mapping[str, Any]
    example: Any

    def read(self, text: str) -> Any:
        """The value that a text stands for; raise Problem unless it is one that the schema allows."""
        kind = self.schema["type"]
        if kind == "integer":
            return self._number(text)
        if kind == "boolean":
            if text not in ("true", "false"):
                raise self._refused("true or false")
            return text == "true"
        if "enum" in self.schema and text not in self.schema["enum"]:
            raise self._refused(f"one of {', '.join(self.schema['enum'])}")
        if "pattern" in self.schema and not re.fullmatch(self.schema["pattern"][1:-1], text):
            raise self._refused(self.about[0].lower() + self.about[1:].rstrip("."))
        return text

    def _number(self, text: str) -> int:
        least, most = self.schema["minimum"], self.schema["maximum"]
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
            raise self._refused(f"a whole number from {least} to {most}")
        return int(text)

    def _refused(self, wanted: str) -> Problem:
        # What a path names and is not there, whatever it may be, is not there.
        return Problem(404 if self.place == "path" else 400, f"{self.name} must be {wanted}")


def limit(most: int = MAX_LIMIT) -> Parameter:
    """The parameter `limit` of a list."""
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": 50}
    return Parameter("limit", "query", "How many, the newest first.", schema, 20)


@dataclass(frozen=True)
class Answer:
    """What a request is answered with: the shape of the JSON document, or the media types of what else it is."""

    about: str
    shape: Any = None
    media: tuple[str, ...] = (JSON,)
    status: int = 200
    example: Any = None


@dataclass(frozen=True)
class Field:
    """A text that a JSON body may have under a name."""

    about: str
    example: str
    pattern: str = ""


@dataclass(frozen=True)
class Call:
    """A request that was let pass and is as it should be; `who` is the name of its token, or empty."""

    http: Request
    who: str
    values: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Response] | Callable[[Call], Awaitable[Response]]
"""A plain function may wait for the disk, and is called on a thread that may; a coroutine may not."""


@dataclass(frozen=True)
class Operation:
    """One method on one path.

    `scope` is who may (empty: everybody). `refusals` are the problems it answers besides those that every operation
    has. `body` are the texts that a JSON body may have. What reads its body itself says in `takes` what that is, and
    asks itself who may (`admits`).
    """

    method: str
    path: str
    scope: str
    summary: str
    answer: Answer
    handler: Handler
    about: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: Mapping[str, Field] | None = None
    refusals: Mapping[int, str] = field(default_factory=dict)
    admits: bool = False
    takes: Mapping[str, Any] | None = None

    @property
    def route(self) -> str:
        """The path as Starlette has it: one with a word for a number is no path of ours, whatever the method."""
        path = self.path
        for parameter in self.parameters:
            if parameter.place == "path" and parameter.schema["type"] == "integer":
                path = path.replace(f"{{{parameter.name}}}", f"{{{parameter.name}:int}}")
        return path
