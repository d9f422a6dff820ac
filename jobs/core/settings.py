"""The settings that more than one job needs, and the base that every job's own settings build on.

Every field says its unit in its name and its limits in its type: `check-config` and the documentation
are made from them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from jobs.core.cadence import Cadence
from jobs.core.dsn import has_usable_ports

AGENT_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
"""Docker's own rule for container names, with a limit on the length; such a name is also a safe file name."""

MAIN_SERVER = "main"
"""What the PostgreSQL server is called that `postgres.dsn` names, or that was found."""


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError(f"{str(path)!r}: an absolute path is needed")
    return path


def _some_path(text: object) -> object:
    if text == "":
        raise ValueError("is empty; name a path, or leave it out")
    if isinstance(text, str) and text.startswith("~"):
        raise ValueError(f"{text!r}: only a shell knows what '~' is; write the path out")
    return text


def _agent_name(text: str) -> str:
    if not AGENT_NAME.fullmatch(text):
        raise ValueError(
            "a name starts with a letter or digit and has only letters, digits, '_', '.' and '-' (128 at most)"
        )
    return text


def _address(text: str) -> str:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):(\d{1,5})", text)
    if not match or not 1 <= int(match[2]) <= 65535:
        raise ValueError(f"{text!r} is no address; write host:port, such as 127.0.0.1:443")
    return text


def _http_path(text: str) -> str:
    if not re.fullmatch(r"/[!-~]{0,255}", text):
        raise ValueError("a path starts with '/' and has only printable ASCII without blanks (256 at most)")
    return text


def http_url(text: str) -> str:
    """The text, if it is an HTTP URL that can be asked as it stands; else raise ValueError, which does not quote it."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not re.fullmatch(r"[!-~]{1,2048}", text):
        raise ValueError("a URL looks like http://host:port/path (or https://)")
    if parts.username or parts.password:
        raise ValueError("credentials do not belong in a URL")
    return text


def _docker_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        local = parts.scheme == "unix" and parts.path.startswith("/")
        remote = parts.scheme in ("tcp", "http", "https") and bool(parts.hostname) and bool(parts.port)
    except ValueError:
        local = remote = False
    if not (local or remote) or not re.fullmatch(r"[!-~]{1,2048}", text):
        raise ValueError("a Docker URL looks like unix:///var/run/docker.sock or tcp://host:port")
    return text


def _postgres_dsn(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not re.match(r"postgres(ql)?://|\s*\w+\s*=", text):
        raise ValueError("a DSN looks like postgresql://user@host:5432/database or 'host=... dbname=...'")
    if not has_usable_ports(text):
        raise ValueError(
            "its port is no number from 1 to 65535; of a password, / ? : and @ are written with %XX ('@' is %40), or it"
            " goes into the setting password beside the DSN"
        )
    return secret


def _redis_url(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    try:
        usable = urlsplit(text).port != 0
    except ValueError:
        usable = False
    if not usable or not re.match(r"(rediss?|unix)://\S+$", text):
        raise ValueError(
            "a Redis URL looks like redis://host:6379/0, rediss://host:6379 or unix:///path; a password with / ? or #"
            " in it goes into redis.password"
        )
    return secret


def _twice(names: Iterable[str]) -> str | None:
    """The first name that stands there a second time."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def _distinct(cadences: tuple[Cadence, ...]) -> tuple[Cadence, ...]:
    """A slot belongs to a cadence without its mode: of two with the same times the second would never run."""
    if twice := _twice(cadence.key for cadence in cadences):
        raise ValueError(f"{twice!r} stands here twice; a task runs once at a time: choose one mode, or another time")
    return cadences


Schedule = Annotated[tuple[Cadence, ...], AfterValidator(_distinct)]
SomePath = Annotated[Path, BeforeValidator(_some_path)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
AgentName = Annotated[str, AfterValidator(_agent_name)]
Address = Annotated[str, AfterValidator(_address)]
HttpPath = Annotated[str, AfterValidator(_http_path)]
HttpUrl = Annotated[str, AfterValidator(http_url)]
PostgresDsn = Annotated[SecretStr, AfterValidator(_postgres_dsn)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
DockerUrl = Annotated[str, AfterValidator(_docker_url)]
DatabaseNames = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=63)], ...], Field(min_length=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
Percent = Annotated[float, Field(gt=0, le=100)]


class SettingsModel(BaseModel):
    """Frozen settings; an unknown key is an error."""

    # A message of pydantic's quotes what was given, which may be a DSN with its password.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


class DockerSettings(SettingsModel):
    """The Docker engine. Its socket is as good as root; a filtering socket proxy is reached by its URL."""

    url: DockerUrl | None = Field(None, description="Engine to use; unset: the local socket, if there is one.")
    timeout_seconds: Seconds = Field(10, description="Limit of one call to the engine.")


class PostgresServer(SettingsModel):
    """One more PostgreSQL server."""

    name: AgentName = Field(description="What it is called in metrics, findings and the names of backups.")
    dsn: PostgresDsn = Field(description="Connection string (URL or key=value).")
    password: SecretStr | None = Field(None, description="Password, where the DSN has none.")
    databases: DatabaseNames | None = Field(None, description="Databases to look after; unset: all of them.")
    container: AgentName | None = Field(
        None, description="Container that it runs in, whose own client programs are used; unset: this host's."
    )


class PostgresSettings(SettingsModel):
    """The PostgreSQL server, and others beside it."""

    dsn: PostgresDsn | None = Field(
        None, description="Connection string (URL or key=value); unset: the local server, if there is one."
    )
    password: SecretStr | None = Field(None, description="Password, where the DSN has none.")
    connect_timeout_seconds: int = Field(5, ge=2, le=300, description="Limit for making a connection.")
    databases: DatabaseNames | None = Field(None, description="Databases to look after; unset: all of them.")
    container: AgentName | None = Field(
        None, description="Container that it runs in, whose own client programs are used; unset: this host's."
    )
    programs: tuple[Path, ...] = Field(
        (), description="Directories to look for pg_dump and pg_restore in, before the usual ones."
    )
    servers: tuple[PostgresServer, ...] = Field((), description="Further servers, each with a name of its own.")

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        if twice := _twice((MAIN_SERVER, *(server.name for server in self.servers))):
            raise ValueError(f"servers: two servers are called {twice!r} ({MAIN_SERVER!r} is the one that dsn names)")
        return self


class RedisSettings(SettingsModel):
    """The Redis server."""

    url: RedisUrl | None = Field(
        None, description="redis://, rediss:// or unix:// URL; unset: 127.0.0.1:6379, if a server is there."
    )
    password: SecretStr | None = Field(None, description="Password, where the URL has none.")
    timeout_seconds: Seconds = Field(5, description="Limit for connecting and for each reply.")


class OllamaSettings(SettingsModel):
    """The Ollama server."""

    url: HttpUrl | None = Field(None, description="Base URL; unset: http://127.0.0.1:11434, if a server is there.")
    canary_model: str | None = Field(
        None, description="Model for the one-token test; unset: one that is loaded, else the smallest installed."
    )
    canary_timeout_seconds: Seconds = Field(30, description="Limit of the one-token generation.")


class TlsServer(SettingsModel):
    """A server that speaks TLS, and how it begins to."""

    address: Address = Field(description="host:port that it is reached at.")
    protocol: Literal["tls", "postgres", "smtp"] = Field("tls", description="How TLS begins there.")

    @property
    def host(self) -> str:
        """The host, without the brackets of an IPv6 address."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port."""
        return int(self.address.rpartition(":")[2])


class Endpoint(SettingsModel):
    """An HTTP endpoint that must answer with the expected status."""

    name: AgentName = Field(description="Name of the check.")
    url: HttpUrl = Field(description="Where to ask.")
    expected_status: int = Field(200, ge=100, le=599, description="Status that means healthy.")
    timeout_seconds: Seconds = Field(10, description="Limit of the whole exchange.")


class Agent(SettingsModel):
    """An agent: a container that answers HTTP on a port of this host."""

    name: AgentName = Field(description="Name of the agent and, unless `container` is set, of its container.")
    port: Port = Field(description="Port it answers on.")
    path: HttpPath = Field("/health", description="Path that answers 2xx when the agent is healthy.")
    host: str = Field("127.0.0.1", description="Host that the port is reached on.", pattern=r"^[A-Za-z0-9_.:-]{1,253}$")
    container: AgentName | None = Field(None, description="Container name, where it differs from the agent's.")


GUIDE_AGENTS = tuple(
    Agent(name=name, port=port)
    for name, port in (
        ("sutazai-senior-ai-engineer", 8001),
        ("sutazai-infrastructure-devops-manager", 8002),
        ("sutazai-testing-qa-validator", 8003),
        ("sutazai-agent-orchestrator", 8004),
        ("sutazai-ai-system-architect", 8005),
    )
)
"""The agents of a standard SutazAI installation: expected once one of them has been seen."""


class AgentsSettings(SettingsModel):
    """Which agents there are: those listed, and containers that carry the label `sutazai.agent=true`."""

    listed: tuple[Agent, ...] | None = Field(
        None, description="Agents that must be there; unset: the five standard ones, where any of them is."
    )
    discover: bool = Field(True, description="Also take containers labelled sutazai.agent=true.")
    max_discovered: int = Field(1000, ge=0, le=10000, description="Discovered agents beyond this are refused.")
    timeout_seconds: Seconds = Field(30, description="Limit of one probe of an agent.")

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        if twice := _twice(agent.name for agent in self.listed or ()):
            raise ValueError(f"listed: two agents are called {twice!r}")
        return self


class Thresholds(SettingsModel):
    """Limits that reports and alerts share."""

    max_memory_percent: Percent = Field(80, description="Memory use from which it is a warning.")
    critical_memory_percent: Percent = Field(90, description="Memory use from which it is a failure.")
    max_disk_percent: Percent = Field(85, description="Disk use from which it is a warning.")
    critical_disk_percent: Percent = Field(90, description="Disk use from which it is a failure.")
    max_load_per_core: float = Field(1.5, gt=0, le=100, description="One-minute load per core that is still well.")


class CertificateSettings(SettingsModel):
    """The host's own certificate, at `ssl/cert.pem` of the base directory, and the subject it carries."""

    domain: str = Field("localhost", pattern=r"^[A-Za-z0-9*]([A-Za-z0-9.-]{0,252})$", description="Name it is for.")
    organization: str = Field("SutazAI", min_length=1, max_length=64, description="Organisation in its subject.")
    city: str = Field("", max_length=128, description="City in its subject.")
    state: str = Field("", max_length=128, description="State in its subject.")
    country: str = Field("US", pattern=r"^[A-Z]{2}$", description="Two-letter country code in its subject.")
    renewal_threshold_days: int = Field(30, ge=1, le=3650, description="Days left below which it is a warning.")


class World(SettingsModel):
    """Where everything outside a run is found: handed to each run together with the job's own settings."""

    base_dir: SomePath = Field(Path("/opt/sutazaiapp"), description="Directory of everything the exporter keeps.")
    docker: DockerSettings = DockerSettings.model_construct()
    postgres: PostgresSettings = PostgresSettings.model_construct()
    redis: RedisSettings = RedisSettings.model_construct()
    ollama: OllamaSettings = OllamaSettings.model_construct()
    endpoints: tuple[Endpoint, ...] = Field((), description="HTTP endpoints to check.")
    agents: AgentsSettings = AgentsSettings.model_construct()
    thresholds: Thresholds = Thresholds.model_construct()
    certificate: CertificateSettings = CertificateSettings.model_construct()

    @model_validator(mode="after")
    def _endpoints_are_unique(self) -> Self:
        if twice := _twice(endpoint.name for endpoint in self.endpoints):
            raise ValueError(f"endpoints: two of them are called {twice!r}")
        return self


class JobSettings(SettingsModel):
    """What every job can be told."""

    enabled: bool = Field(True, description="Whether the schedule and events start it.")
    schedule: Schedule | None = Field(None, description="When it runs; unset: the job's own cadences.")
    max_run_seconds: Annotated[float, Field(ge=1, le=86400)] = Field(600, description="A run is killed after this.")
    max_memory_mb: int = Field(1024, ge=64, le=1048576, description="Memory that a run may allocate.")
