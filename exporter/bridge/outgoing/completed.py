"""Who hears that a run has ended, whatever it found."""

from __future__ import annotations

from exporter.bridge.outgoing.channels import HANDLER_PREFIX, WEBHOOK
from exporter.bridge.outgoing.problems import ASKED_FOR
from exporter.plan import schedule_of
from exporter.record import Record
from exporter.settings import Settings
from jobs.core.model import Outcome
from jobs.core.registry import all_jobs


def completed_channels(record: Record, settings: Settings) -> tuple[str, ...]:
    """The channels that hear of this run's end: the webhook and handlers, as each is told to."""
    if record.outcome in (Outcome.STOPPED, Outcome.SKIPPED) or record.request.task not in all_jobs():
        return ()
    told = settings.notifications
    wishes = {WEBHOOK: told.webhook.completed} if told.webhook.url else {}
    wishes |= {HANDLER_PREFIX + handler.name: handler.completed for handler in told.handlers}
    rare = _is_rare(record, settings)
    return tuple(name for name, wish in wishes.items() if wish == "all" or (wish == "calendar" and rare))


def _is_rare(record: Record, settings: Settings) -> bool:
    """Whether a person asked for it, or it is of a mode that does not run every few minutes."""
    task = record.request.task
    default = all_jobs()[task].modes[0]
    frequent = {cadence.mode or default for cadence in schedule_of(settings, task) if cadence.minutes is not None}
    return record.request.trigger in ASKED_FOR or record.request.mode not in frequent
