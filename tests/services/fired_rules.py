"""Which alerts fire on samples that a run has left, by promtool: the real rules on real figures, without waiting."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from tests.services.alertmanager import promtool


def fires(alert: str, rules: Path, samples: Iterable[Mapping[str, Any]], now: datetime, *, after: str) -> bool:
    """Whether an alert of the rule files in a directory fires when these samples stand for the time `after`.

    `samples` are those of a record: family, value, labels. promtool's clock begins at 0, so that points in time are
    moved: what lies ahead of `now` lies as far ahead of 0.
    """
    series = [_series(sample, now.timestamp()) for sample in samples]
    case = {
        "interval": "5m",
        "input_series": series,
        "alert_rule_test": [{"eval_time": after, "alertname": alert, "exp_alerts": []}],
    }
    # Rules of a file use none of another: promtool would work out all of them at every step.
    files = [str(path) for path in sorted(rules.glob("*.rules.yml")) if f"alert: {alert}\n" in path.read_text()]
    document = rules / f"{alert}.test.yml"
    document.write_text(yaml.safe_dump({"rule_files": files, "evaluation_interval": "5m", "tests": [case]}))
    run = promtool("test", "rules", str(document))
    said = run.stdout + run.stderr
    if run.returncode != 0 and f'alertname="{alert}"' not in said:
        raise AssertionError(said)
    return run.returncode != 0


def _series(sample: Mapping[str, Any], now: float) -> dict[str, str]:
    labels = {"job": "sutazai", "instance": "host:10042", **sample["labels"]}
    written = ", ".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
    value = sample["value"] - (now if sample["family"].endswith("_timestamp_seconds") else 0)
    return {"series": f"{sample['family']}{{{written}}}", "values": f"{value:.6f}x400"}
