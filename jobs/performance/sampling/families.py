"""What sampling exports: a gauge for each kind of figure that nobody else exports, and what models usually do."""

from __future__ import annotations

from jobs.core.model import Family, Sample
from jobs.performance import series
from jobs.performance.series import Figure, Kind

_HELP = {
    series.CPU: "Share of the CPU in use: neither idle nor waiting for a disk.",
    series.CPU_MODE: "Share of CPU time in each mode.",
    series.SWAP: "Share of swap in use.",
    series.DISK_READ: "Bytes read from a disk.",
    series.DISK_WRITTEN: "Bytes written to a disk.",
    series.DISK_BUSY: "Share of time in which a disk had work.",
    series.RECEIVED: "Bytes received by an interface.",
    series.SENT: "Bytes sent by an interface.",
    series.NETWORK_ERRORS: "Packets of an interface that were faulty or dropped, both ways.",
    series.PRESSURE: "Share of time in which some task waited for the resource.",
    series.CONTAINER_CPU: "CPU cores that a container used.",
    series.CONTAINER_MEMORY: "Memory of a container without the cache that can be dropped, as docker stats shows it.",
    series.CONTAINER_MEMORY_SHARE: "Memory of a container as a share of its limit; absent without a limit.",
    series.CONTAINER_READ: "Bytes that a container read from disks.",
    series.CONTAINER_WRITTEN: "Bytes that a container wrote to disks.",
    series.CONTAINER_RESTARTS: "How often the engine has restarted a container, by its restart policy.",
    series.AGENTS_HEALTHY: "Share of the expected agents that are well.",
    series.AGENT_REQUESTS: "Requests that an agent served, by its own figures.",
    series.AGENT_OWN_RESPONSE: "Mean time in which an agent answered, by its own figures.",
    series.AGENT_OWN_ERRORS: "Share of an agent's requests that failed, by its own figures.",
    series.POSTGRES_STATEMENT: "Mean time of the slowest of the statements that cost most; with pg_stat_statements.",
    series.REDIS_COMMANDS: "Commands that Redis processed.",
    series.MODEL_FIRST_TOKEN: "Time from asking a model to its first token, queueing included, at its last probe.",
    series.MODEL_SPEED: "Tokens that a model generated in a second, at its last probe.",
    series.MODEL_GPU: "Share of a loaded model that is in the GPU's memory.",
    series.MODEL_BYTES: "Memory of a loaded model, the GPU's included.",
}
OF_KIND = {kind: Family(name=f"sutazai_{kind.name}", help=text, labels=kind.parts) for kind, text in _HELP.items()}

FULL_PRESSURE = Family(
    name="sutazai_host_pressure_full_ratio",
    help="Share of time in which all tasks that had work waited for the resource.",
    labels=("resource",),
)
GPU_USUAL = Family(
    name="sutazai_model_gpu_usual_ratio", help="Share of a model that usually is on the GPU.", labels=("model",)
)
SPEED_BASELINE = Family(
    name="sutazai_model_speed_baseline_ratio",
    help="Tokens per second of a model's last probe against its usual; 1 is as usual.",
    labels=("model",),
)
FIRST_TOKEN_BASELINE = Family(
    name="sutazai_model_first_token_baseline_ratio",
    help="Time to the first token of a model's last probe against its usual; 1 is as usual.",
    labels=("model",),
)
PROBE_SUCCESS = Family(
    name="sutazai_model_probe_success",
    help="1 if a loaded model generated in time at its last probe, else 0.",
    labels=("model",),
)
FAMILIES = (*OF_KIND.values(), FULL_PRESSURE, GPU_USUAL, SPEED_BASELINE, FIRST_TOKEN_BASELINE, PROBE_SUCCESS)


def sample_of(figure: Figure) -> Sample | None:
    """The figure as a metric; None where another job exports it."""
    family = OF_KIND.get(figure.kind)
    if family is None:
        return None
    return Sample(family=family.name, value=figure.value, labels=dict(zip(family.labels, figure.labels, strict=True)))


def figure_of(kind: Kind, value: float, *labels: str) -> Figure:
    """A figure; its labels are cut and cleaned, as names of containers, models and databases are other people's."""
    return Figure(kind, value, tuple(shown(label) for label in labels))


def shown(text: str) -> str:
    """A name of other people's, printable, in one line of at most 128 characters."""
    cut = text if len(text) <= 128 else f"{text[:127]}…"
    return "".join(character if character.isprintable() else "\ufffd" for character in cut)
