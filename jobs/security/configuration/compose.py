"""What is weak in the services of Compose files, one by one.

A file is judged as it stands: what another file adds when both are given to Compose is judged in that file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from jobs.core.addresses import is_everywhere
from jobs.core.images import is_floating
from jobs.core.model import Severity
from jobs.security.configuration.commands import judge_command, redis_without_password
from jobs.security.configuration.compose_file import Service
from jobs.security.configuration.env_file import judge_variable
from jobs.security.configuration.located_yaml import Fields, items
from jobs.security.configuration.ports import published
from jobs.security.configuration.words import TRUE
from jobs.security.host_access import CONFINEMENTS, has_engine_socket, of_capability, of_mount, plain
from jobs.security.known_services import STORES, known
from jobs.security.passwords import is_judged, is_user
from jobs.security.scanner import Weakness

_DANGEROUS = (Severity.HIGH, Severity.CRITICAL)


def judge_services(services: Iterable[Service]) -> Iterator[Weakness]:
    """What is weak in services of a Compose file."""
    for service in services:
        for judge in (_environment, _image, _privileges, _namespaces, _capabilities, _mounts, _ports, _commands):
            yield from judge(service)


def _environment(service: Service) -> Iterator[Weakness]:
    written = (*service.variables("environment"), *service.variables("build", "args"))
    variables = [(variable, filled) for variable, filled in written if filled.text is not None]
    users = [variable.value for variable, _ in variables if is_user(variable.name) and variable.value]
    for variable, filled in variables:
        if any(map(is_judged, filled.names)):  # said of the .env file, where it is to be changed
            continue
        key, when = f"{service.name}.{variable.name}", "where nothing else is given, " if filled.from_default else ""
        for weakness in judge_variable(service.file, variable, users, key=key, when=when):
            worse = service.is_reachable and weakness.severity is Severity.HIGH
            yield replace(weakness, severity=Severity.CRITICAL) if worse else weakness


def _image(service: Service) -> Iterator[Weakness]:
    image = service.filled(service.fields.get("image")).text
    if image and service.fields.get("build") is None and is_floating(image):
        yield service.weak("image_not_pinned", "image", "it is whatever is newest that day", service.line("image"))


def _privileges(service: Service) -> Iterator[Weakness]:
    if service.text("privileged").casefold() in TRUE:
        line = service.line("privileged")
        yield service.weak("privileged_container", "privileged", "the container may do all that root may", line)
    for text, line in service.texts("security_opt"):
        if severity := CONFINEMENTS.get(text.replace(":", "=", 1)):
            message = "a confinement of the engine's is off"
            yield service.weak("confinement_off", "security_opt", message, line, severity=severity)


def _namespaces(service: Service) -> Iterator[Weakness]:
    if service.text("network_mode") == "host":
        line = service.line("network_mode")
        yield service.weak("host_network", "network_mode", "it listens and talks as the host does", line)
    if service.text("pid") == "host":
        yield service.weak("host_processes", "pid", "it sees the host's processes", service.line("pid"))


def _capabilities(service: Service) -> Iterator[Weakness]:
    for text, line in service.texts("cap_add"):
        name = text.upper().removeprefix("CAP_")
        if (severity := of_capability(name)) in _DANGEROUS:
            message = "with it, it is more than a guest on the host"
            yield service.weak("dangerous_capability", f"cap_add.{name}", message, line, severity=severity)


def _mounts(service: Service) -> Iterator[Weakness]:
    for mount in items(service.fields.get("volumes")):
        if isinstance(mount, Fields):
            source = service.filled(mount.get("source")).text or ""
            read_only = (service.filled(mount.get("read_only")).text or "").casefold() in TRUE
        else:
            parts = (service.filled(mount).text or "").split(":")
            source = parts[0] if len(parts) > 1 else ""
            read_only = len(parts) > 2 and "ro" in parts[2].split(",")
        if not source.startswith("/"):
            continue
        if has_engine_socket(plain(source)):
            yield service.weak("docker_socket_mounted", "volumes", "the engine's socket is as good as root", mount.line)
        elif severity := of_mount(plain(source), writable=not read_only):
            message = "a directory of the host's own is within the container"
            yield service.weak("host_directory_mounted", f"volumes.{source}", message, mount.line, severity=severity)


def _ports(service: Service) -> Iterator[Weakness]:
    for port in published(service.fields.get("ports"), service.known):
        services = (known("tcp", number, "") for number in port.targets)
        store = next((one for one in services if one in STORES), None)
        if store and is_everywhere(port.address):
            yield service.weak(
                "database_port_on_all_addresses",
                f"ports.{port.targets[0]}",
                f"a port of {store.name} is published on every address of the host",
                port.line,
            )


def _commands(service: Service) -> Iterator[Weakness]:
    for key in ("command", "entrypoint"):
        yield from judge_command(service.fields.get(key), service.known, service.weak, key)
    if not service.is_reachable:
        return
    command = service.fields.get("command")
    names = [variable.name for variable, _ in service.variables("environment")]
    if redis_without_password(service.text("image"), command, names):
        line = service.line("command" if command else "image")
        yield service.weak("redis_without_password", "command", "Redis is published and asks for no password", line)
