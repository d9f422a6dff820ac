"""A server of the exporter's own /metrics that holds the series of a given exposition, instead of runs' results.

`python -m benchmarks.series_server PORT FILE`: everything on the way of a scrape is the daemon's own code.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from prometheus_client.parser import text_string_to_metric_families

from exporter.exposition import Exposition
from exporter.web.connections.protocol import Limits, guarded_protocol
from exporter.web.metrics_app import MetricsApp, Receive, Scope, Send
from jobs.core.model import Family

Samples = dict[str, list[tuple[dict[str, str], float]]]


def exposition_of(text: str) -> Exposition:
    """The series of a text exposition; each sample name becomes a gauge."""
    samples: Samples = {}
    helps: dict[str, str] = {}
    for metric in text_string_to_metric_families(text):
        for sample in metric.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
            helps[sample.name] = metric.documentation
    exposition = Exposition(_family(name, helps[name], series) for name, series in samples.items())
    with exposition.changes():
        for name, series in samples.items():
            labels = _label_names(series)
            exposition.replace(name, [({n: s.get(n, "") for n in labels}, value) for s, value in series])
    return exposition


def _family(name: str, text: str, series: list[tuple[dict[str, str], float]]) -> Family:
    return Family(name=name, help=text, labels=_label_names(series))


def _label_names(series: list[tuple[dict[str, str], float]]) -> tuple[str, ...]:
    return tuple(sorted({name for labels, _ in series for name in labels}))


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    uvicorn.run(
        MetricsApp(exposition_of(Path(sys.argv[2]).read_text()), "/metrics", _not_found),
        http=guarded_protocol(Limits.within_descriptors(512, 10, 30, 1 << 20)),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
