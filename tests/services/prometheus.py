"""A private Prometheus server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.services.binaries import need
from tests.services.local_http import TRANSIENT, ask, get_json
from tests.services.wait import wait_for
from tests.services.web_service import WebService

Series = tuple[Mapping[str, str], float]


def scraping(targets: Mapping[str, int | Sequence[int]], *, alertmanager_port: int | None = None) -> dict[str, Any]:
    """A configuration that scrapes ports of loopback each second: job names to ports; rules run each second too."""
    config: dict[str, Any] = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in _several(ports)]}]}
            for job, ports in targets.items()
        ],
    }
    if alertmanager_port is not None:
        manager = {"static_configs": [{"targets": [f"127.0.0.1:{alertmanager_port}"]}]}
        config["alerting"] = {"alertmanagers": [manager]}
    return config


class Prometheus(WebService):
    """A server that is running. `config` is its configuration (`scraping` makes one), `rules` are files."""

    name = "prometheus"

    def __init__(self, config: Mapping[str, Any] | str, rules: Sequence[Path | str] = ()) -> None:
        super().__init__(need("prometheus", package="prometheus"))
        self._config_file = self.directory / "prometheus.yml"
        self.configure(config, rules)
        self.start()

    def configure(self, config: Mapping[str, Any] | str, rules: Sequence[Path | str] = ()) -> None:
        """Write its configuration; `reload` makes it count."""
        document = dict(yaml.safe_load(config) if isinstance(config, str) else config)
        if rules:
            document["rule_files"] = [str(Path(rule).resolve()) for rule in rules]
        self._config_file.write_text(yaml.safe_dump(document))

    def arguments(self) -> Mapping[str, object]:
        """Its flags."""
        return {
            "config.file": self._config_file,
            "storage.tsdb.path": self.directory / "data",
            "web.listen-address": self.address,
            "web.enable-lifecycle": True,
        }

    def reload(self) -> None:
        """Have it read its configuration and rules again; raise when it refuses them."""
        ask("POST", f"{self.url}/-/reload", timeout=30).raise_for_status()

    def query(self, expression: str) -> list[Series]:
        """The labels and value of each series that the expression gives now."""
        answer = get_json(f"{self.url}/api/v1/query", params={"query": expression})
        result, kind = answer["data"]["result"], answer["data"]["resultType"]
        if kind == "scalar":
            return [({}, float(result[1]))]
        return [(series["metric"], float(series["value"][1])) for series in result]

    def alerts(self, name: str | None = None, state: str | None = None) -> list[dict[str, Any]]:
        """Active alerts, pending and firing, each with `labels`, `annotations` and `state`."""
        found: list[dict[str, Any]] = get_json(f"{self.url}/api/v1/alerts")["data"]["alerts"]
        return [a for a in found if name in (None, a["labels"]["alertname"]) and state in (None, a["state"])]

    def wait_query(
        self, expression: str, predicate: Callable[[list[Series]], object] = bool, timeout_seconds: float = 30
    ) -> list[Series]:
        """Wait until the expression gives what `predicate` wants (anything, unless told) and return it."""

        def given() -> list[list[Series]]:
            series = self.query(expression)
            return [series] if predicate(series) else []

        return wait_for(given, timeout_seconds, expression, ignoring=TRANSIENT, detail=self._targets)[0]

    def wait_alert(self, name: str, *, state: str = "firing", timeout_seconds: float = 60) -> dict[str, Any]:
        """Wait for an alert to be in `state` and return it."""
        what = f"alert {name} is {state}"
        found = wait_for(lambda: self.alerts(name, state), timeout_seconds, what, detail=self._targets)
        return found[0]

    def wait_no_alert(self, name: str, *, timeout_seconds: float = 60) -> None:
        """Wait until no alert of that name is pending or firing."""
        wait_for(lambda: not self.alerts(name), timeout_seconds, f"alert {name} is gone", detail=self._targets)

    def wait_up(self, job: str, timeout_seconds: float = 30) -> None:
        """Wait until every target of a job has been scraped."""
        self.wait_query(f'up{{job="{job}"}}', lambda s: s and all(value == 1 for _, value in s), timeout_seconds)

    def _targets(self) -> str:
        targets = get_json(f"{self.url}/api/v1/targets")["data"]["activeTargets"]
        return "\n".join(f"{t['scrapeUrl']}: {t['health']} {t['lastError']}" for t in targets)


def _several(ports: int | Sequence[int]) -> Sequence[int]:
    return [ports] if isinstance(ports, int) else ports
