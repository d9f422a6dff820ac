"""Alerts, and remediations by the trial job: what its runs did and what they see are files of the test."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from exporter.bridge.incoming.inbox import Inbox
from exporter.bridge.model import Alert, AlertStatus
from exporter.store import Store
from tests.services.trial_jobs import KEY, TASK

STARTED = datetime(2026, 3, 2, 11, 55, tzinfo=UTC)
ALERT = "ThingDown"

RULE: dict[str, Any] = {
    "name": "mend-thing",
    "alert": ALERT,
    "target_label": "agent",
    "steps": [{"task": TASK, "mode": "full"}],
    "proof": {
        "task": TASK,
        "mode": "light",
        "metric": "sutazai_trial_value",
        "labels": ["thing"],
        "at_least": 1,
    },
}
"""`ThingDown` of an agent runs the trial job in full, and a light run of it must then see the thing at 1."""


def code(place: Path, *, mends: bool = True, step: str = "") -> str:
    """What the trial job does: a full run notes its target in `place` and mends it, a light one says how it is.

    `step` is Python that a full run executes after its note and before it mends.
    """
    lines = [
        f"place = Path({str(place)!r})",
        "with (place / 'runs').open('a') as file: file.write(f'{request.mode} {request.target}\\n')",
        "well = place / f'well-{request.target}'",
        "if request.mode == 'full':",
        *(f"    {line}" for line in (step or "pass").splitlines()),
        f"    if {mends}: well.touch()",
        "samples = (Sample(family='sutazai_trial_value', value=well.exists(), labels={'thing': 'door'}),)",
        "result = Result(status='GOOD', samples=samples, report={'status': 'GOOD'})",
    ]
    return "\n".join(lines)


def runs(place: Path) -> list[str]:
    """What ran, oldest first: `full web`, `light web`."""
    file = place / "runs"
    return file.read_text().splitlines() if file.exists() else []


def document(
    work: str = "", rules: Iterable[Mapping[str, Any]] = (RULE,), agents: Iterable[str] = ("web", "api"), **given: Any
) -> dict[str, Any]:
    """A configuration with these rules and agents; `given` are further settings of `remediation`."""
    return {
        "remediation": {"mode": "auto", "rules": [copy.deepcopy(dict(rule)) for rule in rules], **given},
        "agents": {"listed": [{"name": name, "port": 8001} for name in agents]},
        "jobs": {KEY: {"code": work}},
    }


def alert(
    agent: str = "web",
    *,
    name: str = ALERT,
    fingerprint: str = "",
    status: str = "firing",
    starts_at: datetime = STARTED,
    **labels: str,
) -> Alert:
    """An alert about a thing of an agent."""
    return Alert(
        fingerprint=fingerprint or f"{name}-{agent}",
        status=AlertStatus(status),
        starts_at=starts_at,
        labels={"alertname": name, "agent": agent, "thing": "door", **labels},
    )


def send(store: Store, *alerts: Alert, now: datetime) -> None:
    """Put alerts into the inbox."""
    Inbox(store).take(alerts, now)
