"""The daemon and one-shot runs send what is due; nothing is lost when they stop, are killed, or meet a dead server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from exporter.bridge.outgoing.outbox import post
from exporter.store import Store
from tests.services.exporter_daemon import ExporterDaemon, run_cli, write_config
from tests.services.messages import configured, mail, message, webhook
from tests.services.planted import mixed
from tests.services.smtp_sink import SmtpSink
from tests.services.trial_jobs import TASK, TrialPackage, operator, start, work
from tests.services.wait import wait_for
from tests.services.webhook_sink import Answer, WebhookSink
from tests.stand_ins import TcpServer, silent

Daemons = Callable[..., ExporterDaemon]
BROKEN = (
    "result = Result(status='BAD', findings=(Finding(kind='broken', subject='thing/one',"
    " severity='critical', message='the thing broke', remedy='mend it'),))"
)


def write(daemon: ExporterDaemon, told: dict[str, Any], *identifiers: str) -> None:
    """Put messages into the outbox of a daemon, as another process does."""
    settings = configured(daemon.directory / "writing", {"notifications": told}).settings
    store, now = Store(daemon.base_dir / "data" / "sutazai.db"), datetime.now(UTC)
    with store.transaction() as db:
        for identifier in identifiers:
            post(db, message(identifier, at=now), settings, now)
    store.close()


def couriers(daemon_pid: int) -> list[psutil.Process]:
    return [one for one in psutil.Process(daemon_pid).children() if "exporter.bridge.outgoing.courier" in one.cmdline()]


# The daemon


def test_what_a_run_finds_is_mailed_and_posted_by_the_daemon(
    package: TrialPackage, exporter_daemon: Daemons, hook: WebhookSink, post_office: SmtpSink
) -> None:
    secrets = {"token": "canary-token", "hmac_secret": "canary-of-the-signature"}
    told = {**webhook(hook.url, **secrets), **mail(post_office.port, username="robot", password="canary-password")}
    # The server lets nobody log in: mail must fail, and the webhook work all the same.
    daemon = exporter_daemon(work(BROKEN, notifications=told), environment=package.environment)
    start(daemon)
    document = hook.wait_posts(1)[0].document
    assert document["news"] == "opened"
    assert [one["subject"] for one in document["problems"]] == ["thing/one"]
    daemon.wait_metric("sutazai_notifications_total", {"channel": "webhook", "result": "sent"}, lambda n: n == 1)
    daemon.wait_metric("sutazai_notifications_total", {"channel": "mail", "result": "failed"})
    daemon.wait_metric("sutazai_notification_channel_up", {"channel": "webhook"}, lambda up: up == 1)
    daemon.wait_metric("sutazai_notification_channel_up", {"channel": "mail"}, lambda up: up == 0)
    daemon.wait_log("not sent yet: mail:")
    exposed = daemon.get("/metrics").text + daemon.log()
    process = psutil.Process(daemon.pid)
    assert "canary" not in exposed
    assert "canary" not in " ".join([*process.cmdline(), *process.environ().values()])


def test_the_key_in_a_webhooks_url_is_seen_nowhere(
    package: TrialPackage, exporter_daemon: Daemons, hook: WebhookSink
) -> None:
    key = mixed(24)
    path = f"/services/T01/{key}"
    hook.answer = Answer(500, body=f"no such hook: {path} ({key})".encode())
    told = {**webhook(f"http://127.0.0.1:{hook.port}{path}"), "min_severity": "low"}
    config = work(BROKEN, notifications=told, alertmanager={"deadman_url": f"http://127.0.0.1:9/{key}"})
    daemon = exporter_daemon(config, environment=package.environment)
    start(daemon)
    assert hook.wait_posts(1)[0].path == path
    daemon.wait_log(f"not sent yet: webhook: http://127.0.0.1:{hook.port} answered 500: no such hook: ")
    settings = daemon.get("/api/v1/configuration", headers=operator(daemon, "read")).text
    assert f"http://127.0.0.1:{hook.port}/…" in settings
    here = {"base_dir": daemon.base_dir, "env": package.environment}
    commands = ("config", "show"), ("notify", "pending"), ("notify", "test"), ("doctor", "--only", "webhook")
    shown = [run_cli(*command, "--config.file", str(daemon.config_file), **here) for command in commands]
    assert f"http://127.0.0.1:{hook.port}/…" in shown[0].stdout
    for told_of in shown[1:3]:
        assert f"http://127.0.0.1:{hook.port} answered 500: no such hook: *** (***)" in " ".join(told_of.stdout.split())
    assert f"127.0.0.1:{hook.port} takes connections" in shown[3].stdout
    written = [file.read_text(errors="replace") for file in daemon.base_dir.rglob("*") if file.is_file()]
    process = psutil.Process(daemon.pid)
    exposed = [daemon.get("/metrics").text, daemon.log(), settings, *written, *process.cmdline()]
    assert not [text for text in (*exposed, *(one.stdout + one.stderr for one in shown)) if key in text]


def test_a_message_arrives_once_and_within_seconds_though_runs_go_on(
    package: TrialPackage, exporter_daemon: Daemons, hook: WebhookSink, post_office: SmtpSink
) -> None:
    told = {**webhook(hook.url), **mail(post_office.port)}
    daemon = exporter_daemon(work(BROKEN, notifications=told), environment=package.environment)
    for _ in range(3):
        start(daemon)
    hook.wait_posts(1)
    post_office.wait_mails(1)
    daemon.wait_metric("sutazai_task_runs_total", {"task": TASK, "outcome": "ok"})
    daemon.configure(work("", notifications=told))
    daemon.hangup()
    daemon.wait_log("configuration reloaded")
    start(daemon)
    assert [one.document["news"] for one in hook.wait_posts(2)] == ["opened", "cleared"]
    first, second = (one.message for one in post_office.wait_mails(2))
    assert second["References"] == first["Message-ID"]


def test_a_daemon_that_is_stopped_in_mid_sending_ends_soon_and_its_successor_sends_the_rest(
    package: TrialPackage, exporter_daemon: Daemons, hook: WebhookSink
) -> None:
    hook.answer = Answer(delay_seconds=600)
    told = webhook(hook.url, timeout_seconds=600)
    config = work(notifications=told, runs={"stop_grace_seconds": 1})
    daemon = exporter_daemon(config, environment=package.environment)
    write(daemon, told, "a" * 32, "b" * 32)
    hook.wait_posts(1)
    assert daemon.stop(60) == 0
    hook.answer = Answer()
    daemon.start()
    wait_for(lambda: {one.document["id"] for one in hook.posts} == {"a" * 32, "b" * 32}, 60, "both have arrived")
    daemon.wait_metric("sutazai_notifications_pending", {"channel": "webhook"}, lambda count: count == 0)


def test_with_a_daemon_that_is_killed_its_courier_and_the_handler_end(
    package: TrialPackage, exporter_daemon: Daemons, tmp_path: Path
) -> None:
    script = tmp_path / "hang.sh"
    script.write_text(f"#!/bin/sh\ncd {tmp_path}\ntouch begun\nsetsid sleep 600 &\nsleep 600\n")
    script.chmod(0o755)
    told = {"handlers": [{"name": "hang", "path": str(script)}]}
    daemon = exporter_daemon(work(notifications=told), environment=package.environment)
    write(daemon, told, "a" * 32)
    wait_for((tmp_path / "begun").exists, 60, "the handler runs")
    (courier,) = couriers(daemon.pid)
    family = [courier, *courier.children(recursive=True)]
    assert len(family) >= 3
    daemon.kill()
    wait_for(lambda: [one for one in family if one.is_running() and one.status() != "zombie"] == [], 30, "all end")


def test_a_courier_that_cannot_work_is_told_and_the_daemon_goes_on(
    package: TrialPackage, exporter_daemon: Daemons, hook: WebhookSink
) -> None:
    daemon = exporter_daemon(work(notifications=webhook(hook.url)), environment=package.environment)
    (daemon.base_dir / "data" / "locks" / "courier.lock").mkdir(parents=True)
    write(daemon, webhook(hook.url), "a" * 32)
    daemon.wait_log("cannot be locked: Is a directory; nothing is sent")
    daemon.wait_metric("sutazai_notifications_pending", {"channel": "webhook"}, lambda count: count == 1)
    assert daemon.get("/-/healthy").status_code == 200


# Commands without a daemon


@pytest.fixture
def run(package: TrialPackage, run_cli: Callable[..., Any]) -> Callable[..., Any]:
    def one(code: str, told: dict[str, Any], **options: Any) -> Any:
        return run_cli("run", TASK, config=work(code, notifications=told), env=package.environment, **options)

    return one


def test_a_run_without_a_daemon_sends_before_it_ends(run: Callable[..., Any], hook: WebhookSink) -> None:
    done = run(BROKEN, webhook(hook.url))
    assert (done.returncode, len(hook.posts)) == (0, 1), done.stderr
    run("", webhook(hook.url))
    assert [one.document["news"] for one in hook.posts] == ["opened", "cleared"]


def test_a_run_is_not_held_up_by_a_server_that_hangs_and_keeps_its_exit_code(run: Callable[..., Any]) -> None:
    with TcpServer(silent) as server:
        told = {"run_seconds": 2, **mail(server.port, timeout_seconds=600)}
        done = run(BROKEN.replace("status='BAD'", "status='BAD', verdict=3"), told, timeout_seconds=100)
    assert done.returncode == 3
    assert "not sent yet: mail:" in done.stderr


def test_with_no_time_given_a_run_leaves_messages_to_others(run: Callable[..., Any], hook: WebhookSink) -> None:
    run(BROKEN, {"run_seconds": 0, **webhook(hook.url)})
    assert hook.posts == []
    run("", webhook(hook.url))
    assert [one.document["news"] for one in hook.posts] == ["opened", "cleared"]


def test_beside_a_daemon_a_run_leaves_the_sending_to_it(
    package: TrialPackage, exporter_daemon: Daemons, run_cli: Callable[..., Any], hook: WebhookSink, tmp_path: Path
) -> None:
    # It sends to a hook of its own, so that it is seen who does.
    other = WebhookSink()
    daemon = exporter_daemon(work(notifications=webhook(hook.url)), environment=package.environment)
    config = write_config(tmp_path / "other.yml", work(BROKEN, notifications=webhook(other.url)))
    done = run_cli("run", TASK, "--config.file", str(config), base_dir=daemon.base_dir, env=package.environment)
    assert done.returncode == 0, done.stderr
    hook.wait_posts(1)
    assert other.posts == []
    other.close()


# notify


def notify(run_here: Callable[..., Any], *arguments: str, told: dict[str, Any], **sections: Any) -> Any:
    return run_here("notify", *arguments, config={"notifications": told, **sections})


@pytest.mark.parametrize("arguments", [("--test",), ("test",)])
def test_a_test_goes_through_each_channel_and_says_what_happened(
    run_here: Callable[..., Any],
    hook: WebhookSink,
    post_office: SmtpSink,
    tmp_path: Path,
    arguments: tuple[str, ...],
) -> None:
    script = tmp_path / "tell.sh"
    script.write_text(f'#!/bin/sh\necho "$1 $3" > {tmp_path}/told\n')
    script.chmod(0o755)
    handlers = {"handlers": [{"name": "tell", "path": str(script)}]}
    done = notify(run_here, *arguments, told={**webhook(hook.url), **mail(post_office.port), **handlers})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"mail: sent: 127.0.0.1:{post_office.port} took it for ops@example.org",
        f"webhook: sent: http://127.0.0.1:{hook.port} answered 204",
        f"handler:tell: sent: {script} ended with 0",
    ]
    assert post_office.mails[0].message["Subject"].startswith("[test] ")
    assert hook.posts[0].document["event"] == "test"
    assert (tmp_path / "told").read_text() == "test info\n"


def test_a_test_that_fails_somewhere_says_where_and_what_to_look_at(
    run_here: Callable[..., Any], hook: WebhookSink, tmp_path: Path
) -> None:
    hook.answer = Answer(403, body=b"who are you? canary-token")
    handlers = {"handlers": [{"name": "tell", "path": str(tmp_path / "none.sh")}]}
    done = notify(run_here, "--test", told={**webhook(hook.url, token="canary-token"), **handlers})
    assert done.returncode == 69
    first, second = done.stdout.splitlines()
    assert first == (
        f"webhook: NOT SENT: http://127.0.0.1:{hook.port} answered 403: who are you? *** → see notifications.webhook"
    )
    assert second.startswith("handler:tell: NOT SENT: ")
    assert second.endswith("No such file or directory; put it there, or take it out → see notifications.handlers")
    assert done.stderr == "sutazai-exporter: not every channel took the test message\n"


def test_a_test_can_be_of_one_channel(run_here: Callable[..., Any], hook: WebhookSink, post_office: SmtpSink) -> None:
    told = {**webhook(hook.url), **mail(post_office.port)}
    assert notify(run_here, "--test", "--channel", "mail", told=told).returncode == 0
    assert (len(post_office.mails), hook.posts) == (1, [])
    unknown = notify(run_here, "test", "--channel", "pigeon", told=told)
    assert unknown.returncode == 64
    assert unknown.stderr == "sutazai-exporter: no channel is called 'pigeon'; there are mail, webhook\n"


def test_without_a_channel_it_is_said_what_to_set(run_here: Callable[..., Any]) -> None:
    done = notify(run_here, "--test", told={})
    assert done.returncode == 78
    assert "no channel is configured; set notifications.mail.host" in done.stderr


def test_notify_alone_and_misplaced_options_are_wrong_usage(run_here: Callable[..., Any]) -> None:
    assert notify(run_here, told={}).returncode == 64
    assert notify(run_here, "--channel", "mail", "dead", told={}).returncode == 64


@pytest.mark.parametrize("command", ["pending", "dead", "retry", "discard"])
def test_a_channel_that_nobody_knows_is_wrong_usage(run_here: Callable[..., Any], command: str) -> None:
    done = notify(run_here, command, "--channel", "pigeon", told=webhook("http://127.0.0.1:9/hook"))
    assert done.returncode == 64
    assert done.stderr == "sutazai-exporter: no channel is called 'pigeon'; there are webhook\n"


def test_dead_letters_of_a_channel_that_was_taken_out_can_be_put_aside(
    run_here: Callable[..., Any], run: Callable[..., Any], hook: WebhookSink
) -> None:
    hook.next_answers.append(Answer(422))
    run(BROKEN, webhook(hook.url))
    done = notify(run_here, "discard", "--channel", "webhook", told={})
    assert done.stdout == "1 message in webhook will be put aside.\n"


def test_dead_letters_are_listed_sent_again_or_put_aside(
    run_here: Callable[..., Any], run: Callable[..., Any], hook: WebhookSink
) -> None:
    told = webhook(hook.url)
    hook.next_answers.append(Answer(422, body=b"unknown host"))
    run(BROKEN, told)
    listed = notify(run_here, "dead", told=told)
    assert "the thing broke" in listed.stdout
    assert "answered 422: unknown host" in listed.stdout
    assert notify(run_here, "pending", told=told).stdout == "Nothing waits to be sent.\n"
    planned = notify(run_here, "retry", "--dry-run", told=told)
    assert planned.stdout == "1 message would be sent again.\n"
    elsewhere = {**told, **mail(25)}
    mailed = notify(run_here, "retry", "--channel", "mail", told=elsewhere)
    assert mailed.stdout == "0 messages in mail will be sent again.\n"
    assert notify(run_here, "retry", told=told).stdout == "1 message will be sent again.\n"
    assert '"state": "pending"' in notify(run_here, "pending", "--json", told=told).stdout
    hook.next_answers.append(Answer(422))
    run(BROKEN, told)
    assert len(hook.posts) == 2
    assert notify(run_here, "discard", "--dry-run", told=told).stdout == "1 message would be put aside.\n"
    assert notify(run_here, "discard", told=told).stdout == "1 message will be put aside.\n"
    assert notify(run_here, "dead", told=told).stdout == "Nothing was given up.\n"
