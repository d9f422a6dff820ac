"""A private node_exporter that has its textfile collector only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.services.binaries import need
from tests.services.local_http import ask
from tests.services.metrics import Metrics
from tests.services.web_service import WebService


class NodeExporter(WebService):
    """An exporter that is running and reads `*.prom` in `textfile_dir`."""

    name = "node-exporter"
    health_path = "/"

    def __init__(self, textfile_dir: Path) -> None:
        super().__init__(need("prometheus-node-exporter", "node_exporter", package="prometheus-node-exporter"))
        self._textfile_dir = textfile_dir
        self.start()

    def arguments(self) -> Mapping[str, object]:
        """Its flags."""
        return {
            "web.listen-address": self.address,
            "collector.disable-defaults": True,
            "collector.textfile": True,
            "collector.textfile.directory": self._textfile_dir,
        }

    def metrics(self) -> Metrics:
        """What it exposes; `node_textfile_scrape_error` is 1 when it could not read a file."""
        answer = ask("GET", f"{self.url}/metrics")
        answer.raise_for_status()
        return Metrics(answer.text)
