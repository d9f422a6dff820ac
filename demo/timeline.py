"""What happens in the demo, as it happens: one line for each alert and each step of a remediation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from demo.api import Exporter, Unreachable


class Timeline:
    """Looks at the API and says what is new."""

    def __init__(self, exporter: Exporter, say: Callable[[str], None]) -> None:
        self._exporter, self._say = exporter, say
        self._alerts: dict[int, str] = {}
        self._remediations: dict[int, str] = {}

    def look(self) -> None:
        """Say what has changed since the last look."""
        try:
            alerts, remediations = self._exporter.alerts(), self._exporter.remediations()
        except Unreachable:
            return  # it has been stopped, or is busy: the next look tells
        # A resolution is an entry of its own, of which the alert's state tells as well.
        self._changed(self._alerts, [one for one in alerts if one["status"] == "firing"], _alert)
        self._changed(self._remediations, remediations, _remediation)

    def _changed(
        self, known: dict[int, str], found: list[dict[str, Any]], words: Callable[[dict[str, Any]], str]
    ) -> None:
        for one in reversed(found):
            if known.get(one["id"]) != one["state"]:
                known[one["id"]] = one["state"]
                self._say(f"{time.strftime('%H:%M:%S')}  {words(one)}")


def _alert(alert: dict[str, Any]) -> str:
    labels = alert["labels"]
    about = labels.get("agent") or labels.get("certificate") or labels.get("file") or labels.get("task") or ""
    return " ".join(filter(None, ("alert  ", labels["alertname"], about, alert["state"])))


def _remediation(one: dict[str, Any]) -> str:
    detail = f": {one['detail']}" if one.get("detail") else ""
    return " ".join(filter(None, ("repair ", one["rule"], one["target"], one["state"]))) + detail
