"""What a reload cannot change."""

from __future__ import annotations

from exporter.config import Configuration

NEEDS_RESTART = ("base_dir", "docker.url", "web", "runs.max_parallel")


def needs_restart(old: Configuration, new: Configuration) -> list[str]:
    """A line for each setting that differs and cannot change while the daemon runs."""
    return [
        f"{path}: cannot change while running; restart the exporter"
        for path in NEEDS_RESTART
        if _value(new, path) != _value(old, path)
    ]


def _value(configuration: Configuration, path: str) -> object:
    value: object = configuration.settings
    for name in path.split("."):
        value = getattr(value, name)
    return value
