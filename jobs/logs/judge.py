"""What of the logs' condition a person should know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from jobs.clients.open_files import OpenFiles
from jobs.core.model import Finding, Severity
from jobs.logs.containers import ContainerLogs
from jobs.logs.scan import Skip
from jobs.logs.settings import Settings

MAX_NAMED = 20
_DISK_REASONS = ("no_space", "no_inodes", "io_error", "read_only")
_MB = 1 << 20


def of_skips(skips: Iterable[Skip]) -> list[Finding]:
    """What had to be left as it was."""
    return [
        Finding(
            kind=skip.reason,
            subject=f"log/{skip.subject}",
            severity=Severity.HIGH if skip.reason in _DISK_REASONS else Severity.MEDIUM,
            message=skip.message,
            remedy=skip.remedy,
        )
        for skip in skips
    ]


def of_containers(found: ContainerLogs) -> list[Finding]:
    """Containers that may fill the disk, and an engine or logs that are out of reach."""
    findings = [
        Finding(
            kind="no_log_limit",
            subject=f"container/{name}",
            severity=Severity.LOW,
            message=f"the log of container {name} may grow without limit",
            remedy="give it the log option max-size, or set log-opts in Docker's daemon.json and make it anew",
        )
        for name in found.unlimited[:MAX_NAMED]
    ]
    if found.error:
        findings.append(_finding("docker_unreachable", "docker", Severity.MEDIUM, f"container logs: {found.error}"))
    if found.unreachable and not found.logs:
        message = f"container logs are not reachable here: {found.unreachable} is not on this host, or not ours to read"
        remedy = "run the exporter as root on the engine's host, or set jobs.log_rotation.docker_logs to false"
        findings.append(_finding("container_logs_unreachable", "docker", Severity.LOW, message, remedy))
    return findings


def of_open_files(found: OpenFiles, limit_bytes: int) -> list[Finding]:
    """Deleted files that take much room, the largest first; and processes that could not be looked at."""
    findings = []
    if found.unseen:
        message = f"{found.unseen} processes may hold deleted files open; this user may not look at them"
        findings.append(_finding("processes_unseen", "host", Severity.INFO, message, "run the exporter as root"))
    total = deleted_bytes(found)
    if total < limit_bytes:
        return findings
    for one in sorted(found.deleted.values(), key=lambda file: -file.bytes)[:MAX_NAMED]:
        findings.append(
            _finding(
                "deleted_held_open",
                f"file/{one.path}",
                Severity.MEDIUM,
                f"{one.path}: deleted, still takes {one.bytes / _MB:.0f} MB: {one.process} (pid {one.pid}) has it open",
                f"restart {one.process}, or have it open its files anew",
            )
        )
    return findings


def deleted_bytes(found: OpenFiles) -> int:
    """Room of all deleted files that are held open."""
    return sum(one.bytes for one in found.deleted.values())


def of_growth(growth: Mapping[str, float], settings: Settings) -> list[Finding]:
    """Directories whose logs grow too fast."""
    limit = growth_limit(settings)
    return [
        _finding(
            "log_growth",
            f"logs/{label}",
            Severity.MEDIUM,
            f"{label}: logs grow by {rate * 3600 / _MB:.0f} MB an hour, above {settings.max_growth_mb_per_hour} MB",
            "see which one grows, and what its program complains of",
        )
        for label, rate in growth.items()
        if rate > limit
    ]


def growth_limit(settings: Settings) -> float:
    """The greatest growth that is well, in bytes a second."""
    return settings.max_growth_mb_per_hour * _MB / 3600


def of_total(log_bytes: int, archive_bytes: int, cap_bytes: int, *, enforced: bool) -> list[Finding]:
    """Logs and archives above their cap."""
    total = log_bytes + archive_bytes
    if total <= cap_bytes:
        return []
    remedy = (
        "delete the oldest archives: sutazai-exporter run log-rotation --mode force; or raise max_total_log_size_gb"
    )
    if enforced:
        remedy = "no archive is left to delete: lower max_log_size_mb, or raise max_total_log_size_gb"
    sizes = f"logs have {log_bytes / _MB:.0f} MB and archives {archive_bytes / _MB:.0f} MB"
    message = f"{sizes}, together more than {cap_bytes / _MB:.0f} MB"
    return [_finding("over_cap", "logs", Severity.MEDIUM, message, remedy)]


def of_disk(label: str, seconds_left: float | None, min_hours: float) -> list[Finding]:
    """A file system that will soon be full."""
    if seconds_left is None or seconds_left >= min_hours * 3600:
        return []
    message = f"as it has been filling, the file system of {label} is full in {seconds_left / 3600:.1f} hours"
    return [_finding("disk_full_soon", f"disk/{label}", Severity.HIGH, message, "make room, or see what fills it")]


def of_recovery(said: str) -> list[Finding]:
    """What was done about a run that was cut off."""
    return [_finding("recovered", "logs", Severity.INFO, f"the last run was cut off; {said}")] if said else []


def verdict(findings: Sequence[Finding], skips: Sequence[Skip], unknown: bool) -> int:
    """2 where something had to be left or could not be looked at, 1 for anything else worth a look, else 0."""
    if skips or unknown:
        return 2
    return int(any(finding.severity not in (Severity.INFO, Severity.LOW) for finding in findings))


def _finding(kind: str, subject: str, severity: Severity, message: str, remedy: str = "") -> Finding:
    return Finding(kind=kind, subject=subject, severity=severity, message=message, remedy=remedy)
