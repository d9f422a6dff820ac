"""Checks of the services: Docker and its containers, PostgreSQL, Redis, Ollama, HTTP endpoints, agents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.clients import Clients
from jobs.clients.errors import ClientError
from jobs.core.checks import SERVICE_POINTS, Answer, Planned, Status, listed, sample
from jobs.core.model import Family
from jobs.core.settings import Endpoint

if TYPE_CHECKING:
    from jobs.clients.agents import AgentReading
    from jobs.clients.http import Reply
    from jobs.clients.ollama import Model
    from jobs.clients.postgres import PostgresStatus
    from jobs.clients.redis import RedisStatus
    from jobs.core.containers import Container

CONTAINERS = Family(name="sutazai_containers", help="Containers by state.", labels=("state",))
POSTGRES_SIZE = Family(name="sutazai_postgres_database_size_bytes", help="Size of the checked database.")
REDIS_MEMORY = Family(name="sutazai_redis_memory_used_bytes", help="Memory that Redis uses for its data.")
OLLAMA_MODELS = Family(name="sutazai_ollama_models", help="Models that Ollama has installed.")
OLLAMA_CANARY = Family(
    name="sutazai_ollama_canary_seconds", help="How long Ollama took to generate one token; absent if it did not."
)
FAMILIES = (CONTAINERS, POSTGRES_SIZE, REDIS_MEMORY, OLLAMA_MODELS, OLLAMA_CANARY)

_STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
_MAX_NAMED = 20


def docker(clients: Clients) -> Planned:
    """The Docker engine answers."""
    return Planned(
        "docker",
        read=lambda: clients.docker.version(),
        judge=lambda version: Answer(Status.PASS, f"Docker {version} answers", {"version": version}),
        configured=clients.world.docker.url is not None,
        failure_points=SERVICE_POINTS,
        remedy="start Docker (systemctl start docker), let this user use its socket, or set docker.url",
    )


def containers(clients: Clients, required: Sequence[str]) -> Planned:
    """No container is unhealthy, restarting, dead or paused, and the required ones run."""
    return Planned(
        "containers",
        read=lambda: clients.docker.containers(),
        judge=lambda found: judge_containers(found, required),
        configured=bool(required),
        failed_read=Status.UNKNOWN,
        remedy="see the check of Docker itself",
    )


def judge_containers(found: Sequence[Container], required: Sequence[str]) -> Answer:
    """Unhealthy, restarting and dead ones fail, as does a required one that does not run; paused ones warn."""
    counts = Counter(container.state for container in found)
    running = {container.name for container in found if container.state == "running"}
    failed = [f"{c.name} is {c.health if c.health == 'unhealthy' else c.state}" for c in found if _is_failed(c)]
    failed += [f"{name} does not run" for name in required if name not in running]
    paused = [f"{container.name} is paused" for container in found if container.state == "paused"]
    status = Status.FAIL if failed else Status.WARN if paused else Status.PASS
    return Answer(
        status,
        listed([*failed, *paused]) or f"{counts['running']} of {len(found)} containers run, none is in trouble",
        {"states": dict(counts), "troubled": [*failed, *paused][:_MAX_NAMED]},
        remedy="" if status is Status.PASS else "look at: docker logs NAME; docker inspect NAME",
        samples=tuple(sample(CONTAINERS, counts[state], state=state) for state in _STATES),
    )


def postgres(clients: Clients, max_connection_percent: float) -> Planned:
    """PostgreSQL lets us in, answers a query and has connections left."""
    return Planned(
        "postgres",
        read=lambda: clients.postgres.status(),
        judge=lambda status: judge_postgres(status, max_connection_percent),
        configured=clients.world.postgres.dsn is not None,
        failure_points=SERVICE_POINTS,
        remedy="start PostgreSQL, or set postgres.dsn and postgres.password",
    )


def judge_postgres(found: PostgresStatus, max_connection_percent: float) -> Answer:
    """Connections in use above the limit are a warning."""
    used_percent = 100 * found.connections / found.max_connections
    many = used_percent > max_connection_percent
    size = f"{found.database_bytes / 1e6:.1f} MB"
    use = f"{found.connections} of {found.max_connections} connections in use"
    return Answer(
        Status.WARN if many else Status.PASS,
        f"PostgreSQL {found.version} at {found.where}: {found.database} has {size}, {use}",
        {
            "version": found.version,
            "database": found.database,
            "size_bytes": found.database_bytes,
            "connections": found.connections,
            "max_connections": found.max_connections,
            "in_recovery": found.in_recovery,
        },
        remedy="find who holds them in pg_stat_activity, or raise max_connections" if many else "",
        samples=(sample(POSTGRES_SIZE, found.database_bytes),),
    )


def redis(clients: Clients) -> Planned:
    """Redis answers PING and INFO and takes writes."""
    return Planned(
        "redis",
        read=lambda: clients.redis.status(),
        judge=judge_redis,
        configured=clients.world.redis.url is not None,
        failure_points=SERVICE_POINTS,
        remedy="start Redis, or set redis.url and redis.password",
    )


def judge_redis(found: RedisStatus) -> Answer:
    """Full and refusing writes is a failure; a failed save and a lost master are warnings."""
    used = f"{found.used_bytes / 1e6:.1f} MB used"
    status, message, remedy = Status.PASS, used, ""
    if found.refuses_when_full and 0 < found.max_bytes <= found.used_bytes:
        status, message = Status.FAIL, f"full: {used} of {found.max_bytes / 1e6:.1f}, writes are refused (OOM)"
        remedy = "raise maxmemory or choose a maxmemory-policy that evicts"
    elif found.save_failed:
        status, message = Status.WARN, f"the last save to disk failed, {used}"
        remedy = "look at Redis's log: until a save succeeds it may refuse writes"
    elif found.link_to_master_down:
        status, message, remedy = Status.WARN, f"the link to its master is down, {used}", "look at the master"
    details = {"version": found.version, "used_bytes": found.used_bytes, "max_bytes": found.max_bytes}
    samples = (sample(REDIS_MEMORY, found.used_bytes),)
    return Answer(status, f"Redis {found.version} at {found.where}: {message}", details, remedy, samples)


@dataclass(frozen=True)
class OllamaReading:
    """Ollama's models, and how the generation of one token went; `model` is empty where none can generate."""

    installed: tuple[Model, ...]
    model: str = ""
    seconds: float | None = None
    error: str = ""


def ollama(clients: Clients) -> Planned:
    """Ollama has models, and one of them generates a token in time."""
    return Planned(
        "ollama",
        read=lambda: read_ollama(clients),
        judge=judge_ollama,
        configured=clients.world.ollama.url is not None,
        failure_points=SERVICE_POINTS,
        remedy="start Ollama (ollama serve), or set ollama.url",
    )


def read_ollama(clients: Clients) -> OllamaReading:
    """What is installed, and the canary; a failure of the canary is part of the reading."""
    installed = tuple(clients.ollama.installed())
    model = ""
    try:
        model = clients.ollama.canary_model(list(installed)) if installed else ""
        return OllamaReading(installed, model, clients.ollama.generate_token(model) if model else None)
    except ClientError as error:
        return OllamaReading(installed, model, error=str(error))


def judge_ollama(found: OllamaReading) -> Answer:
    """A server that lists its models and does not generate is down; one without models is of no use."""
    status, remedy = Status.PASS, ""
    if found.error:
        status, message = Status.FAIL, f"Ollama lists its models but does not generate: {found.error}"
        remedy = "restart Ollama; see its log and whether the model fits into memory"
    elif found.seconds is not None:
        message = f"Ollama: {found.model} generated a token in {found.seconds:.1f} s"
    else:
        status = Status.WARN
        message = "Ollama has no model that can generate" if found.installed else "Ollama has no models installed"
        remedy = "install one: ollama pull NAME"
    samples = [sample(OLLAMA_MODELS, len(found.installed))]
    samples += [] if found.seconds is None else [sample(OLLAMA_CANARY, found.seconds)]
    names = [model.name for model in found.installed][:_MAX_NAMED]
    details = {"models": len(found.installed), "names": names, "canary_model": found.model}
    return Answer(status, message, {**details, "canary_seconds": found.seconds}, remedy, tuple(samples))


def endpoint(clients: Clients, wanted: Endpoint) -> Planned:
    """An HTTP endpoint answers with the expected status."""

    def read() -> Reply:
        from jobs.clients.http import Ask

        return clients.http.fetch(Ask(wanted.url, wanted.timeout_seconds))

    return Planned(f"endpoint:{wanted.name}", read, judge=lambda reply: judge_endpoint(reply, wanted), configured=True)


def judge_endpoint(reply: Reply, wanted: Endpoint) -> Answer:
    """Any other status is a failure, as is no answer."""
    # A query may hold a token.
    url = wanted.url.partition("?")[0]
    details = {"url": url, "status": reply.status, "seconds": round(reply.seconds, 6)}
    if reply.error:
        return Answer(Status.FAIL, f"{url}: {reply.error}", details, "see whether the service runs")
    if reply.status != wanted.expected_status:
        message = f"{url} answers {reply.status}, expected {wanted.expected_status}"
        return Answer(Status.FAIL, message, details, "see the service's log")
    return Answer(Status.PASS, f"{url} answers {reply.status} in {reply.seconds * 1000:.0f} ms", details)


def agents(clients: Clients) -> Planned:
    """Most agents are healthy."""
    return Planned(
        "agents",
        read=lambda: clients.agents.survey(),
        judge=judge_agents,
        configured=bool(clients.world.agents.listed),
        failure_points=SERVICE_POINTS,
    )


def judge_agents(found: Sequence[AgentReading]) -> Answer:
    """80 % healthy and more pass, 50 % and more are a warning, fewer a failure."""
    if not found:
        return Answer(Status.NOT_CONFIGURED, "no agents are configured or found", remedy="list them in agents.listed")
    ill = [reading for reading in found if not reading.healthy]
    healthy = len(found) - len(ill)
    status = Status.PASS if healthy * 5 >= len(found) * 4 else Status.WARN if healthy * 2 >= len(found) else Status.FAIL
    message = f"{healthy} of {len(found)} agents are healthy"
    named = [f"{reading.agent.name}: {reading.detail}" for reading in ill]
    return Answer(
        status,
        f"{message}; {listed(named)}" if ill else message,
        {"total": len(found), "healthy": healthy, "unhealthy": named[:_MAX_NAMED]},
        remedy="" if status is Status.PASS else "see the agent monitor's report and docker logs NAME",
    )


def _is_failed(container: Container) -> bool:
    return container.health == "unhealthy" or container.state in ("restarting", "dead")
