"""Compose files as they are written (https://docs.docker.com/reference/compose-file/)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jobs.core.addresses import is_everywhere
from jobs.core.model import Severity
from jobs.security.configuration.env_file import Variable
from jobs.security.configuration.interpolation import Filled, fill
from jobs.security.configuration.located_yaml import Fields, Items, Scalar, Value, items, read, scalars
from jobs.security.configuration.ports import published
from jobs.security.configuration.rules import ConfigFile, Unparsable
from jobs.security.scanner import Weakness


@dataclass(frozen=True)
class Service:
    """One service of a Compose file, with what it takes from another of the same file, and the variables known."""

    file: ConfigFile
    name: str
    fields: Fields
    known: Mapping[str, str]

    def filled(self, value: Value | None) -> Filled:
        """A scalar with its variables filled in."""
        return fill(value.text or "", self.known) if isinstance(value, Scalar) else Filled("")

    def text(self, *path: str) -> str:
        """The text at this path with its variables filled in; empty where that is not known."""
        return self.filled(self.fields.get(*path)).text or ""

    def texts(self, key: str) -> Iterator[tuple[str, int]]:
        """The texts of a list, as far as they are known, with their lines."""
        for scalar in scalars(self.fields.get(key)):
            if filled := self.filled(scalar).text:
                yield filled, scalar.line

    def line(self, *path: str) -> int:
        """The line of a value, or else that of the service."""
        found = self.fields.get(*path)
        return self.fields.line if found is None else found.line

    @property
    def is_reachable(self) -> bool:
        """Whether other machines reach a port of it, as far as this file says."""
        ports = published(self.fields.get("ports"), self.known)
        return self.text("network_mode") == "host" or any(is_everywhere(port.address) for port in ports)

    def weak(self, rule: str, key: str, message: str, line: int, *, severity: Severity | None = None) -> Weakness:
        """A weakness of one of its keys."""
        return self.file.weakness(rule, f"{self.name}.{key}", message, line, severity=severity)

    def variables(self, *path: str) -> Iterator[tuple[Variable, Filled]]:
        """The variables at this path, in both forms; those that are taken from outside are left out."""
        found = self.fields.get(*path)
        if isinstance(found, Fields):
            for name, value in found.values.items():
                if isinstance(value, Scalar) and value.text is not None:
                    filled = self.filled(value)
                    yield Variable(name, filled.text or "", value.line), filled
        for entry in scalars(found) if isinstance(found, Items) else ():
            name, equals, text = (entry.text or "").partition("=")
            if equals:
                filled = fill(text, self.known)
                yield Variable(name, filled.text or "", entry.line), filled


@dataclass(frozen=True)
class ComposeFile:
    """A Compose file: its services, and other files that it takes in as (`env` or `compose`, path as written)."""

    services: tuple[Service, ...]
    references: tuple[tuple[str, str], ...]


def parse_compose(file: ConfigFile, known: Mapping[str, str]) -> ComposeFile:
    """What a file says; Unparsable where it is no Compose file. `known` is what the `.env` beside it says."""
    document = read(file.text)
    if not isinstance(document, Fields):
        raise Unparsable("it is no Compose file: it is not a mapping")
    written = document.get("services")
    if written is None or written == Scalar(None, written.line):
        written = Fields()
    if not isinstance(written, Fields) or not all(isinstance(one, Fields) for one in written.values.values()):
        raise Unparsable("it is no Compose file: services are not mappings")
    services = tuple(
        Service(file, name, _extended(fields, written.values, 0), known)
        for name, fields in written.values.items()
        if isinstance(fields, Fields)
    )
    included = Service(file, "include", Fields({"include": document.get("include") or Items((), 1)}), known)
    found = (*_included(included), *(reference for service in services for reference in _taken_in(service)))
    return ComposeFile(services, tuple((kind, path) for kind, path in found if path))


def _included(top: Service) -> Iterator[tuple[str, str]]:
    for entry in items(top.fields.get("include")):
        for path in scalars(entry.get("path") if isinstance(entry, Fields) else entry):
            yield "compose", top.filled(path).text or ""
        for path in scalars(entry.get("env_file") if isinstance(entry, Fields) else None):
            yield "env", top.filled(path).text or ""


def _taken_in(service: Service) -> Iterator[tuple[str, str]]:
    yield "compose", service.text("extends", "file")
    for entry in items(service.fields.get("env_file")):
        yield "env", service.filled(entry.get("path") if isinstance(entry, Fields) else entry).text or ""


def _extended(fields: Fields, others: Mapping[str, Value], depth: int) -> Fields:
    """A service with what it takes from another of the same file beneath what it says itself."""
    extends = fields.get("extends")
    elsewhere = isinstance(extends, Fields) and extends.get("file") is not None
    base = others.get(fields.text("extends", "service") or fields.text("extends"))
    if elsewhere or not isinstance(base, Fields) or base is fields or depth > 8:
        return fields
    return Fields({**_extended(base, others, depth + 1).values, **fields.values}, fields.line)
