"""Compose files (https://docs.docker.com/reference/compose-file/): their services, one by one.

A file is judged as it stands: what another file adds when both are given to Compose is judged in that file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jobs.core.model import Severity
from jobs.security.configuration.commands import judge_command, redis_without_password
from jobs.security.configuration.env_file import Variable, judge_variable
from jobs.security.configuration.interpolation import Filled, fill
from jobs.security.configuration.located_yaml import Fields, Items, Scalar, Value, items, read, scalars
from jobs.security.configuration.passwords import is_judged, is_user
from jobs.security.configuration.ports import is_for_all, published
from jobs.security.configuration.rules import ConfigFile, Unparsable
from jobs.security.scanner import Weakness

_TRUE = ("y", "yes", "true", "on", "1")
_DATABASE_PORTS = {
    **{1433: "SQL Server", 3306: "MySQL", 5432: "PostgreSQL", 6379: "Redis", 7474: "Neo4j", 7687: "Neo4j"},
    **{6333: "Qdrant", 6334: "Qdrant", 8086: "InfluxDB", 8123: "ClickHouse", 9042: "Cassandra"},
    **{9200: "Elasticsearch", 11211: "memcached", 11434: "Ollama", 19530: "Milvus", 27017: "MongoDB"},
}
_DANGEROUS_CAPABILITIES = frozenset(
    ("ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "DAC_READ_SEARCH", "BPF", "NET_ADMIN")
)
_HOST_DIRECTORIES = re.compile(r"/(?:|etc|root|boot|dev|proc|sys|usr|var|var/lib/docker|home)/?")
_SOCKET = re.compile(r"(?:/var)?/run/(?:docker|containerd/containerd|podman/podman|crio/crio)\.sock|/var/run/?|/run/?")


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

    def weak(self, rule: str, key: str, message: str, line: int, *, severity: Severity | None = None) -> Weakness:
        """A weakness of one of its keys."""
        return self.file.weakness(rule, f"{self.name}.{key}", message, line, severity=severity)


def services(file: ConfigFile, known: Mapping[str, str]) -> list[Service]:
    """The services of a file; Unparsable where it is no Compose file. `known` is what the `.env` beside it says."""
    document = read(file.text)
    if not isinstance(document, Fields) or not isinstance(document.get("services") or Fields(), Fields):
        raise Unparsable("it is no Compose file: services is not a mapping")
    written = document.get("services")
    found = written.values if isinstance(written, Fields) else {}
    return [
        Service(file, name, _extended(fields, found, 0), known)
        for name, fields in found.items()
        if isinstance(fields, Fields)
    ]


def references(file: ConfigFile, known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Other files that this one takes in, as (`env` or `compose`, path as it is written)."""
    document = read(file.text)
    for entry in items(document.get("include") if isinstance(document, Fields) else None):
        for path in scalars(entry.get("path") if isinstance(entry, Fields) else entry):
            yield "compose", fill(path.text or "", known).text or ""
        for path in scalars(entry.get("env_file") if isinstance(entry, Fields) else None):
            yield "env", fill(path.text or "", known).text or ""
    for service in services(file, known):
        yield "compose", service.text("extends", "file")
        for entry in items(service.fields.get("env_file")):
            yield "env", service.filled(entry.get("path") if isinstance(entry, Fields) else entry).text or ""


def judge_compose(file: ConfigFile, known: Mapping[str, str]) -> Iterator[Weakness]:
    """What is weak in a Compose file."""
    for service in services(file, known):
        for judge in (_environment, _image, _privileges, _namespaces, _capabilities, _mounts, _ports, _commands):
            yield from judge(service)


def _extended(fields: Fields, others: Mapping[str, Value], depth: int) -> Fields:
    """A service with what it takes from another of the same file beneath what it says itself."""
    extends = fields.get("extends")
    elsewhere = isinstance(extends, Fields) and extends.get("file") is not None
    base = others.get(fields.text("extends", "service") or fields.text("extends"))
    if elsewhere or not isinstance(base, Fields) or base is fields or depth > 8:
        return fields
    return Fields({**_extended(base, others, depth + 1).values, **fields.values}, fields.line)


def _variables(service: Service) -> Iterator[tuple[Variable, Filled]]:
    environment = service.fields.get("environment")
    if isinstance(environment, Fields):
        for name, value in environment.values.items():
            if isinstance(value, Scalar) and value.text is not None:  # null: taken from outside
                filled = service.filled(value)
                yield Variable(name, filled.text or "", value.line), filled
    elif isinstance(environment, Items):
        for entry in scalars(environment):
            name, equals, value_text = (entry.text or "").partition("=")
            if equals:
                filled = fill(value_text, service.known)
                yield Variable(name, filled.text or "", entry.line), filled


def _environment(service: Service) -> Iterator[Weakness]:
    variables = [(variable, filled) for variable, filled in _variables(service) if filled.text is not None]
    users = [variable.value for variable, _ in variables if is_user(variable.name) and variable.value]
    for variable, filled in variables:
        if any(map(is_judged, filled.names)):  # said of the .env file, where it is to be changed
            continue
        for weakness in judge_variable(service.file, variable, users, key=f"{service.name}.{variable.name}"):
            yield from _as_default(service, variable, filled, weakness)


def _as_default(service: Service, variable: Variable, filled: Filled, weakness: Weakness) -> Iterator[Weakness]:
    """The weakness, in words that tell a value from one that is taken where none is given."""
    if not filled.from_default:
        yield weakness
        return
    what = weakness.message.rpartition(": ")[2]
    yield service.weak(weakness.rule, variable.name, f"where nothing else is given, {what}", variable.line)


def _image(service: Service) -> Iterator[Weakness]:
    image = service.filled(service.fields.get("image")).text
    if not image or service.fields.get("build") is not None or "@" in image:
        return
    _, colon, tag = image.rpartition("/")[2].partition(":")
    if not colon or tag == "latest":
        yield service.weak("image_not_pinned", "image", "it is whatever is newest that day", service.line("image"))


def _privileges(service: Service) -> Iterator[Weakness]:
    if service.text("privileged").casefold() in _TRUE:
        line = service.line("privileged")
        yield service.weak("privileged_container", "privileged", "the container may do all that root may", line)
    for text, line in service.texts("security_opt"):
        if re.fullmatch(r"(?:seccomp|apparmor|systempaths)[:=]unconfined|label[:=]disable", text):
            yield service.weak("confinement_off", "security_opt", "a confinement of the engine's is off", line)


def _namespaces(service: Service) -> Iterator[Weakness]:
    if service.text("network_mode") == "host":
        line = service.line("network_mode")
        yield service.weak("host_network", "network_mode", "it listens and talks as the host does", line)
    if service.text("pid") == "host":
        yield service.weak("host_processes", "pid", "it sees the host's processes", service.line("pid"))


def _capabilities(service: Service) -> Iterator[Weakness]:
    for text, line in service.texts("cap_add"):
        name = text.upper().removeprefix("CAP_")
        if name in _DANGEROUS_CAPABILITIES:
            yield service.weak("dangerous_capability", f"cap_add.{name}", "with it, it can leave its container", line)


def _mounts(service: Service) -> Iterator[Weakness]:
    for mount in items(service.fields.get("volumes")):
        if isinstance(mount, Fields):
            source = service.filled(mount.get("source")).text or ""
            read_only = (service.filled(mount.get("read_only")).text or "").casefold() in _TRUE
        else:
            parts = (service.filled(mount).text or "").split(":")
            source = parts[0] if len(parts) > 1 else ""
            read_only = len(parts) > 2 and "ro" in parts[2].split(",")
        if _SOCKET.fullmatch(source):
            yield service.weak("docker_socket_mounted", "volumes", "the engine's socket is as good as root", mount.line)
        elif _HOST_DIRECTORIES.fullmatch(source):
            severity = Severity.MEDIUM if read_only else None
            message = "a directory of the host's own is within the container"
            yield service.weak("host_directory_mounted", f"volumes.{source}", message, mount.line, severity=severity)


def _ports(service: Service) -> Iterator[Weakness]:
    for port in published(service.fields.get("ports"), service.known):
        database = next((_DATABASE_PORTS[number] for number in port.targets if number in _DATABASE_PORTS), None)
        if database and is_for_all(port.address):
            yield service.weak(
                "database_port_on_all_addresses",
                f"ports.{port.targets[0]}",
                f"a port of {database} is published on every address of the host",
                port.line,
            )


def _commands(service: Service) -> Iterator[Weakness]:
    for key in ("command", "entrypoint"):
        yield from judge_command(service.fields.get(key), service.known, service.weak, key)
    open_ports = [port for port in published(service.fields.get("ports"), service.known) if is_for_all(port.address)]
    if (open_ports or service.text("network_mode") == "host") and redis_without_password(
        service.text("image"), service.fields.get("command"), service.known, [v.name for v, _ in _variables(service)]
    ):
        line = service.line("command") if service.fields.get("command") else service.line("image")
        yield service.weak("redis_without_password", "command", "Redis is published and asks for no password", line)
