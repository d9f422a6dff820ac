"""One setting, two opinions that never differ: what a run's report says, and whether Prometheus's rules fire."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.services.certificates import make
from tests.services.fired_rules import fires

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(run_here: Run, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Write the rules for these variables to tmp_path/rules, make a run with them and return its result."""
    (tmp_path / "base").mkdir()
    config = {"agents": {"listed": []}, "docker": {"url": f"unix://{tmp_path}/no-docker.sock"}}

    def both(*arguments: str, env: Mapping[str, str]) -> dict[str, Any]:
        written = run_here("rules", "--output", str(tmp_path / "rules"), config=config, env=env)
        assert written.returncode == 0, written.stderr
        record = json.loads(run_here("run", *arguments, "--json", config=config, env=env).stdout)
        result: dict[str, Any] = record["result"]
        return result

    return both


def subjects(result: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(finding["kind"], finding["subject"]) for finding in result["findings"]}


def test_the_limit_of_disks_moves_report_and_alert_alike(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    usual = run("health-check", env={})
    disks = [sample for sample in usual["samples"] if sample["family"] == "sutazai_filesystem_used_ratio"]
    used = {disk["labels"]["mountpoint"]: disk["value"] for disk in disks}
    mount, ratio = max(used.items(), key=lambda item: item[1])
    told: dict[str, tuple[bool, bool]] = {}
    for name, percent in (("below", 100 * ratio / 2), ("above", (100 * ratio + 100) / 2)):
        result = run("health-check", env={"SUTAZAI_MAX_DISK_USAGE": f"{percent:.2f}"})
        alert = fires("DiskUsageHigh", tmp_path / "rules", result["samples"], datetime.now(UTC), after="1h")
        told[name] = ("warn", f"check/disk:{mount}") in subjects(result), alert
    assert told == {"below": (True, True), "above": (False, False)}


def test_the_days_of_renewal_move_report_and_alert_alike(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    make(days_left=40, age_days=325).write(tmp_path / "base" / "ssl")
    told: dict[int, tuple[bool, bool]] = {}
    for days in (30, 60):
        env = {"SUTAZAI_CERTIFICATE__RENEWAL_THRESHOLD_DAYS": str(days)}
        now = datetime.now(UTC)
        result = run("certificate-renewal", "--mode", "watch", env=env)
        alert = fires("CertificateExpiring", tmp_path / "rules", result["samples"], now, after="30h")
        told[days] = ("due", "certificate/ssl/cert.pem") in subjects(result), alert
    assert told == {30: (False, False), 60: (True, True)}, subjects(result)
