"""Stands for a Docker engine that tells what no real one can be brought to: hostile names, ten thousand containers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.stand_ins import TcpServer, answer, read_request

VERSION = {"Version": "20.10.24", "ApiVersion": "1.41"}


def inspection(number: int, name: str = "", **changes: Any) -> dict[str, Any]:
    """A container's inspection as an engine gives it; `changes` are parts of it (`HostConfig={...}`)."""
    config = {"Image": "agent:1", "User": "1000", "Env": [], "Labels": {}, **changes.pop("Config", {})}
    return {
        "Id": f"{number:064x}", "Name": f"/{name or f'agent-{number}'}", "Image": image_id(0),
        "State": {"Status": "running"}, "Mounts": [], "HostConfig": {}, **changes, "Config": config,
    }  # fmt: skip


def image_id(number: int) -> str:
    """An image's id."""
    return f"sha256:{number:064x}"


class ToldEngine:
    """Serves these inspections, and these images (id, tag). `answers` replaces the answer to a path's end."""

    def __init__(
        self,
        inspections: Sequence[Mapping[str, Any]] = (),
        images: Sequence[tuple[str, str]] = ((image_id(0), "agent:1"),),
        answers: Mapping[str, Callable[[], bytes]] | None = None,
    ) -> None:
        documents: dict[str, Any] = {
            "/version": VERSION,
            "/info": {"SecurityOptions": ["name=seccomp,profile=default"]},
            "/containers/json": [_listed(one) for one in inspections],
            "/images/json": [{"Id": identity, "RepoTags": [tag]} for identity, tag in images],
            **{f"/containers/{one['Id']}/json": one for one in inspections},
        }
        self._bodies = {path: json.dumps(document).encode() for path, document in documents.items()}
        self._answers = dict(answers or {})
        self._server = TcpServer(self._serve)

    @property
    def url(self) -> str:
        """For `docker.url`."""
        return f"tcp://127.0.0.1:{self._server.port}"

    def __enter__(self) -> ToldEngine:
        self._server.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._server.__exit__(*error)

    def _serve(self, connection: socket.socket, closing: threading.Event) -> None:
        while True:
            path = read_request(connection)[1].partition("?")[0].removeprefix("/v1.41")
            if path in self._answers:
                connection.sendall(self._answers[path]())
                return
            body = self._bodies.get(path)
            if body is None:
                connection.sendall(answer(b'{"message": "no such thing"}', "404 Not Found"))
                return
            # Open for the next request, as an engine leaves it.
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def _listed(inspection: Mapping[str, Any]) -> dict[str, Any]:
    config = inspection["Config"]
    return {
        "Id": inspection["Id"], "Names": [inspection["Name"]], "Image": config["Image"], "ImageID": inspection["Image"],
        "State": inspection["State"]["Status"], "Labels": config["Labels"],
    }  # fmt: skip
