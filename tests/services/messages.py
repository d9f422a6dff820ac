"""Messages and problems as tests send them, and the settings of the channels that take them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from exporter.bridge.model import Message, News, Problem
from exporter.config import Configuration, load
from jobs.core.model import Severity

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
"""When messages of tests are written, unless they say otherwise."""


def problem(**fields: Any) -> Problem:
    """A quarantined agent, or what `fields` make of it."""
    usual = {
        "task": "agent-monitor",
        "kind": "quarantined",
        "subject": "agent/orchestrator",
        "severity": Severity.CRITICAL,
        "message": "restarted 3 times within an hour",
        "remedy": "see its log",
        "event": "agent",
        "mode": "full",
        "opened": AT,
    }
    return Problem(**{**usual, **fields})


def message(identifier: str = "a" * 32, **fields: Any) -> Message:
    """The news that it was found, or what `fields` make of it."""
    usual = {
        "id": identifier,
        "thread": identifier,
        "news": News.OPENED,
        "event": "agent",
        "severity": Severity.CRITICAL,
        "at": AT,
        "host": "host1",
        "task": "agent-monitor",
        "summary": "agent/orchestrator: restarted 3 times within an hour",
        "status": "CRITICAL",
        "problems": (problem(),),
    }
    return Message(**{**usual, **fields})


def configured(directory: Path, document: Mapping[str, Any]) -> Configuration:
    """A configuration from a document, with its base directory in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "exporter.yml"
    file.write_text(yaml.safe_dump({"base_dir": str(directory / "base"), **document}))
    return load(file, environment={})


def webhook(url: str, **more: Any) -> dict[str, Any]:
    """Settings of notifications: a webhook, which hears of no run that is merely over."""
    return {"webhook": {"url": url, "completed": "none", **more}}


def mail(port: int, **more: Any) -> dict[str, Any]:
    """Settings of notifications: mail, by a server on a port of loopback."""
    base = {"host": "127.0.0.1", "port": port, "security": "none", "recipients": ["ops@example.org"]}
    return {"mail": {**base, **more}}
