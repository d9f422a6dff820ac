"""Words for figures and for what became of them."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.core.model import Finding, Severity
from jobs.pages import figures as written
from jobs.performance import series
from jobs.performance.comparing import Change, compared_by, compared_name
from jobs.performance.scoring import Loss
from jobs.performance.series import Kind, Unit

SERIOUS_POINTS = 20.0
SERIOUS_WEIGHT = 5.0
"""So many times the least change worth a word is more than a small matter."""
_REMEDIES = {
    series.CPU: "see which container uses it (table of the containers), and limit or move it",
    series.LOAD: "see which container works most (table of the containers), and spread the work over time",
    series.MEMORY: "see which container has grown (table of the containers), and give it a limit",
    series.SWAP: "memory is short: see which container has grown, and give it a limit",
    series.DISK: "see what grows (du -xh --max-depth=2), and whether log-rotation does its work",
    series.DISK_BUSY: "see which container reads and writes most",
    series.NETWORK_ERRORS: "look at the interface (ip -s link) and at its cable or driver",
    series.PRESSURE: "work waits for this resource: see what uses most of it",
    series.CONTAINER_CPU: "see in its log what it works on, and set a limit (docker update --cpus)",
    series.CONTAINER_MEMORY: "see whether it grows on and on, and set a limit (docker update --memory)",
    series.CONTAINER_MEMORY_SHARE: "raise its limit, or see what it keeps in memory",
    series.CONTAINER_RESTARTS: "see its log (docker logs) for why it ends",
    series.AGENTS_HEALTHY: "`sutazai-exporter run agent-monitor` says which are not, and why",
    series.AGENT_RESPONSE: "see whether its model, its CPU or a database has become slow in the same hours",
    series.AGENT_ERRORS: "see the evidence in data/agent-monitor, and its log (docker logs)",
    series.POSTGRES_CACHE: "raise shared_buffers, or look for statements that read whole tables",
    series.POSTGRES_CONNECTIONS: "see who holds them (pg_stat_activity); put a pool in front",
    series.POSTGRES_SIZE: "see which table grows, and whether what is old is deleted",
    series.POSTGRES_STATEMENT: "see the slowest statements of the report, and EXPLAIN them",
    series.REDIS_HITS: "see whether keys expire or are evicted before they are read",
    series.REDIS_MEMORY: "see which keys grow (redis-cli --bigkeys), and give them an expiry",
    series.MODEL_FIRST_TOKEN: "see whether the model is loaded anew for each request (keep_alive), or queues",
    series.MODEL_SPEED: "see whether the model still fits on the GPU, and what runs beside it",
    series.MODEL_GPU: "a part of the model is in main memory: free the GPU's, or use a smaller model",
}


def shown(kind: Kind, value: float | None) -> str:
    """A figure with its unit."""
    return written.text(value, kind.unit)


def name_of(kind: Kind, labels: Sequence[str]) -> str:
    """What a figure is called: `Response time of orchestrator`."""
    return f"{kind.title} of {'/'.join(labels)}" if labels else kind.title


def difference_of(change: Change) -> str:
    """By how much a figure has changed: ratios in points of percent, all others also relatively."""
    difference, relative = change.difference, change.relative
    if difference is None:
        return written.UNKNOWN
    if change.kind.unit is Unit.RATIO:
        return _signed(f"{round(difference * 100, 1) + 0.0:+.1f} points")  # no -0.0
    sign = "+" if difference > 0 else ""
    share = _signed(f" ({relative:+.0%})") if relative is not None and abs(relative) < 100 else ""
    return f"{sign}{shown(change.kind, difference)}{share}"


def _signed(text: str) -> str:
    """With the minus that the figures of pages have."""
    return text.replace("-", "\N{MINUS SIGN}")


def sentence(change: Change) -> str:
    """What became of a figure: `p95 320 ms, was 110 ms: +210 ms (+191%)`."""
    if change.now is None or change.before is None:
        return change.verdict
    now, was = (compared_by(change.kind, summary) for summary in (change.now, change.before))
    words = f"{compared_name(change.kind)} {shown(change.kind, now)}, was {shown(change.kind, was)}"
    return f"{words}: {difference_of(change)}"


def remedy_of(kind: Kind) -> str:
    """What to do where a figure of this kind got worse."""
    return _REMEDIES.get(kind, "see in the report since when, and what changed then")


def recommendation(loss: Loss) -> str:
    """Figure, limit and remedy in one sentence."""
    return f"{loss.message}: {loss.remedy}"


def findings_of_losses(losses: Sequence[Loss], least_points: float) -> list[Finding]:
    """One for each loss of so many points, and for each figure that is not known."""
    return [
        Finding(
            kind=loss.reason,
            subject="performance",
            severity=_severity(loss),
            message=loss.message,
            remedy=loss.remedy,
        )
        for loss in losses
        if loss.points >= least_points or loss.is_unknown
    ]


def findings_of_changes(worse: Sequence[Change], most: int) -> list[Finding]:
    """One for each of the first `most` figures that got worse."""
    return [
        Finding(
            kind="worse",
            subject="/".join((change.kind.name, *change.labels)),
            severity=Severity.MEDIUM if change.weight >= SERIOUS_WEIGHT else Severity.LOW,
            message=f"{name_of(change.kind, change.labels)}: {sentence(change)}",
            remedy=remedy_of(change.kind),
        )
        for change in worse[:most]
    ]


def _severity(loss: Loss) -> Severity:
    if loss.is_unknown:
        return Severity.LOW
    return Severity.HIGH if loss.points >= SERIOUS_POINTS else Severity.MEDIUM
