"""Problems as alerts of Alertmanager's own API (POST /api/v2/alerts), which resolves what nobody tells it anew."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from exporter.alertmanager.settings import AlertmanagerSettings
from exporter.bridge.model import Message, News, Problem
from exporter.bridge.outgoing.channels import ALERTMANAGER
from exporter.bridge.outgoing.channels.base import Receipt
from exporter.bridge.outgoing.channels.posting import Target, post
from jobs.core.model import MAX_LABEL, Severity, clean_text

LIFE = timedelta(minutes=15)
"""So long an alert stands if it is not told anew: the daemon does each minute, cron's checks every five."""
TEST_LIFE = timedelta(minutes=1)
SOURCE = "sutazai-exporter"
MAX_ALERTS = 500
"""Alerts in one request."""
CRITICAL, WARNING = "critical", "warning"
"""The severities that rules use."""


class AlertmanagerChannel:
    """The configured Alertmanager."""

    name = ALERTMANAGER

    def __init__(self, settings: AlertmanagerSettings, timeout_seconds: float) -> None:
        self._settings = settings
        self._timeout_seconds = timeout_seconds

    def send(self, message: Message, now: datetime) -> Receipt:
        """Post what a message says of its problems; that a run is complete is no alert. Raise Refused or Delayed."""
        alerts = list(alerts_of(message, now))
        return self._post(alerts, now) if alerts else Receipt("nothing to post: that a run is complete is no alert")

    def refresh(self, problems: Sequence[tuple[Problem, bool]], host: str, now: datetime) -> None:
        """Post problems that stand anew, so that they go on standing there; raise Refused or Delayed.

        Each comes with whether it was told of as critical once: where it no longer is, that alert ends.
        """
        alerts = [alert(problem, host, now, now + LIFE) for problem, _ in problems]
        eased = [problem for problem, was in problems if was and problem.severity is not Severity.CRITICAL]
        self._post([*alerts, *(alert(problem, host, now, now, severity=CRITICAL) for problem in eased)], now)

    def _post(self, alerts: Sequence[dict[str, Any]], now: datetime) -> Receipt:
        settings = self._settings
        url = f"{(settings.url or '').rstrip('/')}/api/v2/alerts"
        target = Target(url, settings.token, settings.ca_file, "alertmanager")
        receipt = Receipt("nothing to post")
        for first in range(0, len(alerts), MAX_ALERTS):
            body = json.dumps(alerts[first : first + MAX_ALERTS]).encode()
            receipt = post(target, body, {}, self._timeout_seconds, now)
        return receipt


def alerts_of(message: Message, now: datetime) -> Iterator[dict[str, Any]]:
    """The alerts that a message is there.

    An alert's labels are its identity, and the severity is one of them: of a problem that became critical the warning
    ends. A message that comes late lets nothing stand again that is over since: its alerts live from its own time on,
    no longer than any. What stands is told anew right after it (bridge.refreshing).
    """
    if message.news is News.TEST:
        yield alert(_test_problem(message), message.host, now, now + TEST_LIFE, name="SutazaiTest")
    if message.news in (News.COMPLETED, News.TEST):
        return
    over = min(message.at, now)
    for problem in message.problems:
        ends = over if message.news is News.CLEARED else message.at + LIFE
        yield alert(problem, message.host, now, ends)
        if message.news is News.WORSE and problem.severity is Severity.CRITICAL:
            yield alert(problem, message.host, now, over, severity=WARNING)


def alert(
    problem: Problem, host: str, now: datetime, ends: datetime, *, severity: str = "", name: str = ""
) -> dict[str, Any]:
    """A problem as an alert, from when it was found to `ends`."""
    labels = {
        "alertname": name or alert_name(problem),
        "task": problem.task,
        "kind": problem.kind,
        "subject": problem.subject,
        "severity": severity or severity_of(problem),
        "instance": host,
        "source": SOURCE,
    }
    return {
        "labels": {label: clean_text(value, MAX_LABEL) for label, value in labels.items()},
        "annotations": {
            "summary": f"{problem.subject}: {problem.message}",
            "description": problem.message,
            "remedy": problem.remedy,
        },
        # A clock that was set back must not have it begin after its end, which Alertmanager refuses.
        "startsAt": min(problem.opened, now, ends).isoformat(),
        "endsAt": ends.isoformat(),
    }


def alert_name(problem: Problem) -> str:
    """`SutazaiAgentQuarantined`: the sort of the problem and what is wrong. No rule's alert is called so."""
    words = re.findall(r"[A-Za-z0-9]+", f"{problem.event} {problem.kind}")
    return "Sutazai" + "".join(word[:1].upper() + word[1:] for word in words)[:100]


def severity_of(problem: Problem) -> str:
    """The severity that a rule would have for it."""
    return CRITICAL if problem.severity is Severity.CRITICAL else WARNING


def _test_problem(message: Message) -> Problem:
    return Problem(
        task=message.task,
        kind="test",
        subject=message.host,
        severity=Severity.LOW,
        message=message.summary,
        event=message.event,
        opened=message.at,
    )
