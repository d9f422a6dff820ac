"""Alerts come in: from a real Alertmanager, and as it would send them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from exporter.bridge.incoming.reception import REASONS
from exporter.store import Store
from tests.services.alertmanager import Alertmanager, amtool, to_webhook
from tests.services.exporter_daemon import NO_JOBS, REPOSITORY, ExporterDaemon
from tests.services.sent_alerts import BEGAN, PATH, accepted, kept, post, refused, sent, webhook
from tests.services.trial_jobs import operator
from tests.services.wait import wait_for

QUIET = {**NO_JOBS, "agents": {"listed": [], "discover": False}}
HOUR = "2126-03-02T12:00:00Z"


@pytest.fixture(scope="module")
def daemon() -> Iterator[ExporterDaemon]:
    running = ExporterDaemon(QUIET)
    yield running
    running.close()


@pytest.fixture(scope="module")
def headers(daemon: ExporterDaemon) -> dict[str, str]:
    return operator(daemon, "alert")


def listed(daemon: ExporterDaemon, name: str = "") -> list[dict[str, Any]]:
    """The alerts that the API lists, of one alert name if it is given."""
    answer = daemon.get(f"{PATH}?limit=200")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["alerts"]
    return [alert for alert in found if name in ("", alert["labels"]["alertname"])]


def problem(answer: requests.Response, status: int) -> str:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    return str(answer.json()["detail"])


# A real Alertmanager


def test_an_alert_of_alertmanager_comes_in_once_and_its_resolution_ends_it(
    daemon: ExporterDaemon, headers: dict[str, str], alertmanager_factory: Callable[..., Alertmanager]
) -> None:
    config = to_webhook(daemon.url + PATH, token=headers["Authorization"].removeprefix("Bearer "))
    config["route"]["repeat_interval"] = "1s"
    alertmanager = alertmanager_factory(config)
    labels = {"alertname": "RealOne", "agent": "coder", "severity": "critical"}
    alert = {"labels": labels, "annotations": {"summary": "coder is down"}, "startsAt": BEGAN.isoformat()}
    duplicates = _received(daemon, "duplicate")
    alertmanager.post([{**alert, "endsAt": HOUR}])
    (entry,) = wait_for(lambda: listed(daemon, "RealOne"), 30, "the alert came in")
    assert (entry["status"], entry["state"], entry["labels"]) == ("firing", "firing", labels)
    assert entry["annotations"] == {"summary": "coder is down"}
    assert entry["fingerprint"] == alertmanager.wait_alert("RealOne")["fingerprint"]
    assert entry["ended"] is None
    wait_for(lambda: _received(daemon, "duplicate") > duplicates, 30, "Alertmanager has repeated it")
    assert len(listed(daemon, "RealOne")) == 1
    alertmanager.post([{**alert, "endsAt": entry["received"]}])
    wait_for(lambda: len(listed(daemon, "RealOne")) == 2, 30, "the resolution came in")
    end, beginning = listed(daemon, "RealOne")
    assert (end["status"], beginning["id"]) == ("resolved", entry["id"])
    assert beginning["state"] == end["state"] == "ended"
    assert beginning["ended"] == end["ended"] is not None


def _received(daemon: ExporterDaemon, result: str) -> float:
    with closing(Store(daemon.base_dir / "data" / "sutazai.db")) as store:
        counters = store.counters()
    name = "sutazai_alerts_received_total"
    return sum(value for (family, labels), value in counters.items() if family == name and ("result", result) in labels)


# As it would send them


def test_what_is_answered_200_is_on_the_disk(daemon: ExporterDaemon, headers: dict[str, str]) -> None:
    before = accepted(daemon)
    answer = post(daemon, headers, sent(11), sent(12), sent(11))
    assert (answer.status_code, answer.json()) == (200, {"accepted": 2, "duplicates": 1})
    mine = [(f"{n:016x}", "firing", False) for n in (11, 12)]
    assert [row for row in kept(daemon) if row in mine] == mine
    assert accepted(daemon) == before + 2
    assert post(daemon, headers, sent(12)).json() == {"accepted": 0, "duplicates": 1}
    assert post(daemon, headers, sent(12, resolved=True)).json() == {"accepted": 1, "duplicates": 0}
    assert (f"{12:016x}", "firing", True) in kept(daemon)


def test_the_newest_are_listed_first_and_as_many_as_wanted(daemon: ExporterDaemon, headers: dict[str, str]) -> None:
    post(daemon, headers, *(sent(n) for n in range(2000, 2060)))
    names = [alert["labels"]["agent"] for alert in daemon.get(f"{PATH}?limit=3").json()["alerts"]]
    assert names == ["agent-2059", "agent-2058", "agent-2057"]
    assert len(daemon.get(PATH).json()["alerts"]) == 50


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "", "00000099999", "9" * 5000])
def test_a_wrong_limit_is_400(daemon: ExporterDaemon, limit: str) -> None:
    assert "limit must be a whole number from 1 to 200" in problem(daemon.get(f"{PATH}?limit={limit}"), 400)


def test_operate_opens_the_intake_and_alert_opens_nothing_else(daemon: ExporterDaemon, headers: dict[str, str]) -> None:
    assert post(daemon, operator(daemon, "operate"), sent(21)).status_code == 200
    assert daemon.get(PATH, headers=headers).status_code == 401
    assert daemon.get("/api/v1/runs", headers=headers).status_code == 401
    assert daemon.post("/-/reload", headers=headers).status_code == 401


def test_being_on_this_machine_is_not_enough_to_write(daemon: ExporterDaemon) -> None:
    for given in ({}, operator(daemon, "read")):
        detail = problem(post(daemon, given, sent(31)), 401)
        assert "sutazai-exporter token create --name NAME --scope alert" in detail
    assert f"{31:016x}" not in {fingerprint for fingerprint, *_ in kept(daemon)}


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"data": b"{"}, 400, "the body is not JSON"),
        ({"data": b""}, 400, "the body is not JSON"),
        ({"json": {"version": "3", "alerts": []}}, 400, "version: only '4' is understood"),
        ({"json": webhook([sent(41), sent(42, status="odd")])}, 400, "alerts[1].status: must be"),
        ({"data": "version=4", "type": "application/x-www-form-urlencoded"}, 415, "the content type application/json"),
        ({"json": webhook([sent(41)]), "type": "text/plain"}, 415, "the content type application/json"),
        ({"json": webhook([sent(41)]), "encoding": "gzip"}, 415, "must not be compressed"),
        ({"json": webhook([sent(41)]), "encoding": "identity, br"}, 415, "must not be compressed"),
    ],
    ids=str,
)
def test_a_wrong_body_is_refused_as_a_whole_and_logged(
    daemon: ExporterDaemon, headers: dict[str, str], change: dict[str, Any], status: int, says: str
) -> None:
    log = len(daemon.log())
    more = {"Content-Type": change.get("type", "application/json")}
    more |= {"Content-Encoding": change["encoding"]} if "encoding" in change else {}
    data = change.get("data", json.dumps(change.get("json")))
    detail = problem(daemon.post(PATH, data=data, headers={**headers, **more}), status)
    assert says in detail and "\n" not in detail
    assert not {f"{41:016x}", f"{42:016x}"} & {fingerprint for fingerprint, *_ in kept(daemon)}
    assert "alerts refused, all of their request" in daemon.log()[log:]


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_be_called_json_in_other_ways(
    daemon: ExporterDaemon, headers: dict[str, str], content_type: str
) -> None:
    body = json.dumps(webhook([sent(51)]))
    answer = daemon.post(PATH, data=body, headers={**headers, "Content-Type": content_type})
    assert answer.status_code == 200


def test_a_body_that_is_too_large_is_413_and_says_what_to_do(daemon: ExporterDaemon, headers: dict[str, str]) -> None:
    large = sent(61, annotations={"text": "x" * (1 << 20)})
    assert "group alerts by more labels" in problem(post(daemon, headers, large), 413)


def test_every_refusal_is_counted_by_its_reason(exporter_daemon: Callable[..., ExporterDaemon]) -> None:
    fresh = exporter_daemon(QUIET)
    assert refused(fresh) == dict.fromkeys(REASONS, 0)
    headers = operator(fresh, "alert")
    post(fresh, {}, sent())
    post(fresh, {"Authorization": "Bearer wrong"}, sent())
    for body in (b"{", b"[]", b'{"version": "4"}'):
        fresh.post(PATH, data=body, headers={**headers, "Content-Type": "application/json"})
    post(fresh, headers, sent(annotations={"text": "x" * (1 << 20)}))
    (fresh.base_dir / "secrets_secure" / "tokens.json").write_text("{")
    post(fresh, headers, sent())
    expected = dict.fromkeys(REASONS, 0) | {"unauthorized": 2, "malformed": 3, "too_large": 1, "store": 1}
    wait_for(lambda: refused(fresh) == expected, 30, f"{expected} are counted")
    assert kept(fresh) == []


def test_another_method_is_405(daemon: ExporterDaemon) -> None:
    answer = requests.put(daemon.url + PATH, timeout=10)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


def test_a_broken_token_file_is_503_so_that_alertmanager_sends_again(
    daemon: ExporterDaemon, headers: dict[str, str]
) -> None:
    file = daemon.base_dir / "secrets_secure" / "tokens.json"
    content = file.read_bytes()
    try:
        file.write_text("{")
        answer = post(daemon, headers, sent(71))
        assert "tokens.json: is not a token file" in problem(answer, 503)
        assert int(answer.headers["retry-after"]) > 0
    finally:
        file.write_bytes(content)
    assert post(daemon, headers, sent(71)).json()["accepted"] == 1


def test_alerts_survive_a_restart(exporter_daemon: Callable[..., ExporterDaemon]) -> None:
    daemon = exporter_daemon(QUIET)
    post(daemon, operator(daemon, "alert"), sent(1), sent(2, resolved=True))
    wait_for(lambda: all(alert["handled"] for alert in listed(daemon)), 30, "both are dealt with")
    before = listed(daemon)
    assert len(before) == 2
    daemon.stop()
    daemon.start()
    assert listed(daemon) == before


def test_the_configuration_that_the_documentation_shows_is_one(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "alert-intake.md").read_text()
    (fragment,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "alertmanager.yml"
    file.write_text(fragment)
    done = amtool("check-config", str(file))
    assert done.returncode == 0, done.stderr + done.stdout
    (webhook_config,) = yaml.safe_load(fragment)["receivers"][1]["webhook_configs"]
    assert webhook_config["url"].endswith(PATH)
