"""What Prometheus, Alertmanager and node_exporter have in common: one program with one web address."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

from tests.services.local_http import TRANSIENT, ask
from tests.services.ports import free_port
from tests.services.process import Process, Service, private_directory


class WebService(Service):
    """A program that serves HTTP on `url`. Subclasses say what its command and its health path are."""

    name = "service"
    health_path = "/-/ready"

    def __init__(self, program: str) -> None:
        self._program = program
        self.directory = private_directory(self.name)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"

    def arguments(self) -> Mapping[str, object]:
        """Its flags, without their dashes."""
        raise NotImplementedError

    @property
    def log_file(self) -> Path:
        """Where it logs."""
        return self.directory / "log"

    def start(self) -> None:
        """Start it on the files it has had and wait until it is ready; remove everything when it does not get there."""
        flags = [f"--{name}" if value is True else f"--{name}={value}" for name, value in self.arguments().items()]
        self.process = Process([self._program, *flags], log_file=self.log_file)
        try:
            self.process.wait_ready(self._ready, f"{self.name} is ready", ignoring=TRANSIENT)
        except BaseException:
            self.close()
            raise

    def reload(self) -> None:
        """Have it read its configuration again."""
        self.process.send(signal.SIGHUP)

    def _ready(self) -> bool:
        return ask("GET", self.url + self.health_path).status_code == 200
