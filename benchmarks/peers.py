"""The programs that ours are measured beside, private on loopback."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from benchmarks.machine import need
from tests.services.docker_engine import DockerEngine
from tests.services.process import Process
from tests.services.web_service import WebService

AUTOHEAL_SECONDS = 5.0
"""docker-autoheal's AUTOHEAL_INTERVAL, where nobody sets it."""

_BLACKBOX_MODULE = "modules: {http_2xx: {prober: http, timeout: 30s, http: {preferred_ip_protocol: ip4}}}\n"


class NodeExporter(WebService):
    """node_exporter with Debian's collectors, without netclass: where there are many interfaces it takes longest."""

    name = "node-exporter"
    health_path = "/"

    def __init__(self) -> None:
        super().__init__(need("prometheus-node-exporter", "node_exporter", package="prometheus-node-exporter"))
        self.start()

    def arguments(self) -> Mapping[str, object]:
        """Its flags."""
        return {"web.listen-address": self.address, "no-collector.netclass": True}


class Blackbox(WebService):
    """blackbox_exporter with its module http_2xx."""

    name = "blackbox-exporter"
    health_path = "/-/healthy"

    def __init__(self) -> None:
        program = need("prometheus-blackbox-exporter", "blackbox_exporter", package="prometheus-blackbox-exporter")
        super().__init__(program)
        self._config = self.directory / "blackbox.yml"
        self._config.write_text(_BLACKBOX_MODULE)
        self.start()

    def arguments(self) -> Mapping[str, object]:
        """Its flags."""
        return {"web.listen-address": self.address, "config.file": self._config}


class PostgresExporter(WebService):
    """postgres_exporter without a server to ask: its memory at rest."""

    name = "postgres-exporter"
    health_path = "/"

    def __init__(self) -> None:
        program = need("prometheus-postgres-exporter", "postgres_exporter", package="prometheus-postgres-exporter")
        super().__init__(program)
        # It takes its server from the environment only, and none of ours may reach it.
        wrapped = self.directory / "postgres_exporter"
        wrapped.write_text(
            f'#!/bin/sh\nDATA_SOURCE_NAME=postgresql://127.0.0.1:1/none exec {shlex.quote(program)} "$@"\n'
        )
        wrapped.chmod(0o700)
        self._program = str(wrapped)
        self.start()

    def arguments(self) -> Mapping[str, object]:
        """Its flags."""
        return {"web.listen-address": self.address}


class RedisExporter(WebService):
    """redis_exporter without a server to ask: its memory at rest."""

    name = "redis-exporter"
    health_path = "/"

    def __init__(self) -> None:
        super().__init__(need("prometheus-redis-exporter", "redis_exporter", package="prometheus-redis-exporter"))
        self.start()

    def arguments(self) -> Mapping[str, object]:
        """Its flags."""
        return {"web.listen-address": self.address}


class Autoheal:
    """The method of docker-autoheal on a private engine: `autoheal.sh` says what it stands for."""

    def __init__(self, engine: DockerEngine) -> None:
        for program in ("curl", "jq"):
            need(program, package=program)
        script = Path(__file__).with_name("autoheal.sh")
        self._process = Process(
            ["/bin/sh", str(script), str(engine.socket)], log_file=engine.directory / "autoheal.log"
        )

    def close(self) -> None:
        """Stop it."""
        self._process.stop()
