"""A Status document of a host that has some trouble, for pictures and for what no daemon is easily brought to."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from exporter import __version__
from exporter.views.shapes import AgentEntry, FindingEntry, RunEntry, SeverityName, Status, TaskEntry
from exporter.views.status import WORST_FINDINGS

RUNBOOK = "https://github.com/sutazai/sutazai-exporter/blob/main/docs/runbooks/AgentDown.md"
_SUMMARIES = {
    "agent-monitor": "Looks after the agents and restarts those that failed",
    "backup-verification": "Proves backups good, and restores the newest dumps",
    "certificate-renewal": "Renews certificates, and compares what is served with what is on disk",
    "database-maintenance": "Backs up the databases, and cleans them where they need it",
    "health-check": "Checks services, agents and the machine itself",
    "log-rotation": "Rotates and archives logs, and watches how they grow",
    "performance-report": "Samples performance, and reports by the day, week and month",
    "security-scan": "Scans for vulnerabilities and weak settings",
}


def ill(now: datetime) -> Status:
    """A host one of whose agents is quarantined, with a repair that waits, a failed backup and a scan under way."""

    def ago(**by: float) -> str:
        return (now - timedelta(**by)).isoformat(timespec="seconds")

    def ahead(**by: float) -> str:
        return (now + timedelta(**by)).isoformat(timespec="seconds")

    agents = [
        _agent("code-review", "healthy", 0.9993, 0, 1),
        _agent("embeddings", "healthy", 1.0, 0, 0),
        _agent("orchestrator", "healthy", 1.0, 0, 0),
        _agent("research", "quarantined", 0.914, 7, 3),
        _agent("web-search", "unhealthy", 0.987, 2, 1),
    ]
    failed = "backup of database 'sutazai' failed: pg_dump: server closed the connection unexpectedly; see its log"
    tasks = [
        _task("agent-monitor", ago(minutes=2), 3.1, "5 agents: 3 healthy, 1 unhealthy, 1 quarantined",
              ahead(minutes=3), ["every 5 minutes"], [2.9, 3.0, 2.8, 3.4, 3.0, 9.5, 3.1, 3.0, 12.2, 3.1]),
        _task("backup-verification", ago(hours=22), 84, "14 backups are whole, the newest was restored",
              ahead(hours=2), ["daily at 05:00", "sunday at 05:30 (full)"], [71, 74, 73, 79, 80, 84]),
        _task("certificate-renewal", ago(hours=23), 1.2, "3 certificates, the next ends in 41 days",
              ahead(hours=1), ["daily at 04:00"], [1.1, 1.3, 1.2, 1.2, 1.1, 1.2]),
        _task("database-maintenance", ago(minutes=12), 31, "", ahead(hours=23, minutes=48), ["daily at 03:00"],
              [118, 121, 119, 124, 126, 31], outcome="error", error=failed),
        _task("health-check", ago(minutes=4), 2.2, "Score 83: 1 agent is down, a disk is filling", ahead(minutes=1),
              ["every 5 minutes (light)", "daily at 06:00"], [2.1, 2.0, 2.3, 2.2, 2.1, 2.4, 2.2, 2.2]),
        _task("log-rotation", ago(hours=1), 17, "Archived 9 logs, 412 MiB became 31 MiB", ahead(hours=23),
              ["daily at 02:00"], [12, 13, 15, 14, 16, 17]),
        _task("performance-report", ago(hours=20), 6.4, "Memory is the tightest resource", ahead(hours=4),
              ["daily at 07:00", "sunday at 08:00 (weekly)"], [6.1, 6.0, 6.6, 6.4]),
        _task("security-scan", ago(hours=26), 512, "2 images have critical vulnerabilities", ahead(hours=22),
              ["daily at 01:00", "saturday at 23:00 (full)"], [480, 495, 490, 505, 512]),
    ]  # fmt: skip
    tasks[-1]["running"] = {
        "since": ago(minutes=3), "done": 9, "total": 21, "ratio": 9 / 21, "message": "container images: research:1.8",
        "ours": True,
    }  # fmt: skip
    findings = _findings(now)
    return {
        "at": now.isoformat(timespec="seconds"),
        "host": "gpu-01",
        "version": __version__,
        "base_dir": "/opt/sutazaiapp",
        "serving": True,
        "verdict": "critical",
        "answer": "Two things need you: the agent research is quarantined, and last night's database backup failed.",
        "to_do": [
            {"severity": "critical", "kind": "task", "subject": "database-maintenance", "what": "failed: there is "
             "no backup of sutazai from tonight", "remedy": "Look whether PostgreSQL is up, then run it again.",
             "command": "sutazai-exporter run database-maintenance --mode backup", "since": ago(minutes=12)},
            {"severity": "critical", "kind": "problem", "subject": "agent/research", "what": "is quarantined after 3 "
             "restarts in an hour", "remedy": "Read its log, mend what made it fail, then release it.",
             "command": "sutazai-exporter agents release research", "since": ago(minutes=38)},
            {"severity": "high", "kind": "approval", "subject": "clean-logs", "what": "waits for you: rotate the logs "
             "of /var/lib/docker", "remedy": "Approve it below or by command.",
             "command": "sutazai-exporter remediations approve 17", "since": ago(minutes=6)},
        ],
        "scores": [
            {"name": "health", "task": "health-check", "value": 83.0, "deductions": [
                {"reason": "agents_down", "points": 10.0}, {"reason": "disk_filling", "points": 7.0}]},
            {"name": "performance", "task": "performance-report", "value": 72.0, "deductions": [
                {"reason": "memory_used", "points": 15.0}, {"reason": "agent_latency", "points": 10.0},
                {"reason": "cpu_load", "points": 3.0}]},
            {"name": "security", "task": "security-scan", "value": None, "deductions": []},
        ],
        "agents": agents,
        "agent_uptime_percent": 98.0,
        "tasks": tasks,
        "findings": findings,
        "finding_counts": {"critical": 2, "high": 2, "medium": 1, "low": 1, "info": 0},
        "alerts": [
            {"name": "AgentDown", "state": "firing", "severity": "critical", "summary": "Agent research is down",
             "runbook": RUNBOOK, "since": ago(minutes=36), "labels": {"agent": "research", "instance": "gpu-01:10042"}},
            {"name": "DiskUsageHigh", "state": "firing", "severity": "warning", "since": ago(minutes=7),
             "runbook": "", "summary": "/var/lib/docker is 88 % full", "labels": {"mountpoint": "/var/lib/docker"}},
        ],
        "remediations": [
            {"id": 17, "alert": "DiskUsageHigh", "rule": "clean-logs", "task": "log-rotation", "target": "",
             "state": "waiting", "attempts": 0, "created": ago(minutes=6), "changed": ago(minutes=6), "due": None,
             "plan": "Run log-rotation (force), then health-check (light): /var/lib/docker must be below 85 % then."},
        ],
        "reports": [
            {"id": f"{task}-1", "task": task, "mode": mode, "at": at, "formats": formats, "bytes": size, "latest": True}
            for task, mode, at, formats, size in (
                ("health-check", "full", ago(hours=21), ["json"], 18_200),
                ("performance-report", "daily", ago(hours=20), ["json", "html"], 262_000),
                ("security-scan", "standard", ago(hours=26), ["json", "html", "sarif"], 1_480_000),
            )
        ],
    }  # fmt: skip


def well(now: datetime) -> Status:
    """The same host when nothing is wrong."""
    status: Any = ill(now)
    for agent in status["agents"]:
        agent |= {"state": "healthy", "healthy": True, "quarantined": False, "consecutive_failures": 0}
    for task in status["tasks"]:
        task |= {"running": None, "failing": False}
        task["last_run"] |= {"outcome": "ok", "error": "", "summary": task["last_run"]["summary"] or "3 databases"}
    nothing: dict[str, Any] = {key: [] for key in ("to_do", "findings", "alerts", "remediations")}
    answer = "Nothing is wrong: all 8 tasks run on time, all 5 agents are healthy."
    scores = [score | {"value": 100.0, "deductions": []} for score in status["scores"]]
    status |= nothing | {"verdict": "good", "answer": answer, "scores": scores, "finding_counts": {}}
    well: Status = status
    return well


def crowded(now: datetime, *, agents: int, findings: int) -> tuple[Status, list[FindingEntry]]:
    """The first host with so many agents, each tenth of which is unreachable; and all of so many findings."""
    status = ill(now)
    states = ["unreachable", *["healthy"] * 9]
    status["agents"] = [_agent(f"agent-{number:04}", states[number % 10], 0.99, 0, 0) for number in range(agents)]
    severities: tuple[SeverityName, ...] = ("critical", "high", "medium", "low")
    found = [
        status["findings"][1] | {"subject": f"image/thing-{number}", "severity": severities[number * 4 // findings]}
        for number in range(findings)
    ]
    status["findings"] = found[:WORST_FINDINGS]
    status["finding_counts"] = dict(Counter(finding["severity"] for finding in found))
    return status, found


def _agent(name: str, state: str, uptime: float, failures: int, restarts: int) -> AgentEntry:
    return {
        "agent": name,
        "state": state,
        "healthy": state == "healthy",
        "uptime_24h_ratio": uptime,
        "consecutive_failures": failures,
        "restarts_total": restarts,
        "quarantined": state == "quarantined",
    }


def _task(
    name: str,
    finished: str,
    seconds: float,
    summary: str,
    next_run: str,
    cadences: list[str],
    durations: list[float],
    *,
    outcome: Any = "ok",
    error: str = "",
) -> TaskEntry:
    modes = {"agent-monitor": ["check", "release", "repair"], "health-check": ["full", "light"]}.get(name, ["standard"])
    last: RunEntry = {
        "run_id": 4711,
        "task": name,
        "mode": modes[0],
        "target": "",
        "trigger": "schedule",
        "why": cadences[0],
        "outcome": outcome,
        "started": finished,
        "finished": finished,
        "duration_seconds": seconds,
        "status": "",
        "summary": summary,
        "error": error,
        "findings": 0,
        "report": None,
    }
    return {
        "task": name,
        "summary": _SUMMARIES[name],
        "modes": modes,
        "takes_target": name == "agent-monitor",
        "needs_target": ["release", "repair"] if name == "agent-monitor" else [],
        "cadences": cadences,
        "enabled": True,
        "next_run": next_run,
        "running": None,
        "last_run": last,
        "last_success": finished,
        "stale": False,
        "failing": bool(error),
        "missed_total": 0,
        "durations": durations,
    }


def _findings(now: datetime) -> list[FindingEntry]:
    rows: tuple[tuple[str, str, str, Any, str, str, float], ...] = (
        ("agent-monitor", "quarantined", "agent/research", "critical", "Restarted 3 times in an hour and failed again.",
         "Read its log: docker logs research. Then: sutazai-exporter agents release research", 0.63),
        ("security-scan", "vulnerability", "image/research:1.8", "critical", "CVE-2026-1204 in libwebp 1.3.1: code is "
         "run by an image that is decoded.", "Build the image anew: 1.3.2 mends it.", 26),
        ("health-check", "disk_filling", "/var/lib/docker", "high", "88 % are used, 1.1 % more each day.",
         "docker image prune --all --filter until=168h", 20),
        ("security-scan", "weak_setting", "redis/main", "high", "It listens on 0.0.0.0 and has no password.",
         "Set requirepass and bind 127.0.0.1 in redis.conf.", 26),
        ("performance-report", "slow_agent", "agent/web-search", "medium", "Its p95 was 1.7 s, 1.2 s the week before.",
         "Look at its queue.", 20),
        ("certificate-renewal", "ends_soon", "certificate/registry.local", "low", "It ends in 41 days.", "", 23),
    )  # fmt: skip
    return [
        {"task": task, "mode": "", "kind": kind, "subject": subject, "severity": severity, "message": message,
         "remedy": remedy, "at": (now - timedelta(minutes=4)).isoformat(timespec="seconds"),
         "since": (now - timedelta(hours=hours)).isoformat(timespec="seconds")}
        for task, kind, subject, severity, message, remedy, hours in rows
    ]  # fmt: skip
