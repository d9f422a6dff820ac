"""What the demo's parts are told: as in life, with seconds for minutes, and nothing that is not the demo's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from demo.breaks import ALERTS
from demo.layout import AGENTS, Layout
from demo.remedies import remediations
from jobs.clients.discovery import LOCAL, listens

_POSTGRES_PORT, _REDIS_PORT = 5432, 6379


def has_databases() -> bool:
    """Whether PostgreSQL or Redis is here: somebody else's, of which the demo makes no backup."""
    socket = Path(f"/var/run/postgresql/.s.PGSQL.{_POSTGRES_PORT}")
    return socket.exists() or any(listens(LOCAL, port) for port in (_POSTGRES_PORT, _REDIS_PORT))


def exporter_document(layout: Layout, docker_url: str, bridge_token: str, *, backups: bool) -> dict[str, Any]:
    """The exporter's settings. Where agents are containers, the monitor only looks: it is the alert that mends."""
    return {
        "base_dir": str(layout.base),
        "web": {"listen_address": layout.exporter},
        **({"docker": {"url": docker_url}} if docker_url else {}),
        "agents": {
            "discover": False,
            "timeout_seconds": 2,
            "listed": [
                {"name": name, "port": layout.agent_port(name), "container": layout.container(name)} for name in AGENTS
            ],
        },
        "alertmanager": {"delivers": ["mail", "webhook"], "bridge_token": bridge_token},
        "certificate": {"domain": "demo.localhost"},
        "remediation": {
            **{"mode": "auto", "cool_down_seconds": 0, "backoff_seconds": 5},
            **{"max_per_target_per_hour": 60, "max_per_hour": 600, "rules": remediations(docker=bool(docker_url))},
        },
        "jobs": _jobs(layout, backups=backups),
    }


def _jobs(layout: Layout, *, backups: bool) -> dict[str, Any]:
    return {
        "agent_monitor": {
            **{"schedule": ["every 1 minute"], "auto_restart": False, "consecutive_failures": 1},
            **{"max_restarts_per_hour": 60, "backoff_seconds": 0, "stop_timeout_seconds": 1},
            "recovery_timeout_seconds": 5,
        },
        "health_check": {
            **{"schedule": ["every 1 minute: light"], "max_run_seconds": 15, "deadline_seconds": 12},
            "max_log_size_mb": 1,
        },
        # Growth is measured over a minute at least.
        "log_rotation": {
            **{"schedule": ["every 1 minute: watch"], "max_log_size_mb": 1, "max_growth_mb_per_hour": 1},
            **{"docker_logs": False, "directories": [{"directory": str(layout.log.parent)}]},
        },
        "certificate_renewal": {"schedule": ["every 1 minute: watch"], "adopt_self_signed": True, "key_type": "ecdsa"},
        # A database that is here is not the demo's.
        "database_maintenance": {"enabled": backups, "schedule": ["daily at 03:00: backup"]},
        "backup_verification": {"schedule": ["every 1 minute: standard"], "drill": "off"},
        # It would look at this machine, of which the demo is not about.
        "security_scan": {"enabled": False},
    }


def prometheus_document(layout: Layout) -> dict[str, Any]:
    """Prometheus's settings: a look every two seconds."""
    every = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"}
    return {
        "global": every,
        "rule_files": ["rules/*.rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [layout.alertmanager]}]}]},
        "scrape_configs": [{"job_name": "sutazai", "static_configs": [{"targets": [layout.exporter]}]}],
    }


def shorten(rules: Path) -> None:
    """Let the alerts of the breaks fire after two seconds, where their rules wait for minutes.

    TaskStale does not wait for a second interval either, and AgentPaused not for an hour, and both say so. All other
    alerts are as in life: what is wrong with this machine for two seconds is not what the demo is about.
    """
    for file in rules.glob("*.rules.yml"):
        document = yaml.safe_load(file.read_text())
        for rule in (rule for group in document["groups"] for rule in group["rules"] if rule.get("alert") in ALERTS):
            if "for" in rule:
                rule["for"] = "2s"
            if rule["alert"] == "TaskStale":
                _one_interval(rule)
            if rule["alert"] == "AgentPaused":
                _reword(rule, "summary", "has been paused for an hour", "is paused")
        file.write_text(yaml.safe_dump(document))


def _one_interval(rule: dict[str, Any]) -> None:
    rule["expr"] = rule["expr"].replace("(2 * ", "(")
    _reword(rule, "description", "more than two of its intervals", "more than one interval")


def _reword(rule: dict[str, Any], annotation: str, bundled: str, here: str) -> None:
    words = rule["annotations"]
    words[annotation] = words[annotation].replace(bundled, here)
