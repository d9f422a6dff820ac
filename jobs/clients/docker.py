"""The Docker engine: what runs, why it stopped, and the two things that may be done: a restart, and a signal.

Everything goes by container id. A name can move to another container between two calls; an id cannot.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jobs.clients.errors import Absent, ClientError, Refused
from jobs.core.containers import (
    Container,
    ContainerEvent,
    Inspection,
    clean,
    parse_containers,
    parse_event,
    parse_inspection,
    parse_security_options,
)
from jobs.core.images import Image, parse_images
from jobs.core.settings import DockerSettings
from jobs.core.usage import Usage, parse_stats

if TYPE_CHECKING:
    from jobs.clients.docker_api import BoundedAPIClient, Failed
    from jobs.clients.docker_exec import ContainerProgram

MAX_LOG_LINE_CHARACTERS = 4096
QUIET_SECONDS = 1.0
"""An engine that has said nothing for so long has said what it remembers; `stop` follows `die` in milliseconds, on a
busy machine in tenths of a second."""

MAX_QUIET_SECONDS = 600.0
"""A program in a container that prints nothing for so long is given up."""

_T = TypeVar("_T")


class NoSuchContainer(ClientError):
    """The engine has no container with that id (any more)."""


class DockerEngine:
    """The engine that `settings` names, else the one behind the local socket. It is first asked when used."""

    def __init__(self, settings: DockerSettings) -> None:
        self._settings = settings
        self._opened: BoundedAPIClient | None = None

    def version(self) -> str:
        """The engine's version (`28.2.2`)."""
        return self._ask(lambda api: clean(str(api.version()["Version"]), 64))

    def api_version(self) -> str:
        """The newest version of its API that both sides know (`1.41`)."""
        return self._ask(lambda api: clean(str(api.api_version), 16))

    def containers(self) -> list[Container]:
        """Every container, running or not, in one call."""
        return self._ask(lambda api: parse_containers(api.containers(all=True)))

    def inspect(self, container_id: str) -> Inspection:
        """All about one container; NoSuchContainer where it is gone."""
        return self._ask(lambda api: parse_inspection(api.inspect_container(container_id)))

    def images(self) -> list[Image]:
        """Every image but those that only others are built upon, in one call."""
        return self._ask(lambda api: parse_images(api.images()))

    def security_options(self) -> frozenset[str]:
        """What protects every container by default: `apparmor`, `seccomp`, `userns`, `rootless`, …

        Names as in `GET /info`; of `name=seccomp,profile=unconfined` it is `seccomp,profile=unconfined`.
        """
        return self._ask(lambda api: parse_security_options(api.info()))

    def memory_bytes(self) -> int:
        """The memory of the engine's own host."""
        return self._ask(lambda api: int(api.info()["MemTotal"]))

    def usage(self, container_id: str, host_memory_bytes: int) -> Usage:
        """What one container uses, by the engine's own statistics; NoSuchContainer where it is gone.

        A limit of `host_memory_bytes` or more is none. Older engines take a second or two for it.
        """
        return self._ask(
            lambda api: parse_stats(api.stats(container_id, stream=False, one_shot=True), host_memory_bytes)
        )

    def data_root(self) -> Path:
        """The directory that the engine keeps everything in, on its own host."""
        return Path(self._ask(lambda api: str(api.info()["DockerRootDir"])))

    def log_tail(self, container_id: str, lines: int) -> list[str]:
        """The last `lines` lines that the container wrote, each cut at MAX_LOG_LINE_CHARACTERS."""
        raw = self._ask(lambda api: bytes(api.logs(container_id, tail=lines)))
        texts = raw.decode(errors="replace").split("\n")
        return [text[:MAX_LOG_LINE_CHARACTERS] for text in texts if text][-lines:]

    def restart(self, container_id: str, stop_timeout_seconds: float) -> None:
        """Stop it if it runs (by force after the time-out), then start it; NoSuchContainer where it is gone."""
        seconds = math.ceil(stop_timeout_seconds)
        # Starting takes time of its own, on a loaded host more than any other call.
        self._ask(lambda api: api.restart(container_id, timeout=seconds), extra_seconds=seconds + 30)

    def signal(self, container_id: str, name: str) -> None:
        """Send its main process a signal (`SIGHUP`); NoSuchContainer where it is gone, ClientError where it is stopped.

        Meant for signals that make a service read its files anew, on containers that the configuration names.
        """
        self._ask(lambda api: api.kill(container_id, signal=name))

    def program(
        self, container: str, argv: Sequence[str], *, environment: Mapping[str, str], timeout_seconds: float
    ) -> ContainerProgram:
        """Start a program in a container (by id or name), to be used in a `with`; NoSuchContainer where it is gone.

        Of `environment` only that program knows, and whoever may ask the engine.
        """
        from jobs.clients.docker_exec import ContainerProgram

        command, variables = list(argv), dict(environment)
        exec_id = str(self._ask(lambda api: api.exec_create(container, command, environment=variables)["Id"]))
        quiet_seconds = min(timeout_seconds, MAX_QUIET_SECONDS)
        return ContainerProgram(
            self._ask(lambda api: api.exec_output(exec_id, quiet_seconds)),
            lambda: self._exit_code(exec_id),
            where=f"{argv[0]} in the container {clean(container)}",
            timeout_seconds=timeout_seconds,
        )

    def _exit_code(self, exec_id: str) -> int | None:
        """The exit code of a program, None while it runs."""
        return self._ask(lambda api: _code_of(api.exec_inspect(exec_id)))

    def events(
        self, container_id: str, since: datetime, enough: Callable[[list[ContainerEvent]], bool]
    ) -> list[ContainerEvent]:
        """What the engine remembers of one container since then, oldest first, and what happens meanwhile.

        It stops once `enough` is true of what came so far, or nothing has come for QUIET_SECONDS. The engine
        remembers its last 256 events (moby's daemon/events: `eventsLimit`), of which the probes of health
        checks are the most: after a few minutes there may be nothing left.
        """
        filters = json.dumps({"type": ["container"], "container": [container_id]})
        params = {"since": f"{since.timestamp():.6f}", "filters": filters}
        found: list[ContainerEvent] = []

        def parsed_enough(raw: list[Any]) -> bool:
            found.append(parse_event(raw[-1]))
            return enough(found)

        self._ask(lambda api: api.events_until(params, parsed_enough, QUIET_SECONDS))
        return found

    def _ask(self, call: Callable[[BoundedAPIClient], _T], extra_seconds: float = 0) -> _T:
        limit, where = self._settings.timeout_seconds + extra_seconds, self._where
        # The library takes 0.2 s to load, which a host without Docker need not wait for.
        from jobs.clients import docker_api

        def answer() -> _T:
            api = self._api(docker_api.BoundedAPIClient)
            api.answer_seconds = limit
            api.timeout = math.ceil(limit)
            return call(api)

        try:
            return docker_api.within(limit, answer)
        except docker_api.Failed as failure:
            raise _explained(failure, where, limit) from failure
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ClientError(f"{where} answered nonsense: {clean(str(error), 200)}") from error

    def _api(self, kind: type[BoundedAPIClient]) -> BoundedAPIClient:
        if self._opened is None:
            # With no version given, the library asks the engine for the newest that both know.
            self._opened = kind(base_url=self.url, timeout=math.ceil(self._settings.timeout_seconds))
        return self._opened

    @property
    def url(self) -> str:
        """Where it is; Absent where it is not configured and not at its usual place."""
        return self._settings.url or local_url()

    @property
    def _where(self) -> str:
        return f"the Docker engine at {self.url}"


def _code_of(answer: Mapping[str, Any]) -> int | None:
    return None if answer["Running"] else int(answer["ExitCode"])


def local_url() -> str:
    """The URL of the local socket, the system's or else the user's own; Absent where there is none."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    usual = [Path("/var/run/docker.sock"), *([Path(runtime, "docker.sock")] if runtime.startswith("/") else [])]
    for socket in usual:
        if socket.exists():
            return f"unix://{socket}"
    raise Absent(f"no Docker engine: docker.url is not set and there is no {' or '.join(map(str, usual))}")


def _explained(failure: Failed, where: str, limit_seconds: float) -> ClientError:
    if failure.status in (401, 403):
        return Refused(f"{where} refuses: {failure.reason}")
    if failure.status == 404:
        return NoSuchContainer(f"{where} answers: {failure.reason}")
    if failure.status is not None:
        return ClientError(f"{where} answered {failure.status}: {failure.reason}")
    if failure.caused_by(PermissionError):
        return Refused(f"no permission for {where}; give this user access to the socket")
    if failure.caused_by(TimeoutError):
        return ClientError(f"{where} did not answer within {limit_seconds:g} s")
    if failure.caused_by(FileNotFoundError):
        return ClientError(f"{where} is down: there is no such socket")
    if failure.caused_by(ConnectionRefusedError):
        return ClientError(f"{where} is down: connection refused")
    return ClientError(f"{where} failed: {failure.reason}")
