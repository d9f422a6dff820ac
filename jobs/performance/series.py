"""What is remembered between reports: every kind of figure, its unit, and which way is worse."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote, unquote

PREFIX = "performance/"


class Unit(StrEnum):
    """What a figure is measured in."""

    RATIO = "ratio"
    BYTES = "bytes"
    BYTES_PER_SECOND = "bytes_per_second"
    PER_SECOND = "per_second"
    SECONDS = "seconds"
    CORES = "cores"
    COUNT = "count"


class Worse(StrEnum):
    """Which way a figure gets worse."""

    UP = "up"
    DOWN = "down"
    NEITHER = "neither"


@dataclass(frozen=True)
class Kind:
    """A kind of figure: `name` is AREA_FIGURE with its unit, `parts` name what there is one for each of.

    `notable`: the least change from one period to the next, in the figure's own unit, that is worth a word.
    `percentiles`: a report shows p50, p95 and p99 of it rather than its mean.
    """

    name: str
    title: str
    unit: Unit
    worse: Worse = Worse.NEITHER
    parts: tuple[str, ...] = ()
    notable: float = 0.0
    percentiles: bool = False

    def series(self, *labels: str) -> str:
        """The name that the store knows one such figure by."""
        return "/".join((PREFIX + self.name, *(quote(label, safe="", errors="replace") for label in labels)))

    def labels(self, series: str) -> tuple[str, ...]:
        """The labels in a series' name: the reverse of `series`."""
        return tuple(unquote(part) for part in series.removeprefix(PREFIX + self.name).split("/")[1:])


@dataclass(frozen=True)
class Figure:
    """One figure, now."""

    kind: Kind
    value: float
    labels: tuple[str, ...] = ()


_UP, _DOWN = Worse.UP, Worse.DOWN

CPU = Kind("host_cpu_used_ratio", "CPU in use", Unit.RATIO, _UP, notable=0.05)
CPU_MODE = Kind("host_cpu_mode_ratio", "CPU by mode", Unit.RATIO, parts=("mode",))
LOAD = Kind("host_load_per_core_ratio", "Load per core", Unit.RATIO, _UP, notable=0.2)
MEMORY = Kind("host_memory_used_ratio", "Memory in use", Unit.RATIO, _UP, notable=0.05)
SWAP = Kind("host_swap_used_ratio", "Swap in use", Unit.RATIO, _UP, notable=0.05)
DISK = Kind("host_disk_used_ratio", "Disk in use", Unit.RATIO, _UP, ("mount",), notable=0.02)
DISK_READ = Kind("host_disk_read_bytes_per_second", "Disk reads", Unit.BYTES_PER_SECOND, parts=("device",))
DISK_WRITTEN = Kind("host_disk_written_bytes_per_second", "Disk writes", Unit.BYTES_PER_SECOND, parts=("device",))
DISK_BUSY = Kind("host_disk_busy_ratio", "Disk busy", Unit.RATIO, _UP, ("device",), notable=0.1)
RECEIVED = Kind("host_network_received_bytes_per_second", "Received", Unit.BYTES_PER_SECOND, parts=("interface",))
SENT = Kind("host_network_sent_bytes_per_second", "Sent", Unit.BYTES_PER_SECOND, parts=("interface",))
NETWORK_ERRORS = Kind("host_network_errors_per_second", "Network errors and drops", Unit.PER_SECOND, _UP,
                      ("interface",), notable=0.1)  # fmt: skip
PRESSURE = Kind("host_pressure_ratio", "Time that something waited for it", Unit.RATIO, _UP, ("resource",), 0.05)

CONTAINER_CPU = Kind("container_cpu_cores", "CPU", Unit.CORES, _UP, ("container",), notable=0.2)
CONTAINER_MEMORY = Kind("container_memory_bytes", "Memory", Unit.BYTES, _UP, ("container",), notable=64 << 20)
CONTAINER_MEMORY_SHARE = Kind("container_memory_limit_ratio", "Memory of its limit", Unit.RATIO, _UP,
                              ("container",), notable=0.05)  # fmt: skip
CONTAINER_READ = Kind("container_disk_read_bytes_per_second", "Disk reads", Unit.BYTES_PER_SECOND, parts=("container",))
CONTAINER_WRITTEN = Kind("container_disk_written_bytes_per_second", "Disk writes", Unit.BYTES_PER_SECOND,
                         parts=("container",))  # fmt: skip
CONTAINER_RESTARTS = Kind("container_restarts", "Restarts so far", Unit.COUNT, _UP, ("container",), notable=1)

AGENTS_HEALTHY = Kind("agents_healthy_ratio", "Agents that are well", Unit.RATIO, _DOWN, notable=0.01)
AGENT_RESPONSE = Kind("agent_response_seconds", "Response time", Unit.SECONDS, _UP, ("agent",), 0.05, percentiles=True)
AGENT_ERRORS = Kind("agent_failed_ratio", "Failed probes", Unit.RATIO, _UP, ("agent",), notable=0.01)
AGENT_REQUESTS = Kind("agent_requests_per_second", "Requests", Unit.PER_SECOND, parts=("agent",))
AGENT_OWN_RESPONSE = Kind("agent_own_response_seconds", "Response time by its own figures", Unit.SECONDS, _UP,
                          ("agent",), notable=0.05)  # fmt: skip
AGENT_OWN_ERRORS = Kind("agent_own_error_ratio", "Errors by its own figures", Unit.RATIO, _UP, ("agent",), 0.01)

POSTGRES_CACHE = Kind("postgres_cache_hit_ratio", "Reads from the cache", Unit.RATIO, _DOWN, ("server", "database"),
                      notable=0.01)  # fmt: skip
POSTGRES_CONNECTIONS = Kind("postgres_connections_ratio", "Connections of those allowed", Unit.RATIO, _UP,
                            ("server",), notable=0.05)  # fmt: skip
POSTGRES_COMMITS = Kind("postgres_transactions_per_second", "Transactions", Unit.PER_SECOND,
                        parts=("server", "database"))  # fmt: skip
POSTGRES_SIZE = Kind("postgres_size_bytes", "Size", Unit.BYTES, _UP, ("server", "database"), notable=256 << 20)
POSTGRES_STATEMENT = Kind("postgres_slowest_statement_seconds", "Mean time of the slowest statement", Unit.SECONDS, _UP,
                          ("server", "database"), notable=0.05)  # fmt: skip
REDIS_HITS = Kind("redis_hit_ratio", "Keys that were found", Unit.RATIO, _DOWN, notable=0.02)
REDIS_MEMORY = Kind("redis_memory_bytes", "Memory", Unit.BYTES, _UP, notable=64 << 20)
REDIS_COMMANDS = Kind("redis_commands_per_second", "Commands", Unit.PER_SECOND)

MODEL_FIRST_TOKEN = Kind("model_first_token_seconds", "Time to the first token", Unit.SECONDS, _UP, ("model",), 0.1,
                         percentiles=True)  # fmt: skip
MODEL_SPEED = Kind("model_tokens_per_second", "Tokens per second", Unit.PER_SECOND, _DOWN, ("model",), notable=1)
MODEL_GPU = Kind("model_gpu_ratio", "Share on the GPU", Unit.RATIO, _DOWN, ("model",), notable=0.05)
MODEL_BYTES = Kind("model_memory_bytes", "Memory", Unit.BYTES, parts=("model",))

SCORE = Kind("score", "Performance score", Unit.COUNT, _DOWN, notable=1)

HOST = (CPU, CPU_MODE, LOAD, MEMORY, SWAP, DISK, DISK_READ, DISK_WRITTEN, DISK_BUSY, RECEIVED, SENT, NETWORK_ERRORS,
        PRESSURE)  # fmt: skip
CONTAINERS = (CONTAINER_CPU, CONTAINER_MEMORY, CONTAINER_MEMORY_SHARE, CONTAINER_READ, CONTAINER_WRITTEN,
              CONTAINER_RESTARTS)  # fmt: skip
AGENTS = (AGENTS_HEALTHY, AGENT_RESPONSE, AGENT_ERRORS, AGENT_REQUESTS, AGENT_OWN_RESPONSE, AGENT_OWN_ERRORS)
DATABASES = (POSTGRES_CACHE, POSTGRES_CONNECTIONS, POSTGRES_COMMITS, POSTGRES_SIZE, POSTGRES_STATEMENT, REDIS_HITS,
             REDIS_MEMORY, REDIS_COMMANDS)  # fmt: skip
MODELS = (MODEL_FIRST_TOKEN, MODEL_SPEED, MODEL_GPU, MODEL_BYTES)
KINDS = (SCORE, *HOST, *CONTAINERS, *AGENTS, *DATABASES, *MODELS)
