"""The intake while the daemon is killed and its disk is full or stuck: no alert is lost, none is there twice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from exporter.web.api.handlers.alerts import MAX_WAITING
from tests.services.alertmanager import Alertmanager, to_webhook
from tests.services.disks import ext4, frozen, tmpfs
from tests.services.exporter_daemon import NO_JOBS, ExporterDaemon
from tests.services.sent_alerts import PATH, accepted, kept, post, sent, webhook
from tests.services.trial_jobs import operator
from tests.services.wait import wait_for

ALERTS, BETWEEN_KILLS = 1_000, 50


class Sender:
    """Sends bodies one after the other as Alertmanager does: each again, until it is answered 2xx."""

    def __init__(self, daemon: ExporterDaemon, headers: dict[str, str], bodies: Sequence[Sequence[dict[str, Any]]]):
        self._url, self._headers, self._bodies = daemon.url + PATH, headers, bodies
        self.answered: list[str] = []
        """Fingerprints of what was answered 2xx."""
        self.repeats = 0
        self.given_up = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            for alerts in self._bodies:
                while not self._sent(session, alerts):
                    self.repeats += 1
                    if self.given_up.wait(0.05):
                        return

    def _sent(self, session: requests.Session, alerts: Sequence[dict[str, Any]]) -> bool:
        try:
            answer = session.post(self._url, json=webhook(alerts), headers=self._headers, timeout=30)
        except requests.RequestException:
            return False
        if answer.ok:
            self.answered += [alert["fingerprint"] for alert in alerts]
        return answer.ok


@contextmanager
def sending(sender: Sender) -> Iterator[None]:
    sender.thread.start()
    try:
        yield
    finally:
        sender.given_up.set()
        sender.thread.join()


def test_a_thousand_alerts_and_a_kill_every_fifty_lose_none_and_double_none(
    exporter_daemon: Callable[..., ExporterDaemon],
) -> None:
    daemon = exporter_daemon(NO_JOBS)
    bodies = [[sent(n), sent(n + 1)] for n in range(0, ALERTS, 2)]
    sender = Sender(daemon, operator(daemon, "alert"), bodies)
    with sending(sender):
        for count in range(BETWEEN_KILLS, ALERTS, BETWEEN_KILLS):
            wait_for(lambda count=count: len(sender.answered) >= count, 60, f"{count} alerts were answered")
            daemon.kill()  # the sender is in the middle of its next request
            answered = set(sender.answered)
            assert answered <= {fingerprint for fingerprint, *_ in kept(daemon)}
            daemon.start()
        wait_for(lambda: len(sender.answered) == ALERTS, 120, "every alert was answered")
    found = Counter(fingerprint for fingerprint, *_ in kept(daemon))
    assert found == Counter(f"{n:016x}" for n in range(ALERTS))
    assert accepted(daemon) == ALERTS
    assert sender.repeats > 0


def test_a_real_alertmanager_gets_a_thousand_alerts_in_whatever_kills_the_daemon(
    exporter_daemon: Callable[..., ExporterDaemon], alertmanager_factory: Callable[..., Alertmanager]
) -> None:
    daemon = exporter_daemon(NO_JOBS)
    token = operator(daemon, "alert")["Authorization"].removeprefix("Bearer ")
    config = to_webhook(daemon.url + PATH, token=token)
    config["route"]["group_by"] = ["batch"]
    alertmanager = alertmanager_factory(config)
    began = datetime.now(UTC).isoformat()
    common = {"startsAt": began, "endsAt": "2126-03-02T12:00:00Z"}
    alerts = [
        {**common, "labels": {"alertname": "Many", "number": str(n), "batch": str(n % (ALERTS // 10))}}
        for n in range(ALERTS)
    ]
    for place in range(0, ALERTS, 20):  # two of them of each group, and so on: groups grow while they are sent
        alertmanager.post(alerts[place : place + 20])
    for count in range(BETWEEN_KILLS, ALERTS, BETWEEN_KILLS):
        wait_for(lambda count=count: len(kept(daemon)) >= count, 120, f"{count} alerts came in")
        daemon.kill()
        daemon.start()
    expected = {alert["fingerprint"] for alert in alertmanager.alerts("Many")}
    assert len(expected) == ALERTS
    wait_for(lambda: len(kept(daemon)) == ALERTS, 120, "every alert came in", detail=daemon.log)
    assert {fingerprint for fingerprint, *_ in kept(daemon)} == expected
    assert accepted(daemon) == ALERTS


def test_a_full_disk_is_503_and_the_repeat_gets_in_when_there_is_room() -> None:
    with tmpfs(megabytes=6) as disk:
        daemon = ExporterDaemon(NO_JOBS, base_dir=disk / "base")
        try:
            headers = operator(daemon, "alert")
            assert post(daemon, headers, sent(1)).status_code == 200
            ballast = _fill(disk)
            many = [sent(n, annotations={"text": "x" * 4000}) for n in range(2, 202)]
            answer = post(daemon, headers, *many)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert "sutazai.db: the store cannot be used: database or disk is full" in answer.json()["detail"]
            assert len(kept(daemon)) == 1  # all or nothing
            daemon.wait_metric("sutazai_store_up", {}, lambda value: value == 0)
            daemon.wait_metric("sutazai_alert_requests_refused_total", {"reason": "store"}, lambda value: value == 1)
            ballast.unlink()
            assert post(daemon, headers, *many).json() == {"accepted": 200, "duplicates": 0}
            daemon.wait_metric("sutazai_store_up", {}, lambda value: value == 1)
            assert len(kept(daemon)) == accepted(daemon) == 201
        finally:
            daemon.close()


def _fill(disk: Path) -> Path:
    """A file that takes all the room that there is."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return ballast


def test_a_disk_that_is_stuck_keeps_alerts_waiting_and_then_refuses_them_with_503() -> None:
    with ext4() as disk:
        daemon = ExporterDaemon(NO_JOBS, base_dir=disk / "base")
        try:
            headers = operator(daemon, "alert")
            assert post(daemon, headers, sent(0)).status_code == 200
            with ThreadPoolExecutor(MAX_WAITING + 4) as senders:
                with frozen(disk):
                    asked = [
                        senders.submit(daemon.post, PATH, json=webhook([sent(n)]), headers=headers, timeout=120)
                        for n in range(1, MAX_WAITING + 5)
                    ]
                    refused = wait_for(lambda: _done(asked, 4), 30, "those for whom there is no room are refused")
                    assert {answer.status_code for answer in refused} == {503}
                    assert "wait already; send it again" in refused[0].json()["detail"]
                    assert daemon.get("/metrics", timeout=5).status_code == 200
                    assert daemon.get("/-/healthy", timeout=5).status_code == 200
                    assert len(_done(asked, 4)) == 4
                answers = Counter(request.result().status_code for request in asked)
            assert answers == {200: MAX_WAITING, 503: 4}
            assert len(kept(daemon)) == accepted(daemon) == MAX_WAITING + 1
        finally:
            daemon.close()


def _done(asked: Sequence[Future[requests.Response]], count: int) -> list[requests.Response]:
    """The answers that are there, if they are so many at least."""
    answers = [request.result() for request in asked if request.done()]
    return answers if len(answers) >= count else []
