"""Where the demo keeps everything: one directory, and a handful of ports of its own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from exporter.locks import is_held
from jobs.core.files import atomic_write

FIRST_PORT = 10140
AGENTS = ("demo-orchestrator", "demo-worker")


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

    def container(self, agent: str) -> str:
        """The name of an agent's container; another demo has other ports, and so other names."""
        return f"sutazai-{agent}-{self.first_port}"

    def agent_port(self, name: str) -> int:
        """The port of an agent."""
        return self.first_port + 3 + AGENTS.index(name)

    @property
    def mark(self) -> Path:
        """What only a directory of a demo has; locked as long as the demo runs, however that ends."""
        return self.directory / "sutazai-demo"

    @property
    def told(self) -> Path:
        """What a demo that is running says of itself; left behind by one that was killed."""
        return self.directory / "demo.json"

    @property
    def ports(self) -> range:
        """The ports of every part."""
        return range(self.first_port, self.first_port + 3 + len(AGENTS))


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
        atomic_write(self.layout.told, json.dumps(asdict(self)).encode(), mode=0o600)


def running(directory: Path) -> Running | None:
    """The demo that is running in a directory; DemoError where it is somebody else's."""
    layout = Layout(directory)
    try:
        found = Running(**json.loads(layout.told.read_text()))
    except (FileNotFoundError, NotADirectoryError, TypeError, ValueError):
        return None
    except OSError as error:
        raise DemoError(f"{error.filename}: {error.strerror}; be the user who has started the demo") from None
    return found if is_held(layout.mark) else None
