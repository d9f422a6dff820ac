"""Messages that the command line sends at once: a mail about one run to an address that was given, and tests."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from exporter.bridge.model import Message, News, Problem
from exporter.bridge.outgoing.problems import RANK
from exporter.bridge.outgoing.telling import Occasion
from exporter.bridge.outgoing.wording import host_name
from exporter.commandline.job_flags import mailing_to
from exporter.config import Configuration
from exporter.failure import EXIT_CONFIG, EXIT_UNAVAILABLE, Failure
from exporter.record import Record
from jobs.core.model import Outcome, Severity
from jobs.core.registry import all_jobs


@dataclass(frozen=True)
class Letter:
    """A mail that may be sent, once it is known what to say; that it can be sent at all is known before the run."""

    address: str
    configuration: Configuration

    @classmethod
    def to(cls, address: str, config_file: Path | None) -> Self:
        """A letter to an address; raise Failure where it is none, or no mail server is configured."""
        configuration = mailing_to(config_file, address)
        if not configuration.settings.notifications.mail.host:
            raise Failure("--email: no mail server is configured; set notifications.mail.host", EXIT_CONFIG)
        return cls(address, configuration)

    def send(self, record: Record, *, dry_run: bool) -> str:
        """Mail what came of a run unless all is well, and say what was done in a line; raise Failure."""
        if record.exit_code == 0 or record.outcome is Outcome.SKIPPED:
            return f"  nothing to mail to {self.address}: {record.error or 'all is well'}"
        if dry_run:
            return f"  would: mail {self.address}"
        from exporter.bridge.outgoing.postman import CourierError, send_at_once

        try:
            (attempt,) = send_at_once(self.configuration, message_of(record), ["mail"])
        except CourierError as error:
            raise Failure(f"--email: {error}", EXIT_UNAVAILABLE) from None
        if not attempt["worked"]:
            raise Failure(f"--email: {self.address}: not sent: {attempt['detail']}", EXIT_UNAVAILABLE)
        return f"  mailed to {self.address}"


def message_of(record: Record) -> Message:
    """What there is to say of a run, with all that it found."""
    result, task = record.result, record.request.task
    event = all_jobs()[task].event
    problems = tuple(
        Problem(**finding.model_dump(), task=task, event=event, mode=record.request.mode, opened=record.started)
        for finding in sorted(result.findings if result else (), key=lambda one: -RANK[one.severity])
    )
    return Occasion.of(record, host_name()).message(
        News.COMPLETED,
        event,
        problems[0].severity if problems else Severity.HIGH,
        f"{task}: {result.summary if result else record.error}",
        problems=problems,
    )


def test_message(now: datetime) -> Message:
    """A message by which a person sees that messages get through."""
    identifier, host = uuid.uuid4().hex, host_name()
    return Message(
        id=identifier,
        thread=identifier,
        news=News.TEST,
        event="test",
        severity=Severity.INFO,
        at=now,
        host=host,
        task="notify",
        summary=f"This is a test of sutazai-exporter on {host}; nothing is wrong.",
    )
