"""From the outbox to the other side: what is due arrives, also through kills, hangs and restarts."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from exporter.bridge.families import CHANNEL_UP
from exporter.bridge.figures import show
from exporter.bridge.model import Message, News
from exporter.bridge.outgoing import announcing, delivery
from exporter.bridge.outgoing.delivery import Delivered, deliver
from exporter.bridge.outgoing.outbox import Outbox, post
from exporter.bridge.outgoing.postman import CourierError, send_courier
from exporter.clock import SystemClock
from exporter.config import Configuration
from exporter.exposition import Exposition
from exporter.locks import FileLock
from exporter.metrics import catalogue
from exporter.redaction import Redactor
from exporter.store import Store
from jobs.core.model import Severity
from tests.services.alertmanager import Alertmanager, to_webhook
from tests.services.exporter_daemon import environment_of
from tests.services.messages import configured, mail, message, problem, webhook
from tests.services.ports import free_port
from tests.services.smtp_sink import SmtpSink
from tests.services.wait import wait_for
from tests.services.webhook_sink import Answer, WebhookSink
from tests.stand_ins import TcpServer, silent

CLOCK = SystemClock()


class World:
    """A base directory with an outbox, and whoever sends from it."""

    def __init__(self, directory: Path, **sections: Any) -> None:
        self.configuration: Configuration = configured(directory, sections)
        self.settings = self.configuration.settings
        self.store = Store(self.settings.base_dir / "data" / "sutazai.db")
        self.outbox = Outbox(self.store)

    def write(self, *messages: Message) -> None:
        with self.store.transaction() as db:
            for one in messages:
                post(db, one, self.settings, CLOCK.now())

    def deliver(self, limit_seconds: float = 60) -> Delivered:
        return deliver(self.store, self.settings, CLOCK, Redactor(self.configuration.secrets), limit_seconds)

    def states(self) -> list[str]:
        return [state for (state,) in self.store.rows("SELECT state FROM outbox ORDER BY id")]


# Deliveries


def test_what_is_due_goes_out_once_through_every_channel(
    tmp_path: Path, hook: WebhookSink, post_office: SmtpSink
) -> None:
    world = World(tmp_path, notifications={**webhook(hook.url), **mail(post_office.port)})
    world.write(message("a" * 32), message("b" * 32))
    assert world.deliver() == Delivered(sent=4)
    assert [one.document["id"] for one in hook.posts] == ["a" * 32, "b" * 32]
    assert len(post_office.mails) == 2
    assert world.deliver() == Delivered()
    assert (len(hook.posts), len(post_office.mails)) == (2, 2)


def test_what_is_refused_is_a_dead_letter_and_holds_up_nobody(tmp_path: Path, hook: WebhookSink) -> None:
    world = World(tmp_path, notifications=webhook(hook.url))
    world.write(message("a" * 32), message("b" * 32))
    hook.next_answers.append(Answer(422, body=b"no"))
    assert world.deliver() == Delivered(sent=1, dead=1)
    (dead,) = world.outbox.entries("dead", 10)
    assert (dead.message.id, dead.error) == ("a" * 32, f"http://127.0.0.1:{hook.port} answered 422: no")


def test_what_is_not_taken_now_waits_and_arrives_later_with_the_same_ids(tmp_path: Path, hook: WebhookSink) -> None:
    world = World(tmp_path, notifications=webhook(hook.url))
    world.write(message("a" * 32))
    hook.next_answers.append(Answer(500))
    assert world.deliver() == Delivered(failed=1)
    assert world.deliver() == Delivered()
    wait_for(lambda: world.deliver().sent, 60, "it is sent again once it is due")
    assert [one.headers["idempotency-key"] for one in hook.posts] == ["a" * 32] * 2
    assert hook.posts[0].body == hook.posts[1].body


def test_retry_after_keeps_everything_from_the_channel(tmp_path: Path, hook: WebhookSink) -> None:
    world = World(tmp_path, notifications=webhook(hook.url))
    world.write(message("a" * 32), message("b" * 32))
    hook.next_answers.append(Answer(429, {"Retry-After": "3600"}))
    before = CLOCK.now().timestamp()
    assert world.deliver() == Delivered(failed=1)
    assert (world.outbox.next_due() or 0) >= before + 3600


def test_a_channel_that_hangs_holds_up_no_other(tmp_path: Path, hook: WebhookSink) -> None:
    with TcpServer(silent) as server:
        world = World(tmp_path, notifications={**webhook(hook.url), **mail(server.port, timeout_seconds=300)})
        world.write(message("a" * 32))
        sending = threading.Thread(target=world.deliver, args=(120,))
        sending.start()
        hook.wait_posts(1)
        # What comes while the mail server hangs does not wait for it.
        world.write(message("b" * 32))
        hook.wait_posts(2, 60)
        assert sending.is_alive()
    sending.join()
    assert world.states().count("sent") == 2


def test_the_time_limit_counts_for_all_together(tmp_path: Path) -> None:
    with TcpServer(silent) as server:
        world = World(tmp_path, notifications=mail(server.port, timeout_seconds=600))
        world.write(*(message(f"{number:032}") for number in range(5)))
        began = CLOCK.monotonic()
        assert world.deliver(limit_seconds=2) == Delivered(failed=1)
        assert CLOCK.monotonic() - began < 120


def test_only_one_process_delivers_at_a_time(tmp_path: Path, hook: WebhookSink) -> None:
    world = World(tmp_path, notifications=webhook(hook.url))
    world.write(message("a" * 32))
    lock = FileLock(world.settings.base_dir / delivery.LOCK_FILE, "another")
    assert world.deliver() == Delivered(busy=True)
    lock.release()
    assert world.deliver() == Delivered(sent=1)


def test_a_message_that_breaks_a_channel_is_noted_and_tried_again(
    tmp_path: Path, hook: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("canary-token")

    world = World(tmp_path, notifications=webhook(hook.url, token="canary-token"))
    world.write(message("a" * 32))
    monkeypatch.setattr(delivery, "channel", broken)
    assert world.deliver() == Delivered(failed=1)
    assert world.outbox.entries("pending", 1)[0].error == "ZeroDivisionError: ***"


def test_no_secret_stands_in_what_is_kept_of_a_failure(tmp_path: Path, hook: WebhookSink) -> None:
    token = "canary-token-" + "x" * 300
    world = World(tmp_path, notifications=webhook(hook.url, token=token))
    world.write(message("a" * 32))
    hook.next_answers.append(Answer(500, body=b"no: " + b"y" * 300 + token.encode()))
    world.deliver()
    error = world.outbox.entries("pending", 1)[0].error
    assert "answered 500: no: yyy" in error
    assert "canary" not in error


# Kills


def test_of_deliveries_that_are_killed_200_times_nothing_is_lost(
    tmp_path: Path, hook: WebhookSink, post_office: SmtpSink
) -> None:
    world = World(tmp_path, notifications={**webhook(hook.url), **mail(post_office.port)})
    world.store.close()
    script = [sys.executable, "-m", "tests.services.killed_deliveries", str(tmp_path / "exporter.yml"), "200", "7"]
    done = subprocess.run(script, env=environment_of(tmp_path / "base"), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    count, killed = map(int, done.stdout.split())
    assert killed == 200
    written = {f"{number}-{name}" for number in range(count) for name in "abc"}
    posted = [one.headers["idempotency-key"] for one in hook.posts]
    mailed = [str(one.message["Message-ID"]).partition("@")[0].removeprefix("<") for one in post_office.mails]
    assert set(posted) == set(mailed) == written
    assert set(world.states()) == {"sent"}
    # What is sent and killed before it is noted comes again, and as what it was.
    bodies: dict[str, set[bytes]] = {}
    for one in hook.posts:
        bodies.setdefault(one.headers["idempotency-key"], set()).add(one.body)
    assert {len(each) for each in bodies.values()} == {1}
    # Each kill can repeat one message of each channel, no more.
    assert len(posted) <= len(written) + 200
    assert len(mailed) <= len(written) + 200
    for told in (posted, mailed):
        first = {name: place for place, name in reversed(list(enumerate(told)))}
        assert all(first[f"{number}-a"] < first[f"{number}-b"] for number in range(count))


def couriers_of(parent: psutil.Process) -> list[psutil.Process]:
    return [child for child in parent.children() if "exporter.bridge.outgoing.courier" in child.cmdline()]


def test_a_courier_that_is_killed_between_sending_and_noting_it_leaves_one_repetition(
    tmp_path: Path, hook: WebhookSink
) -> None:
    world = World(tmp_path, notifications=webhook(hook.url, timeout_seconds=60))
    world.write(message("a" * 32))
    hook.next_answers.append(Answer(delay_seconds=600))

    failures: list[str] = []

    def send() -> None:
        try:
            send_courier(world.configuration, world.store, 60, threading.Event())
        except CourierError as error:
            failures.append(str(error))

    sending = threading.Thread(target=send)
    sending.start()
    hook.wait_posts(1)
    (courier,) = couriers_of(psutil.Process())
    courier.kill()
    sending.join()
    assert failures == ["the courier did not do its work (exit code -9): "]
    assert send_courier(world.configuration, world.store, 60, threading.Event()) == 1
    assert [one.headers["idempotency-key"] for one in hook.posts] == ["a" * 32] * 2
    assert send_courier(world.configuration, world.store, 60, threading.Event()) == 0
    assert world.states() == ["sent"]


def test_a_courier_that_is_to_stop_lets_its_message_arrive_and_begins_no_other(
    tmp_path: Path, hook: WebhookSink
) -> None:
    world = World(tmp_path, notifications=webhook(hook.url))
    world.write(message("a" * 32), message("b" * 32))
    hook.answer = Answer(delay_seconds=1)
    stop = threading.Event()
    sending = threading.Thread(target=send_courier, args=(world.configuration, world.store, 60, stop))
    sending.start()
    hook.wait_posts(1)
    stop.set()
    sending.join()
    assert world.states() == ["sent", "pending"]
    assert len(hook.posts) == 1


# Handlers of a courier


def test_a_handler_that_detaches_itself_ends_with_its_courier(tmp_path: Path) -> None:
    script = tmp_path / "tell.sh"
    script.write_text(f"#!/bin/sh\ncd {tmp_path}\nsetsid sleep 600 >/dev/null 2>&1 </dev/null &\nexit 0\n")
    script.chmod(0o755)
    world = World(tmp_path, notifications={"handlers": [{"name": "tell", "path": str(script)}]})
    world.write(message("a" * 32))
    assert send_courier(world.configuration, world.store, 60, threading.Event()) == 1
    sleepers = [process for process in psutil.process_iter(["cmdline"]) if is_sleeper(process, tmp_path)]
    assert (world.states(), sleepers) == (["sent"], [])


def is_sleeper(process: psutil.Process, directory: Path) -> bool:
    try:
        return process.cwd() == str(directory) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def test_a_handler_sees_no_secret_in_its_courier(tmp_path: Path) -> None:
    script = tmp_path / "look.sh"
    script.write_text(f"#!/bin/sh\ncat /proc/$PPID/cmdline /proc/$PPID/environ /proc/$$/environ > {tmp_path}/seen\n")
    script.chmod(0o755)
    port = free_port()
    document = {
        "notifications": {
            **mail(port, username="robot", password="canary-password"),
            **webhook(f"http://127.0.0.1:{port}/", token="canary-token", hmac_secret="canary-of-the-signature"),
            "handlers": [{"name": "look", "path": str(script)}],
        },
        "alertmanager": {"url": f"http://127.0.0.1:{port}", "token": "canary-alertmanager"},
    }
    world = World(tmp_path, **document)
    world.write(message("a" * 32))
    send_courier(world.configuration, world.store, 60, threading.Event())
    seen = (tmp_path / "seen").read_bytes()
    assert b"exporter.bridge.outgoing.courier" in seen
    assert b"canary" not in seen


# Alertmanager


@pytest.fixture
def alertmanager(hook: WebhookSink, alertmanager_factory: Any) -> Alertmanager:
    made: Alertmanager = alertmanager_factory(to_webhook(hook.url))
    return made


def test_a_problem_that_stands_is_told_anew_and_one_that_is_over_is_not_revived(
    tmp_path: Path, alertmanager: Alertmanager
) -> None:
    world = World(tmp_path, alertmanager={"url": alertmanager.url})
    found = problem(task="remediation")
    with world.store.transaction() as db:
        announcing.raise_problem(db, found, world.settings, CLOCK.now())
    assert world.deliver() == Delivered(sent=1)
    ends = [alert["endsAt"] for alert in alertmanager.alerts()]
    assert len(ends) == 1
    assert world.deliver() == Delivered()
    assert [alert["endsAt"] for alert in alertmanager.alerts()] > ends
    with world.store.transaction() as db:
        announcing.clear_problem(db, "remediation", found.kind, found.subject, world.settings, CLOCK.now(), "mended")
    assert world.deliver() == Delivered(sent=1)
    assert alertmanager.alerts() == []
    assert world.deliver() == Delivered()
    assert alertmanager.alerts() == []


def test_a_problem_that_eased_is_told_anew_as_what_it_is(tmp_path: Path, alertmanager: Alertmanager) -> None:
    world = World(tmp_path, alertmanager={"url": alertmanager.url})
    for severity in (Severity.CRITICAL, Severity.HIGH):
        with world.store.transaction() as db:
            eased = problem(task="remediation", severity=severity)
            announcing.raise_problem(db, eased, world.settings, CLOCK.now())
        world.deliver()
    assert [alert["labels"]["severity"] for alert in alertmanager.alerts()] == ["warning"]


def test_an_alertmanager_that_is_not_told_anew_is_shown_as_down_until_it_is(
    tmp_path: Path, alertmanager: Alertmanager
) -> None:
    world = World(tmp_path, alertmanager={"url": alertmanager.url})

    def up() -> list[tuple[Any, float]]:
        exposition = Exposition(catalogue())
        show(exposition, world.store, world.settings, CLOCK.now())
        return exposition.series(CHANNEL_UP.name)

    with world.store.transaction() as db:
        announcing.raise_problem(db, problem(task="remediation"), world.settings, CLOCK.now())
    assert world.deliver() == Delivered(sent=1)
    alertmanager.stop()
    assert world.deliver() == Delivered()
    assert up() == [({"channel": "alertmanager"}, 0)]
    alertmanager.start()
    assert world.deliver() == Delivered()
    assert up() == [({"channel": "alertmanager"}, 1)]


def test_an_alertmanager_that_is_down_misses_nothing(tmp_path: Path, alertmanager: Alertmanager) -> None:
    world = World(tmp_path, alertmanager={"url": alertmanager.url})
    alertmanager.stop()
    with world.store.transaction() as db:
        announcing.raise_problem(db, problem(task="remediation"), world.settings, CLOCK.now())
    assert world.deliver() == Delivered(failed=1)
    alertmanager.start()
    wait_for(lambda: world.deliver().sent, 60, "it is told once it is back")
    assert len(alertmanager.alerts()) == 1


def test_news_of_what_is_complete_goes_to_webhooks_as_the_guide_has_it(tmp_path: Path, hook: WebhookSink) -> None:
    world = World(tmp_path, notifications=webhook(hook.url))
    told = message(news=News.COMPLETED, event="health", task="health-check", status="HEALTHY", problems=())
    world.write(told)
    world.deliver()
    assert hook.posts[0].document["event"] == "health_check_completed"
