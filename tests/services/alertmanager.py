"""A private Alertmanager, and the checkers of rules and of its configuration."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.services.binaries import need
from tests.services.local_http import ask, get_json
from tests.services.process import plain_environment
from tests.services.wait import wait_for
from tests.services.web_service import WebService


def to_webhook(url: str, *, token: str | None = None, seconds: int = 1) -> dict[str, Any]:
    """A configuration that sends every alert to one webhook, with waits of `seconds` instead of minutes."""
    http = {"authorization": {"credentials": token}} if token else {}
    every = f"{seconds}s"
    return {
        "route": {"receiver": "webhook", "group_wait": every, "group_interval": every, "repeat_interval": "1h"},
        "receivers": [{"name": "webhook", "webhook_configs": [{"url": url, "http_config": http}]}],
    }


class Alertmanager(WebService):
    """A server that is running, without a cluster. `config` is its configuration (`to_webhook` makes one) or a file."""

    name = "alertmanager"

    def __init__(self, config: Mapping[str, Any] | str | Path) -> None:
        super().__init__(need("prometheus-alertmanager", "alertmanager", package="prometheus-alertmanager"))
        self._config_file = config if isinstance(config, Path) else self._written(config)
        self.start()

    def _written(self, config: Mapping[str, Any] | str) -> Path:
        file = self.directory / "alertmanager.yml"
        file.write_text(config if isinstance(config, str) else yaml.safe_dump(dict(config)))
        return file

    def arguments(self) -> Mapping[str, object]:
        """Its flags."""
        return {
            "config.file": self._config_file,
            "storage.path": self.directory / "data",
            "web.listen-address": self.address,
            "cluster.listen-address": "",
        }

    def alerts(self, name: str | None = None) -> list[dict[str, Any]]:
        """The alerts that it holds, each with `labels`, `annotations`, `status` and `fingerprint`."""
        found: list[dict[str, Any]] = get_json(f"{self.url}/api/v2/alerts")
        return [alert for alert in found if name in (None, alert["labels"]["alertname"])]

    def post(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Hand it alerts, as Prometheus does."""
        ask("POST", f"{self.url}/api/v2/alerts", json=list(alerts)).raise_for_status()

    def wait_alert(self, name: str, timeout_seconds: float = 30) -> dict[str, Any]:
        """Wait until it holds an alert of that name and return it."""
        return wait_for(lambda: self.alerts(name), timeout_seconds, f"Alertmanager holds {name}")[0]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool (`check rules FILE`, `test rules FILE`) and return how it ended."""
    return _run(need("promtool", package="prometheus"), arguments)


def amtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run amtool (`check-config FILE`) and return how it ended."""
    return _run(need("amtool", package="prometheus-alertmanager"), arguments)


def _run(program: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *arguments], env=plain_environment(), capture_output=True, text=True, timeout=120)
