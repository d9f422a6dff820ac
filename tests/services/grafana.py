"""Asks Prometheus what Grafana would ask for a dashboard, as Grafana itself cannot be had here.

How variables and times are put into a query, and what becomes an annotation, is as in Grafana 11:
https://grafana.com/docs/grafana/v11.0/datasources/prometheus/template-variables/ and, for annotations, `processEvents`
of packages/grafana-prometheus/src/annotations.ts in its source.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from typing import Any

from tests.services.local_http import get_json
from tests.services.prometheus import Prometheus

STEP_SECONDS = 1
SCRAPE_SECONDS = 1
"""The time between two points, and what Grafana would know of a Prometheus that scrapes each second."""


class Grafana:
    """Asks one Prometheus about the time from `since` (Unix seconds) until now, with every variable set to All."""

    def __init__(self, prometheus: Prometheus, since: float) -> None:
        self._prometheus, self._since = prometheus, since

    def has_data(self, target: Mapping[str, Any]) -> bool:
        """Whether a panel's query gives a series with a number in it."""
        if target.get("instant"):
            return any(math.isfinite(value) for _, value in self._prometheus.query(self._filled(target["expr"])))
        return any(math.isfinite(value) for _, value in self._points(target["expr"]))

    def events(self, annotation: Mapping[str, Any]) -> list[float]:
        """When an annotation marks something, in Unix seconds."""
        points = self._points(annotation["expr"])
        if annotation.get("useValueForTime"):
            return [value / 1000 for _, value in points if self._since <= value / 1000 <= time.time()]
        return [at for at, value in points if value > 0]

    def choices(self, variable: Mapping[str, Any]) -> list[str]:
        """What a variable can be set to."""
        match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
        assert match, variable["query"]
        asked = {"match[]": self._filled(match[1]), "start": self._since, "end": time.time()}
        found: list[str] = get_json(f"{self._prometheus.url}/api/v1/label/{match[2]}/values", params=asked)["data"]
        return found

    def _points(self, expr: str) -> list[tuple[float, float]]:
        asked = {"query": self._filled(expr), "start": self._since, "end": time.time(), "step": STEP_SECONDS}
        series = get_json(f"{self._prometheus.url}/api/v1/query_range", params=asked)["data"]["result"]
        return [(at, float(value)) for one in series for at, value in one["values"]]

    def _filled(self, expr: str) -> str:
        """A query without variables: Grafana's times stand for themselves, and the others for everything (All)."""
        rate_seconds = max(STEP_SECONDS + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)
        times = {"__rate_interval": rate_seconds, "__interval": STEP_SECONDS, "__range": time.time() - self._since}
        for name, seconds in times.items():
            expr = expr.replace(f"${name}", f"{math.ceil(seconds)}s")
        return re.sub(r"\$\w+", ".*", expr)
