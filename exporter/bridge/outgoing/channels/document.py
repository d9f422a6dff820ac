"""A message as JSON, the same for webhooks and handlers; the first three fields are the guide's."""

from __future__ import annotations

from typing import Any

from exporter.bridge.model import Message, News, Problem

VERSION = 1
"""Grows when a field changes its meaning or goes; a new field does not count."""
_PROBLEM_NEWS = {News.OPENED: "opened", News.WORSE: "worse", News.REMINDER: "reminder", News.CLEARED: "cleared"}


def event_name(message: Message) -> str:
    """What has happened, in one word: `health_check_completed`, `health_problem_opened`, `test`."""
    if message.news is News.TEST:
        return "test"
    if message.news is News.COMPLETED:
        return f"{message.task.replace('-', '_')}_completed"
    return f"{message.event}_problem_{_PROBLEM_NEWS[message.news]}"


def document(message: Message) -> dict[str, Any]:
    """The message as it is sent; see docs/notification-channels.md."""
    return {
        "event": event_name(message),
        "status": message.status,
        "timestamp": message.at.isoformat(timespec="seconds"),
        "version": VERSION,
        "id": message.id,
        "thread": message.thread,
        "news": message.news,
        "type": message.event,
        "severity": message.severity,
        "host": message.host,
        "task": message.task,
        "summary": message.summary,
        "duration_seconds": message.duration_seconds,
        "report": message.report,
        "problems": [_problem(problem) for problem in message.problems],
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {**problem.model_dump(mode="json"), "opened": problem.opened.isoformat(timespec="seconds")}
