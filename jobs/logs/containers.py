"""The logs that the Docker engine's json-file driver writes, one for each container."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.clients.docker import DockerEngine, NoSuchContainer
from jobs.clients.errors import Absent, ClientError
from jobs.core.containers import Inspection
from jobs.logs.places import Refused, open_place
from jobs.logs.scan import Log, Skip, Source, skip

LABEL = "docker"
DRIVER = "json-file"


@dataclass
class ContainerLogs:
    """What was found. `asked` says that there is an engine and it answered; `unlimited` names containers."""

    logs: list[Log] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    unlimited: list[str] = field(default_factory=list)
    asked: bool = False
    error: str = ""
    unreachable: str = ""


@dataclass(frozen=True)
class LogOptions:
    """Where a container's log is, as the engine says, and whether it has a limit."""

    driver: str
    path: str
    limited: bool


def read_containers(engine: DockerEngine, stack: ExitStack) -> ContainerLogs:
    """Ask the engine for its containers and open their logs' directories, where they are on this host."""
    found = ContainerLogs()
    try:
        root = engine.data_root()
        inspections = list(_inspections(engine))
    except Absent:
        return found
    except ClientError as error:
        found.error = str(error)
        return found
    found.asked = True
    for inspection in inspections:
        _take(found, inspection, root, stack)
    return found


def parse_log_options(inspection: Mapping[str, Any]) -> LogOptions:
    """Given the engine's account of a container, return its log's driver, path and limit; ValueError for nonsense."""
    host = inspection.get("HostConfig")
    config = host.get("LogConfig") if isinstance(host, Mapping) else None
    path = inspection.get("LogPath", "")
    if not isinstance(config, Mapping) or not isinstance(path, str):
        raise ValueError("the engine tells nothing of its log")
    options = config.get("Config") or {}
    if not isinstance(options, Mapping):
        raise ValueError("its log options are not an object")
    return LogOptions(str(config.get("Type", "")), path, _is_limit(options.get("max-size")))


def expected_path(root: Path, container_id: str) -> Path:
    """Where the engine keeps a container's log (moby, daemon/logger/jsonfilelog): no other path is accepted."""
    return root / "containers" / container_id / f"{container_id}-json.log"


def _is_limit(text: Any) -> bool:
    return isinstance(text, str) and re.fullmatch(r"[1-9]\d*[bkmgBKMG]{0,2}", text) is not None


def _inspections(engine: DockerEngine) -> Sequence[Inspection]:
    found = []
    for container in engine.containers():
        with contextlib.suppress(NoSuchContainer):  # removed since the list was made
            found.append(engine.inspect(container.id))
    return found


def _take(found: ContainerLogs, inspection: Inspection, root: Path, stack: ExitStack) -> None:
    path = expected_path(root, inspection.id)
    try:
        options = parse_log_options(inspection.raw)
        if options.driver != DRIVER:
            return
        if not options.limited:
            found.unlimited.append(inspection.name)
        if not options.path:  # it has never run
            return
        if Path(options.path) != path:
            raise Refused("changed", f"the log of {inspection.name} is not where the engine keeps logs")
        place = open_place(path.parent, stack)
        source = Source(place.path, (path.name,), LABEL)
        stem = f"docker-{inspection.name}"
        found.logs.append(Log(place, path.name, place.status(path.name), source, stem=stem, whole_lines_only=True))
    except ValueError as error:
        found.skips.append(Skip(path, "error", f"{inspection.name}: {error}"))
    except (FileNotFoundError, PermissionError):
        # The engine is on another host, or we are not root; a log may also be gone with its container.
        found.unreachable = found.unreachable or str(root)
    except (OSError, Refused) as error:
        found.skips.append(skip(path, error))
