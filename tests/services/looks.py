"""Runs one scanner as the scan does, and gives back what it told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exporter.clock import SystemClock
from jobs.clients import Clients
from jobs.core.settings import World
from jobs.security.scanner import Look, Scanner, Seen, Weakness
from jobs.security.settings import Settings
from tests.services.reporters import KeepingReporter


def clients_of(base_dir: Path, **world: Any) -> Clients:
    """Clients on a base directory of the test's own, with no memory between runs."""

    def nothing() -> Any:
        raise AssertionError("a scanner needs neither budgets nor history")

    return Clients(World(base_dir=base_dir, **world), SystemClock(), KeepingReporter(), nothing, nothing)


def look(
    scanner: Scanner,
    clients: Clients,
    settings: dict[str, Any] | None = None,
    *,
    full: bool = True,
    seconds: float = 60,
) -> Seen:
    """What `scanner` tells with these settings (as in YAML); whatever it raises goes through."""
    deadline = clients.clock.monotonic() + seconds
    told = Look(Settings.model_validate(settings or {}), clients, full=full, unit=scanner.unit, deadline=deadline)
    scanner.scan(told)
    return told.so_far()


def by_rule(seen: Seen) -> dict[str, list[Weakness]]:
    """The weaknesses by their rule."""
    rules: dict[str, list[Weakness]] = {}
    for weakness in seen.weaknesses:
        rules.setdefault(weakness.rule, []).append(weakness)
    return rules
