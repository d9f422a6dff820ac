"""Tokens: made, listed and revoked by the command, and what each scope opens in a running daemon."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.services.exporter_daemon import ExporterDaemon, run_cli
from tests.services.prometheus import Prometheus, scraping
from tests.services.sent_alerts import post, sent
from tests.services.trial_jobs import TASK, TrialPackage, operator, work
from tests.services.wait import wait_for

ELSEWHERE = {"X-Forwarded-For": "192.0.2.7"}
READ, START = "/api/v1/tasks", f"/api/v1/tasks/{TASK}/start"


@pytest.fixture(scope="module")
def daemon(package: TrialPackage) -> Iterator[ExporterDaemon]:
    running = ExporterDaemon(work(), environment=package.environment)
    yield running
    assert "Traceback" not in running.log()
    running.close()


@pytest.fixture
def cli(daemon: ExporterDaemon) -> Callable[..., CompletedProcess[str]]:
    return lambda *arguments: run_cli("token", *arguments, base_dir=daemon.base_dir)


def opened(daemon: ExporterDaemon, headers: dict[str, str]) -> dict[str, bool]:
    """What a header opens from elsewhere."""
    headers = {**ELSEWHERE, **headers}
    asked = {
        "scrape": daemon.get("/metrics", headers=headers),
        "read": daemon.get(READ, headers=headers),
        "operate": daemon.post(START, json={}, headers=headers),
        "alert": post(daemon, headers, sent()),
    }
    assert {answer.status_code for answer in asked.values()} <= {200, 202, 401}
    return {name: answer.ok for name, answer in asked.items()}


@pytest.mark.parametrize(
    ("scope", "opens"),
    [
        ("scrape", {"scrape"}),
        ("read", {"scrape", "read"}),
        ("alert", {"alert"}),
        ("operate", {"scrape", "read", "operate", "alert"}),
    ],
)
def test_each_scope_opens_what_it_should(daemon: ExporterDaemon, scope: str, opens: set[str]) -> None:
    found = opened(daemon, operator(daemon, scope))
    assert {name for name, is_open in found.items() if is_open} == opens


def test_the_metrics_take_no_token_from_this_machine_and_a_refusal_says_why(daemon: ExporterDaemon) -> None:
    assert daemon.get("/metrics").status_code == 200
    refused = daemon.get("/metrics", headers=ELSEWHERE)
    assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
    assert "token create --name NAME --scope scrape" in refused.json()["detail"]
    assert daemon.get("/metrics", headers={"Host": "evil.example"}).status_code == 401
    assert daemon.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401, "worse than none"
    assert daemon.get("/metrics?token=x").status_code == 401
    for open_to_all in ("/-/healthy", "/-/ready"):
        assert daemon.get(open_to_all, headers=ELSEWHERE).status_code == 200


def test_who_wants_it_opens_the_metrics_to_everybody_and_nothing_else(package: TrialPackage) -> None:
    running = ExporterDaemon({**work(), "web": {"metrics_need_token": False}}, environment=package.environment)
    assert running.get("/metrics", headers=ELSEWHERE).status_code == 200
    assert running.get(READ, headers=ELSEWHERE).status_code == 401
    running.close()


def test_prometheus_scrapes_with_a_token_and_not_after_it_is_revoked(
    daemon: ExporterDaemon, cli: Callable[..., CompletedProcess[str]]
) -> None:
    made = cli("create", "--name", "prometheus", "--scope", "scrape", "--json")
    secret = json.loads(made.stdout)["token"]
    config = scraping({"sutazai": daemon.port})
    (job,) = config["scrape_configs"]
    # It is on this machine; but who shows a token must show a right one.
    job["authorization"] = {"credentials": secret}
    prometheus = Prometheus(config)
    try:
        wait_for(lambda: [value for _, value in prometheus.query("up")] == [1], 60, "it is scraped")
        assert cli("revoke", "prometheus").returncode == 0
        wait_for(lambda: [value for _, value in prometheus.query("up")] == [0], 60, "it is not scraped any more")
    finally:
        prometheus.close()


def test_a_token_that_is_revoked_opens_nothing_at_once(
    daemon: ExporterDaemon, cli: Callable[..., CompletedProcess[str]]
) -> None:
    secret = cli("create", "--name", "me", "--scope", "operate").stdout.strip()
    headers = {**ELSEWHERE, "Authorization": f"Bearer {secret}"}
    assert daemon.get(READ, headers=headers).status_code == 200
    assert cli("revoke", "me").stdout == "me opens nothing any more.\n"
    assert daemon.get(READ, headers=headers).status_code == 401
    again = cli("revoke", "me")
    assert (again.returncode, again.stdout) == (64, "")
    assert "no token is called 'me'; there are: " in again.stderr


def test_the_list_has_names_and_scopes_and_never_what_opens(
    daemon: ExporterDaemon, cli: Callable[..., CompletedProcess[str]]
) -> None:
    secret = cli("create", "--name", "shown", "--scope", "read", "--scope", "alert").stdout.strip()
    kept = (daemon.base_dir / "secrets_secure" / "tokens.json").read_text()
    hashes = [entry["sha256"] for entry in json.loads(kept)]
    table, listed = cli("list").stdout, cli("list", "--json").stdout
    (row,) = [row for row in json.loads(listed) if row["name"] == "shown"]
    assert (row["scopes"], set(row)) == (["read", "alert"], {"name", "scopes", "created"})
    assert "shown" in table
    for text in (table, listed):
        assert not any(told in text for told in (secret, *hashes))


def test_where_there_are_no_tokens_the_list_says_so(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    done = run_cli("token", "list", base_dir=tmp_path / "base")
    assert (done.returncode, "There are none" in done.stdout) == (0, True)
    assert run_cli("token", "list", "--json", base_dir=tmp_path / "base").stdout == "[]\n"
