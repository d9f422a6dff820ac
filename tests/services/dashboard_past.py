"""A past for a world that has just begun: what the exporter remembers, and what Prometheus has stored."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from exporter.store import Store, observations
from jobs.core.model import Observation
from tests.services.binaries import need

_STEP = timedelta(minutes=5)


def remember(base_dir: Path, hours: float, series: Mapping[str, tuple[float, float]]) -> None:
    """Have the exporter remember so many hours, in which each series went evenly from one value to the other."""
    store = Store(base_dir / "data" / "sutazai.db")
    end = datetime.now(UTC) - timedelta(minutes=1)
    count = int(timedelta(hours=hours) / _STEP)
    with store.transaction() as db:
        for number in range(count):
            share = number / (count - 1)
            seen = [Observation(series=name, value=a + (b - a) * share) for name, (a, b) in series.items()]
            observations.observe(db, seen, (end - (count - 1 - number) * _STEP).timestamp())
    store.close()


def stored_before(directory: Path, exposition: str, labels: Mapping[str, str], ago: Iterable[timedelta]) -> None:
    """Have Prometheus's directory of data hold what is exposed now as if it had been scraped so long ago as well."""
    now = datetime.now(UTC)
    lines = []
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            all_labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in {**sample.labels, **labels}.items())
            for past in ago:
                at = (now - past).timestamp()
                lines.append(f"{sample.name}{{{all_labels}}} {sample.value!r} {at:.3f}")
    file = directory.with_name("past.om")
    file.write_text("\n".join(lines) + "\n# EOF\n")
    command = [need("promtool", package="prometheus"), "tsdb", "create-blocks-from", "openmetrics"]
    subprocess.run([*command, str(file), str(directory)], check=True, capture_output=True, timeout=120)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
