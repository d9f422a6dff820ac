"""What an alert that came in brings about, and what people answer to the questions of that."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from datetime import datetime, timedelta

from pydantic import ValidationError

from exporter.bridge.model import Alert, AlertStatus, RemediationMode, RemediationState
from exporter.bridge.remediation import remediations, remedies
from exporter.bridge.remediation.audit import Book, recorded
from exporter.bridge.remediation.bundled import rules_of
from exporter.bridge.remediation.desk import Desk
from exporter.bridge.remediation.remediations import Entry
from exporter.bridge.remediation.settings import Remediation

Place = tuple[str, str]
"""A task and a target (empty: the task as a whole), in which one remediation at a time is open."""
_OPENS = (RemediationState.WAITING, RemediationState.DUE)


class Unknown(ValueError):
    """There is no such remediation; the message is one line."""


class NotWaiting(ValueError):
    """The remediation does not wait for an answer; the message is one line."""


def take_in(desk: Desk, alert_id: int, known: Collection[str]) -> Place | None:
    """Decide, once, what an alert brings about that nobody has dealt with; `known` are the agents there are.

    While another remediation of the same place is open nothing is decided, the alert stays as it is, and the place is
    returned. Raise StoreError.
    """
    with recorded(desk.store) as book:
        alert = _undecided(book.db, alert_id)
        rule = alert and remedies.rule_for(alert, rules_of(desk.settings))
        place = _decide(desk, book, (alert_id, alert), rule, known) if alert and rule else None
        if place is None:
            book.db.execute("UPDATE alerts SET handled = ? WHERE id = ?", (desk.now.timestamp(), alert_id))
        return place


def _undecided(db: sqlite3.Connection, alert_id: int) -> Alert | None:
    """The alert, if it fires and waits for a decision."""
    sql = "SELECT alert FROM alerts WHERE id = ? AND status = ? AND ended IS NULL AND handled IS NULL"
    row = db.execute(sql, (alert_id, AlertStatus.FIRING)).fetchone()
    try:
        return Alert.model_validate_json(row[0]) if row else None
    except ValidationError:
        return None  # of another version, and not to be understood by this one


def _decide(
    desk: Desk, book: Book, numbered: tuple[int, Alert], rule: Remediation, known: Collection[str]
) -> Place | None:
    alert_id, alert = numbered
    if remedies.mode_of(rule, desk.settings.remediation) is RemediationMode.OFF:
        desk.note(book, (alert, rule.name, None), "alert taken in", "off", "remediations of this rule are off")
        return None
    task, target = rule.steps[0].task, ""
    try:
        target = remedies.target_of(rule, alert, known)
        state, due, detail = _outcome(desk, rule, target)
    except remedies.Refused as refused:
        state, due, detail = RemediationState.REFUSED, None, str(refused)
    if state in _OPENS and remediations.is_open(book.db, task, target):
        return task, target
    number = remediations.add(book.db, alert_id, rule.name, task, target, state, desk.now, due, detail)
    desk.note(book, (alert, rule.name, number), "alert taken in", state, detail)
    if state is RemediationState.WAITING:
        desk.ask(book.db, number, alert, rule, target)
    return None


def _outcome(desk: Desk, rule: Remediation, target: str) -> tuple[RemediationState, datetime | None, str]:
    """Where the remediation begins, when it is due (or its question expires), and what is planned; raise Refused."""
    settings, plan = desk.settings.remediation, remedies.plan_of(rule, target)
    if disabled := remedies.disabled(rule, desk.settings):
        raise remedies.Refused(disabled)
    mode = remedies.mode_of(rule, settings)
    if mode is RemediationMode.SHADOW:
        return RemediationState.SHADOW, None, f"would be done: {plan}"
    if mode is RemediationMode.APPROVE:
        return RemediationState.WAITING, desk.now + timedelta(hours=settings.approval_hours), plan
    return RemediationState.DUE, desk.now, plan


def answer(desk: Desk, number: int, *, approved: bool) -> Entry:
    """Approve or reject a remediation that waits, and return it as it then stands.

    One whose alert has ended meanwhile is over. Raise Unknown, NotWaiting or StoreError.
    """
    with recorded(desk.store) as book:
        entry = waiting(remediations.read(book.db, number), number)
        state = RemediationState.DUE if approved else RemediationState.REJECTED
        if entry.ended is not None:
            state = RemediationState.RESOLVED
        word = "approved" if approved else "rejected"
        due = desk.now if state is RemediationState.DUE else None
        desk.move(book, entry, state, word, f"{word} by {desk.who}", due=due)
        return remediations.read(book.db, number) or entry


def waiting(entry: Entry | None, number: int) -> Entry:
    """The remediation, if it waits for an answer; raise Unknown or NotWaiting."""
    if entry is None:
        raise Unknown(f"there is no remediation {number}; `sutazai-exporter remediations list --all` shows them")
    if entry.state is not RemediationState.WAITING:
        raise NotWaiting(f"remediation {number} does not wait for an answer: it is {entry.state}")
    return entry
