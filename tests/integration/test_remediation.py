"""Remediations in a running daemon: from an alert in the inbox to a fix that a new look has seen."""

from __future__ import annotations

import json
import os
import pwd
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from exporter.clock import SystemClock
from exporter.store import Store
from tests.services.command_here import run_here
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.remedial import ALERT, RULE, alert, code, document, runs, send
from tests.services.trial_jobs import TASK, TrialPackage, operator
from tests.services.wait import wait_for

USER = pwd.getpwuid(os.getuid()).pw_name
Cli = Callable[..., subprocess.CompletedProcess[str]]


class Scene:
    """A daemon that remedies, and the place where its trial runs leave their traces."""

    def __init__(
        self, directory: Path, start: Callable[..., ExporterDaemon], package: TrialPackage, **given: Any
    ) -> None:
        self.place = directory / "place"
        self.place.mkdir()
        self.config = document(code(self.place, **given.pop("work", {})), **given)
        self.daemon = start(self.config, environment=package.environment)
        self.store = Store(self.daemon.base_dir / "data" / "sutazai.db")
        self._package = package

    def send(self, *alerts: Any) -> None:
        send(self.store, *alerts, now=SystemClock().now())

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line beside the daemon, in the process of the tests."""
        with self._package.in_process():
            return run_here(*arguments, base_dir=self.daemon.base_dir, config=self.config)

    def remediations(self) -> list[dict[str, Any]]:
        answer = self.daemon.get("/api/v1/remediations")
        assert answer.status_code == 200, answer.text
        return list(answer.json()["remediations"])

    def wait_state(self, *states: str) -> list[dict[str, Any]]:
        """Wait until the remediations, oldest first, are in these states."""

        def reached() -> list[dict[str, Any]]:
            found = self.remediations()[::-1]
            return found if tuple(entry["state"] for entry in found) == states else []

        return wait_for(reached, 60, f"remediations are {states}", detail=self.daemon.log)

    def audited(self) -> list[tuple[str, str, str]]:
        entries = self.daemon.get("/api/v1/audit?limit=1000").json()["entries"][::-1]
        return [(entry["who"], entry["what"], entry["outcome"]) for entry in entries]


@pytest.fixture
def scene(
    tmp_path: Path, exporter_daemon: Callable[..., ExporterDaemon], package: TrialPackage
) -> Iterator[Callable[..., Scene]]:
    made: list[Scene] = []

    def make(**given: Any) -> Scene:
        made.append(Scene(tmp_path, exporter_daemon, package, **given))
        return made[-1]

    yield make
    for each in made:
        each.store.close()


# From alert to fix


def test_an_alert_is_remedied_and_the_fix_is_seen(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.send(alert())
    (entry,) = it.wait_state("verified")
    assert runs(it.place) == ["full web", "light web"]
    assert (entry["attempts"], entry["alert"]["name"], entry["target"]) == (1, ALERT, "web")
    asked = it.daemon.get("/api/v1/runs").json()["runs"]
    assert {run["trigger"] for run in asked} == {"alert"}
    assert {run["why"] for run in asked} == {f"alert {ALERT}, remediation 1"}
    assert it.audited() == [
        ("daemon", "alert taken in", "due"),
        ("daemon", "begun", "running"),
        ("daemon", "done", "verifying"),
        ("daemon", "verified", "verified"),
    ]
    verified = {"remediation": "mend-thing", "state": "verified"}
    it.daemon.wait_metric("sutazai_remediations_total", verified, lambda value: value == 1)
    assert it.daemon.metrics().value("sutazai_remediations_total", remediation="mend-thing", state="failed") == 0


def test_a_fix_that_does_not_help_is_tried_again_and_then_given_to_a_person(scene: Callable[..., Scene]) -> None:
    it = scene(work={"mends": False}, max_attempts=2, backoff_seconds=0.2, cool_down_seconds=0)
    it.send(alert())
    (entry,) = it.wait_state("failed")
    assert runs(it.place) == ["full web", "light web"] * 2
    assert 'sutazai_trial_value{thing="door"} is 0' in entry["detail"]
    assert it.store.rows("SELECT kind, severity, cleared FROM problems") == [("failed", "critical", None)]


def test_alerts_about_what_is_not_listed_run_nothing(scene: Callable[..., Scene]) -> None:
    hostile = [
        alert("stranger"),
        alert("'; DROP TABLE remediations; --", container="web"),
        alert("../../etc/passwd"),
    ]
    it = scene()
    # Of the one whose name no rule has nothing is made at all.
    it.send(*hostile, alert("web", name="TrialWork", task=TASK, mode="full", target="web"), alert("api"))
    (*refused, _) = it.wait_state(*["refused"] * len(hostile), "verified")
    assert [entry["alert"]["labels"] for entry in refused] == [one.labels for one in hostile]
    assert runs(it.place) == ["full api", "light api"]


def test_an_alert_that_ends_while_its_fix_runs_is_not_taken_for_verified(scene: Callable[..., Scene]) -> None:
    it = scene(work={"mends": False, "step": "while not (place / 'go').exists(): time.sleep(0.01)"})
    it.send(alert())
    wait_for(lambda: runs(it.place), 60, "the fix runs")
    it.send(alert(status="resolved").model_copy(update={"ends_at": SystemClock().now()}))
    (it.place / "go").touch()
    (entry,) = it.wait_state("resolved")
    assert entry["detail"].startswith("the alert ended, though attempt 1 was not verified")
    assert runs(it.place) == ["full web", "light web"]


def test_shadow_runs_nothing_and_says_what_it_would(scene: Callable[..., Scene]) -> None:
    it = scene(mode="shadow")
    it.send(alert())
    (entry,) = it.wait_state("shadow")
    assert entry["detail"].startswith(f"would be done: {TASK} full web")
    assert runs(it.place) == []


# Approval


def test_approval_by_the_api_takes_a_token_and_is_audited_with_its_name(scene: Callable[..., Scene]) -> None:
    it = scene(mode="approve")
    it.send(alert())
    it.wait_state("waiting")
    path = "/api/v1/remediations/1/approve"
    assert it.daemon.post(path).status_code == 401
    assert it.daemon.post(path, headers=operator(it.daemon, "read")).status_code == 401
    assert it.daemon.post(path, headers=operator(it.daemon, "alert")).status_code == 401
    headers = operator(it.daemon)
    missing = it.daemon.post("/api/v1/remediations/99/approve", headers=headers)
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
    assert runs(it.place) == []
    answer = it.daemon.post(path, headers=headers)
    assert (answer.status_code, answer.json()["state"]) == (200, "due")
    assert it.daemon.post(path, headers=headers).status_code == 409
    (entry,) = it.wait_state("verified")
    assert re.fullmatch(r"token:test-[0-9a-f]{8}", entry["who"])
    assert (entry["who"], "approved", "due") in it.audited()


def test_rejection_by_the_api_runs_nothing(scene: Callable[..., Scene]) -> None:
    it = scene(mode="approve")
    it.send(alert())
    it.wait_state("waiting")
    answer = it.daemon.post("/api/v1/remediations/1/reject", headers=operator(it.daemon))
    assert (answer.status_code, answer.json()["state"]) == (200, "rejected")
    assert runs(it.place) == []


def test_approval_by_the_command_line_is_seen_by_the_daemon(scene: Callable[..., Scene]) -> None:
    it = scene(mode="approve")
    it.send(alert(), alert("api"))
    it.wait_state("waiting", "waiting")
    listed = it.cli("remediations", "list").stdout
    assert "mend-thing" in listed
    planned = it.cli("remediations", "approve", "1", "--dry-run")
    assert planned.returncode == 0
    assert planned.stdout.startswith(f"approve remediation 1 ({ALERT}, mend-thing): {TASK} full web;")
    it.wait_state("waiting", "waiting")
    assert it.cli("remediations", "approve", "1").returncode == 0
    assert it.cli("remediations", "reject", "2").returncode == 0
    found = it.wait_state("verified", "rejected")
    assert {entry["who"] for entry in found} == {f"user:{USER}"}
    again = it.cli("remediations", "approve", "1")
    assert (again.returncode, again.stdout) == (64, "")
    assert again.stderr == "sutazai-exporter: remediation 1 does not wait for an answer: it is verified\n"
    assert it.cli("remediations", "list").stdout == "None is open; see --all.\n"
    everything = json.loads(it.cli("remediations", "list", "--all", "--json").stdout)
    assert [entry["state"] for entry in everything] == ["rejected", "verified"]


def test_what_was_approved_without_a_daemon_is_done_by_the_next(scene: Callable[..., Scene]) -> None:
    it = scene(mode="approve")
    it.send(alert())
    it.wait_state("waiting")
    assert it.daemon.stop() == 0
    assert it.cli("remediations", "approve", "1").returncode == 0
    assert runs(it.place) == []
    it.daemon.start()
    it.wait_state("verified")


# The routes


def test_what_the_routes_do_not_take_is_refused(scene: Callable[..., Scene]) -> None:
    it = scene()
    for path, status in (
        ("/api/v1/remediations?limit=0", 400),
        ("/api/v1/remediations?open=maybe", 400),
        ("/api/v1/audit?limit=x", 400),
        ("/api/v1/remediations/x/approve", 404),
        ("/api/v1/remediations/1/approve", 405),
    ):
        assert it.daemon.get(path).status_code == status, path
    assert it.daemon.get("/api/v1/audit", headers={"Authorization": "Bearer wrong"}).status_code == 401
    huge = it.daemon.post(f"/api/v1/remediations/{10**30}/reject", headers=operator(it.daemon))
    assert huge.status_code == 404


# The audit log


def test_the_audit_log_is_whole_until_somebody_changes_it(scene: Callable[..., Scene]) -> None:
    it = scene()
    it.send(alert())
    it.wait_state("verified")
    assert it.daemon.metrics().value("sutazai_audit_intact") == 1
    whole = it.cli("audit", "verify")
    found = re.fullmatch(r"The audit log is whole: 4 entries, the last is (4:[0-9a-f]{64})\.\n", whole.stdout)
    assert whole.returncode == 0
    assert found
    anchors = re.findall(r'msg="audit entry" sequence=(\d+) hash=([0-9a-f]{64})', it.daemon.log())
    assert ":".join(anchors[-1]) == found[1]
    assert it.cli("audit", "verify", "--anchor", found[1]).returncode == 0
    listed = json.loads(it.cli("audit", "list", "--json", "--limit", "2").stdout)
    assert [entry["sequence"] for entry in listed] == [4, 3]
    assert "a new look shows that all is well" in it.cli("audit", "list").stdout
    with it.store.transaction() as db:
        db.execute("UPDATE audit SET entry = replace(entry, 'daemon', 'nobody') WHERE sequence = 2")
    broken = it.cli("audit", "verify")
    assert broken.returncode == 1
    assert broken.stdout.startswith("The audit log is not whole: entry 2: changed")
    it.daemon.stop()
    it.daemon.start()
    it.daemon.wait_metric("sutazai_audit_intact", predicate=lambda value: value == 0)


def test_an_anchor_that_is_none_is_wrong_usage(run_here: Cli, tmp_path: Path) -> None:
    told = run_here("audit", "verify", "--anchor", "12")
    assert told.returncode == 64
    assert told.stderr.startswith("sutazai-exporter: --anchor: '12' is not SEQ:HASH")


def test_without_a_store_there_is_nothing_to_tell(run_here: Cli, tmp_path: Path) -> None:
    missing = run_here("audit", "verify")
    assert (missing.returncode, missing.stdout) == (69, "")
    assert "sutazai.db: is not there or empty, so there is no log to verify" in missing.stderr
    assert run_here("audit", "list").stdout == "Nothing was decided yet.\n"
    assert run_here("remediations", "list", "--all").stdout == "There are none.\n"
    assert run_here("remediations", "approve", "1").returncode == 64


def test_a_mistake_in_a_rule_is_told_by_check_config(run_here: Cli) -> None:
    bad = {**RULE, "steps": [{"task": "agent-monitor", "mode": "repair"}]}
    told = run_here("check-config", config={"remediation": {"rules": [bad]}})
    assert told.returncode == 78
    assert "remediation.rules[0].proof: no task is called 'trial-work'" in told.stderr


# Stopping


def test_stopping_does_not_wait_for_remediations_and_the_next_daemon_looks(scene: Callable[..., Scene]) -> None:
    it = scene(work={"step": "while not (place / 'go').exists(): time.sleep(0.01)"}, backoff_seconds=0)
    it.send(alert())
    wait_for(lambda: runs(it.place), 60, "the fix runs")
    assert it.daemon.stop(timeout_seconds=60) == 0
    (it.place / "go").touch()
    it.daemon.start()
    wait_for(lambda: "light web" in runs(it.place), 60, "it was looked at")
    assert runs(it.place)[:2] == ["full web", "light web"]
    assert ("daemon", "interrupted", "verifying") in it.audited()


def test_a_cool_down_outlives_a_restart(scene: Callable[..., Scene]) -> None:
    it = scene(cool_down_seconds=3600)
    it.send(alert())
    it.wait_state("verified")
    it.daemon.stop()
    it.daemon.start()
    later = alert().starts_at + timedelta(minutes=1)
    it.send(alert(starts_at=later))
    wait_for(lambda: ("daemon", "postponed", "due") in it.audited(), 60, "the second one is postponed")
    assert "the cool-down of 3600 s" in it.remediations()[0]["detail"]
    assert runs(it.place) == ["full web", "light web"]
