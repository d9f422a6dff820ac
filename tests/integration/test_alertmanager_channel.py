"""Problems as alerts of a real Alertmanager: they fire, stay, get worse, and resolve for good."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.alertmanager.settings import AlertmanagerSettings
from exporter.bridge.model import News
from exporter.bridge.outgoing.channels.alertmanager import LIFE, AlertmanagerChannel, alert_name, alerts_of
from exporter.bridge.outgoing.channels.base import Delayed, Refused
from jobs.core.model import Severity
from tests.services.alertmanager import Alertmanager, to_webhook
from tests.services.messages import message, problem
from tests.services.wait import wait_for
from tests.services.webhook_sink import Answer, WebhookSink

RULES = Path(__file__).resolve().parents[2] / "alert_rules"
NAME = "SutazaiAgentQuarantined"


def moment() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def alertmanager(hook: WebhookSink, alertmanager_factory: Callable[..., Alertmanager]) -> Alertmanager:
    return alertmanager_factory(to_webhook(hook.url))


@pytest.fixture
def channel(alertmanager: Alertmanager) -> AlertmanagerChannel:
    return AlertmanagerChannel(AlertmanagerSettings(url=alertmanager.url), 10)


def told_of(hook: WebhookSink, status: str, **labels: str) -> list[Any]:
    """The alerts of that status and with these labels that Alertmanager has passed on."""
    alerts = [alert for post in hook.posts for alert in post.document["alerts"]]
    return [one for one in alerts if one["status"] == status and labels.items() <= one["labels"].items()]


def test_a_problem_is_an_alert_from_when_it_was_found_until_it_is_gone(
    channel: AlertmanagerChannel, alertmanager: Alertmanager, hook: WebhookSink
) -> None:
    found = problem(opened=moment() - timedelta(minutes=3))
    channel.send(message(at=moment(), problems=(found,)), moment())
    (alert,) = alertmanager.alerts()
    assert alert["labels"] == {
        "alertname": NAME,
        "task": "agent-monitor",
        "kind": "quarantined",
        "subject": "agent/orchestrator",
        "severity": "critical",
        "instance": "host1",
        "source": "sutazai-exporter",
    }
    assert alert["annotations"] == {
        "summary": "agent/orchestrator: restarted 3 times within an hour",
        "description": "restarted 3 times within an hour",
        "remedy": "see its log",
    }
    assert abs(datetime.fromisoformat(alert["startsAt"]) - found.opened) < timedelta(seconds=1)
    wait_for(lambda: told_of(hook, "firing", alertname=NAME), 30, "it is passed on as firing")
    channel.send(message("b" * 32, news=News.CLEARED, at=moment(), problems=(found,)), moment())
    assert alertmanager.alerts() == []
    wait_for(lambda: told_of(hook, "resolved", alertname=NAME), 30, "it is passed on as resolved")
    assert {alert["labels"]["severity"] for alert in told_of(hook, "resolved")} == {"critical"}


def test_a_problem_that_gets_worse_is_one_alert_and_not_two(
    channel: AlertmanagerChannel, alertmanager: Alertmanager
) -> None:
    before, after = (problem(severity=each, opened=moment()) for each in (Severity.HIGH, Severity.CRITICAL))
    channel.send(message(at=moment(), problems=(before,)), moment())
    assert [alert["labels"]["severity"] for alert in alertmanager.alerts()] == ["warning"]
    channel.send(message("b" * 32, news=News.WORSE, at=moment(), problems=(after,)), moment())
    assert [alert["labels"]["severity"] for alert in alertmanager.alerts()] == ["critical"]
    channel.send(message("c" * 32, news=News.CLEARED, at=moment(), problems=(after,)), moment())
    assert alertmanager.alerts() == []


def test_a_problem_that_eased_is_a_warning_and_no_longer_critical(
    channel: AlertmanagerChannel, alertmanager: Alertmanager
) -> None:
    channel.send(message(at=moment(), problems=(problem(opened=moment()),)), moment())
    channel.refresh([(problem(severity=Severity.HIGH, opened=moment()), True)], "host1", moment())
    assert [alert["labels"]["severity"] for alert in alertmanager.alerts()] == ["warning"]


def test_what_stands_is_kept_alive_by_telling_it_anew(channel: AlertmanagerChannel, alertmanager: Alertmanager) -> None:
    stands = problem(opened=moment() - timedelta(hours=5))
    channel.send(message(at=moment() - LIFE + timedelta(minutes=1), problems=(stands,)), moment())
    assert datetime.fromisoformat(alertmanager.alerts()[0]["endsAt"]) < moment() + timedelta(minutes=2)
    channel.refresh([(stands, True)], "host1", moment())
    (alert,) = alertmanager.alerts()
    assert datetime.fromisoformat(alert["endsAt"]) > moment() + LIFE - timedelta(minutes=1)


def test_a_message_that_comes_late_lets_nothing_stand_that_is_over(
    channel: AlertmanagerChannel, alertmanager: Alertmanager
) -> None:
    channel.send(message("b" * 32, news=News.CLEARED, at=moment(), problems=(problem(opened=moment()),)), moment())
    early = moment() - timedelta(hours=1)
    channel.send(message(at=early, problems=(problem(opened=early),)), moment())
    assert alertmanager.alerts() == []


def test_a_clock_that_was_set_back_is_no_reason_to_refuse(
    channel: AlertmanagerChannel, alertmanager: Alertmanager
) -> None:
    ahead = problem(opened=moment() + timedelta(hours=2))
    channel.send(message(at=moment(), problems=(ahead,)), moment())
    assert len(alertmanager.alerts()) == 1
    channel.send(message("b" * 32, news=News.CLEARED, at=moment(), problems=(ahead,)), moment())
    assert alertmanager.alerts() == []


def test_more_problems_than_go_into_one_request_all_arrive(
    channel: AlertmanagerChannel, alertmanager: Alertmanager
) -> None:
    many = [(problem(subject=f"agent/{number}", opened=moment()), True) for number in range(1100)]
    channel.refresh(many, "host1", moment())
    assert len(alertmanager.alerts(NAME)) == 1100


def test_a_test_is_an_alert_that_ends_by_itself_and_a_complete_run_is_none(
    channel: AlertmanagerChannel, alertmanager: Alertmanager
) -> None:
    channel.send(message(news=News.COMPLETED, at=moment(), problems=()), moment())
    assert alertmanager.alerts() == []
    channel.send(message(news=News.TEST, at=moment(), problems=(), summary="a test"), moment())
    (alert,) = alertmanager.alerts("SutazaiTest")
    assert datetime.fromisoformat(alert["endsAt"]) < moment() + timedelta(minutes=2)


def test_hostile_texts_are_labels_and_nothing_else(channel: AlertmanagerChannel, alertmanager: Alertmanager) -> None:
    evil = 'x"} or {a="\r\n\u202e' + "y" * 10_000
    channel.send(message(at=moment(), problems=(problem(subject=evil, message=evil, kind=evil),)), moment())
    (alert,) = alertmanager.alerts()
    assert len(alert["labels"]["subject"]) == 256
    assert re.fullmatch(r"Sutazai[A-Za-z0-9]{1,100}", alert["labels"]["alertname"])


@pytest.mark.parametrize(("status", "expected"), [(400, Refused), (503, Delayed)])
def test_what_it_does_not_take_is_told(hook: WebhookSink, status: int, expected: type[Exception]) -> None:
    hook.answer = Answer(status, body=b'"start time must be before end time"')
    channel = AlertmanagerChannel(AlertmanagerSettings(url=f"http://127.0.0.1:{hook.port}/am/"), 10)
    with pytest.raises(expected, match="start time must be before end time"):
        channel.send(message(at=moment()), moment())
    assert hook.posts[0].path == "/am/api/v2/alerts"


@pytest.mark.parametrize("news", [News.OPENED, News.WORSE, News.REMINDER])
def test_severities_are_those_of_the_rules(news: News) -> None:
    for severity in Severity:
        told = message(news=news, problems=(problem(severity=severity),))
        firing = [alert for alert in alerts_of(told, told.at) if alert["endsAt"] > told.at.isoformat()]
        wanted = "critical" if severity is Severity.CRITICAL else "warning"
        assert [alert["labels"]["severity"] for alert in firing] == [wanted]


def test_no_bundled_rule_has_the_name_of_such_an_alert() -> None:
    groups = [group for file in RULES.glob("*.rules.yml") for group in yaml.safe_load(file.read_text())["groups"]]
    names = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert len(names) > 20
    assert [name for name in names if name.startswith("Sutazai")] == []


def test_names_are_made_of_the_sort_and_the_kind() -> None:
    assert alert_name(problem()) == NAME
    assert alert_name(problem(event="health", kind="oom_killed")) == "SutazaiHealthOomKilled"
    assert alert_name(problem(event="task", kind="ä-b c")) == "SutazaiTaskBC"
