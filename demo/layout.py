"""Where the demo keeps everything: one directory, and a handful of ports of its own."""

from __future__ import annotations

import json
import shutil
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from jobs.core.files import atomic_write

FIRST_PORT = 10140
AGENTS = ("demo-orchestrator", "demo-worker")
_MARK = "sutazai-demo"


class DemoError(Exception):
    """The demo cannot go on; the message names the thing, the reason and the remedy, in one line."""

    def __init__(self, message: str, code: int = 69) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Layout:
    """Directories below `directory`, and ports from `first_port` on."""

    directory: Path
    first_port: int = FIRST_PORT

    @property
    def base(self) -> Path:
        """The exporter's base directory."""
        return self.directory / "base"

    @property
    def config_file(self) -> Path:
        """The exporter's configuration, where a backup of the configuration finds it."""
        return self.base / "config" / "exporter.yml"

    @property
    def log(self) -> Path:
        """The log that the demo writes to, and one break too much."""
        return self.base / "logs" / "demo-agent.log"

    @property
    def token_file(self) -> Path:
        """The token that the demo operates with."""
        return self.directory / "operate-token"

    @property
    def exporter(self) -> str:
        """The exporter's address."""
        return self.address(0)

    @property
    def prometheus(self) -> str:
        """Prometheus's address."""
        return self.address(1)

    @property
    def alertmanager(self) -> str:
        """Alertmanager's address."""
        return self.address(2)

    def address(self, number: int) -> str:
        """The host and port of a part."""
        return f"127.0.0.1:{self.first_port + number}"

    def agent_port(self, name: str) -> int:
        """The port of an agent."""
        return self.first_port + 3 + AGENTS.index(name)

    def begin(self) -> None:
        """Make the directory anew; DemoError where it is not a demo's, or a port is taken."""
        if self.directory.exists() and any(self.directory.iterdir()):
            if not (self.directory / _MARK).is_file():
                raise DemoError(f"{self.directory}: was not made by a demo; name another one with --directory", 64)
            if running(self.directory) is not None:
                raise DemoError(f"{self.directory}: a demo is running here already; end it with Ctrl-C")
            shutil.rmtree(self.directory)
        for port in range(self.first_port, self.first_port + 3 + len(AGENTS)):
            if not _is_free(port):
                raise DemoError(f"port {port} is taken; name others with --first-port (make demo DEMO_PORT=20140)")
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / _MARK).touch()


@dataclass(frozen=True)
class Running:
    """What a demo that is running says of itself to the one who breaks it."""

    directory: str
    first_port: int
    pid: int
    docker_url: str
    containers: dict[str, str]
    processes: dict[str, int]
    backups: bool

    @property
    def layout(self) -> Layout:
        """Where everything is."""
        return Layout(Path(self.directory), self.first_port)

    def write(self) -> None:
        """Say so."""
        atomic_write(Path(self.directory) / "demo.json", json.dumps(asdict(self)).encode(), mode=0o600)


def running(directory: Path) -> Running | None:
    """The demo that is running in a directory."""
    try:
        found = Running(**json.loads((directory / "demo.json").read_text()))
    except (FileNotFoundError, TypeError, ValueError):
        return None
    return found if _is_demo(found.pid) else None


def _is_demo(pid: int) -> bool:
    """Whether a process with this id is one of ours: ids are given out again."""
    try:
        return b"demo" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
