"""Who guesses tokens gets slower and slower answers, and nobody who has a right one notices."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from exporter.web.access.lockout import FREE, FREE_OVERALL
from tests.services.exporter_daemon import NO_JOBS, ExporterDaemon
from tests.services.sent_alerts import PATH, kept, post, sent, webhook
from tests.services.trial_jobs import operator

QUIET = {**NO_JOBS, "agents": {"listed": [], "discover": False}}
RELOAD = "/-/reload"
GUESSES = 10_000


@pytest.fixture
def daemon() -> Iterator[ExporterDaemon]:
    running = ExporterDaemon(QUIET)
    yield running
    assert "Traceback" not in running.log()
    running.close()


Guess = Callable[..., http.client.HTTPResponse]


@pytest.fixture
def guess(daemon: ExporterDaemon) -> Iterator[Guess]:
    """Send one request with this Authorization header over a kept connection."""
    with closing(http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)) as connection:

        def ask(header: str, path: str = RELOAD, address: str = "", body: bytes = b"") -> http.client.HTTPResponse:
            headers = {"Authorization": header, "Content-Type": "application/json"}
            headers |= {"X-Forwarded-For": address} if address else {}
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.detail = answer.read()  # type: ignore[attr-defined]
            return answer

        yield ask


def test_ten_thousand_guesses_open_nothing_and_lock_nobody_out(daemon: ExporterDaemon, guess: Guess) -> None:
    right = {scope: operator(daemon, scope)["Authorization"] for scope in ("operate", "alert")}
    before = daemon.metrics().value("process_resident_memory_bytes")
    answers: Counter[int] = Counter()
    for number in range(GUESSES):
        answers[guess(f"Bearer {number:043}").status] += 1
        if number % 1000 == 500:
            assert guess(right["operate"]).status == 200
            taken = guess(right["alert"], PATH, body=json.dumps(webhook([sent(number)])).encode())
            assert (taken.status, json.loads(taken.detail)["accepted"]) == (200, 1)  # type: ignore[attr-defined]
    assert set(answers) == {401, 429}
    assert answers[401] < FREE + 20  # the wait doubles, so that few are judged however long this takes
    assert len(kept(daemon)) == GUESSES / 1000
    assert daemon.log().count("too many wrong tokens") < 20
    assert daemon.metrics().value("process_resident_memory_bytes") - before < 16 << 20
    assert daemon.get("/api/v1/runs").status_code == 200  # nor is who may read without a token


def test_who_is_put_off_is_told_for_how_long(daemon: ExporterDaemon, guess: Guess) -> None:
    answers = [guess(f"Bearer {number}") for number in range(2 * FREE)]
    last = next(answer for answer in answers if answer.status == 429)
    assert int(last.headers["retry-after"]) >= 1
    assert b"too many wrong tokens" in last.detail  # type: ignore[attr-defined]


def test_alertmanager_with_a_wrong_token_is_never_told_429(daemon: ExporterDaemon, guess: Guess) -> None:
    """It would drop the alerts; after 503 it sends them again, and somebody may have mended its token by then."""
    body = json.dumps(webhook([sent()])).encode()
    answers = [guess(f"Bearer {number}", PATH, body=body) for number in range(3 * FREE)]
    assert {answer.status for answer in answers} == {401, 503}
    assert all("retry-after" in answer.headers for answer in answers if answer.status == 503)
    assert post(daemon, operator(daemon, "alert"), sent()).status_code == 200


def test_guesses_from_many_addresses_are_put_off_together(daemon: ExporterDaemon, guess: Guess) -> None:
    """A proxy on this machine says where a request comes from."""
    right = operator(daemon)["Authorization"]
    answers = [guess(f"Bearer {n}", address=f"192.0.2.{n % 250}").status for n in range(2 * FREE_OVERALL)]
    assert answers[:FREE_OVERALL] == [401] * FREE_OVERALL
    assert 429 in answers[FREE_OVERALL:]
    assert guess(right, address="192.0.2.1").status == 200


def test_an_address_that_is_none_takes_no_memory(daemon: ExporterDaemon, guess: Guess) -> None:
    before = daemon.metrics().value("process_resident_memory_bytes")
    for number in range(1500):
        guess(f"Bearer {number}", address=f"{number}" * 6000)
    assert daemon.metrics().value("process_resident_memory_bytes") - before < 16 << 20


def test_a_known_token_for_something_else_is_no_guess(daemon: ExporterDaemon, guess: Guess) -> None:
    header = operator(daemon, "read")["Authorization"]
    assert {guess(header).status for _ in range(3 * FREE)} == {401}


def test_a_header_in_unicode_opens_nothing(guess: Guess) -> None:
    for header in ("Bearer é", "Bearer \xff\xfe", "Bearer \u00ad", "\xa0", "Bearer " + "é" * 10_000):
        assert guess(header).status == 401


def test_a_token_in_the_address_is_refused_by_name_even_beside_a_right_header(daemon: ExporterDaemon) -> None:
    headers = operator(daemon)
    secret = headers["Authorization"].removeprefix("Bearer ")
    for name in ("token", "access_token"):
        for path, given in ((RELOAD, {}), (RELOAD, headers), (PATH, {}), (PATH, headers)):
            answer = daemon.post(f"{path}?{name}={secret}", headers=given)
            assert answer.status_code == 401
            assert "a token in an address is never read" in answer.json()["detail"]
            assert secret not in answer.text
        assert daemon.get(f"/api/v1/runs?{name}={secret}").status_code == 401
    assert secret not in daemon.log()
