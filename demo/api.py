"""The exporter's API, as any client would use it, and the little of Prometheus's that the demo asks."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

from demo.layout import DemoError

_SECONDS = 10.0
# Loopback is never reached through a proxy.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Unreachable(DemoError):
    """Nobody answered, or not as hoped; the message says what."""


class Api:
    """HTTP to one address; with a token where one is needed."""

    def __init__(self, url: str, token_file: Path | None = None) -> None:
        self._url, self._token_file = url, token_file

    def get(self, path: str) -> Any:
        """The JSON, or else text, at a path; Unreachable where there is none."""
        return self._ask(urllib.request.Request(self._url + path))  # noqa: S310 (the demo's own address)

    def post(self, path: str, body: dict[str, str]) -> Any:
        """The answer to a body of JSON."""
        headers = {"Content-Type": "application/json"}
        if self._token_file:
            headers["Authorization"] = f"Bearer {self._token_file.read_text()}"
        data = json.dumps(body).encode()
        return self._ask(urllib.request.Request(self._url + path, data, headers))  # noqa: S310

    def _ask(self, request: urllib.request.Request) -> Any:
        try:
            with _OPENER.open(request, timeout=_SECONDS) as answer:
                text = answer.read().decode()
        except (OSError, ValueError) as error:
            raise Unreachable(f"{request.full_url}: {error}") from None
        try:
            return json.loads(text)
        except ValueError:
            return text


class Exporter(Api):
    """What the demo asks the exporter."""

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that came in, newest first."""
        found: list[dict[str, Any]] = self.get("/api/v1/alerts?limit=200")["alerts"]
        return found

    def remediations(self) -> list[dict[str, Any]]:
        """What alerts have brought about, newest first."""
        found: list[dict[str, Any]] = self.get("/api/v1/remediations?limit=100")["remediations"]
        return found

    def start(self, task: str, mode: str) -> None:
        """Ask for a run; Unreachable where that is refused."""
        self.post(f"/api/v1/tasks/{task}/start", {"mode": mode})

    def last_run(self, task: str) -> dict[str, Any]:
        """The newest entry of a task in the ledger; an empty one where there is none."""
        runs = self.get(f"/api/v1/runs?task={task}&limit=1")["runs"]
        found: dict[str, Any] = runs[0] if runs else {}
        return found


class Prometheus(Api):
    """What the demo asks Prometheus."""

    def fires(self, alert: str) -> bool:
        """Whether an alert fires."""
        found = self.get("/api/v1/alerts")["data"]["alerts"]
        return any(one["labels"]["alertname"] == alert and one["state"] == "firing" for one in found)

    def value(self, query: str) -> float | None:
        """The value of the first series that a query gives; None where there is none."""
        result = self.get(f"/api/v1/query?query={quote(query)}")["data"]["result"]
        return float(result[0]["value"][1]) if result else None
