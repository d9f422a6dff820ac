"""The attempts of a remediation: when one may begin, and what came of it."""

from __future__ import annotations

from exporter.bridge.model import RemediationState
from exporter.bridge.remediation import remediations, remedies
from exporter.bridge.remediation.audit import Book, recorded
from exporter.bridge.remediation.desk import FAILED, Desk
from exporter.bridge.remediation.remediations import Entry
from exporter.bridge.remediation.settings import Remediation

_NOT_BEGUN = (RemediationState.WAITING, RemediationState.DUE)
_BEGUN = (RemediationState.RUNNING, RemediationState.VERIFYING)


def close(desk: Desk, number: int) -> None:
    """End a remediation of which nothing runs, if its alert has ended or nobody answered for too long.

    Raise StoreError.
    """
    with recorded(desk.store) as book:
        entry = remediations.read(book.db, number)
        if entry is None or entry.state not in _NOT_BEGUN:
            return
        if entry.ended is not None:
            _resolve(desk, book, entry)
        elif entry.state is RemediationState.WAITING and is_past(desk, entry):
            hours = desk.settings.remediation.approval_hours
            desk.move(book, entry, RemediationState.EXPIRED, "expired", f"nobody answered within {hours:g} h")


def begin(desk: Desk, number: int) -> tuple[Entry, Remediation] | None:
    """Enter an attempt as begun, if it is due and nothing speaks against it, and return what is to be done.

    Else let it wait, or end it, and return None. Raise StoreError.
    """
    with recorded(desk.store) as book:
        entry = remediations.read(book.db, number)
        if entry is None or entry.state is not RemediationState.DUE or not is_past(desk, entry):
            return None
        rule = desk.rule(entry.rule)
        objection = remedies.objection(rule, entry.task, desk.settings)
        if entry.ended is not None:
            _resolve(desk, book, entry)
        elif objection or rule is None:
            desk.move(book, entry, RemediationState.REFUSED, "refused", objection)
        elif hold := remedies.hold(remediations.past(book.db, entry, desk.now), desk.settings.remediation, desk.now):
            reason = f"waits until {hold.until:%Y-%m-%d %H:%M:%S}: {hold.reason}"
            desk.move(book, entry, RemediationState.DUE, "postponed", reason, due=hold.until)
        else:
            return _begin(desk, book, entry, rule), rule
        return None


def _begin(desk: Desk, book: Book, entry: Entry, rule: Remediation) -> Entry:
    remediations.spend(book.db, entry, desk.now)
    number = entry.attempts + 1
    plan = f"attempt {number}: {remedies.plan_of(rule, entry.target)}"
    desk.move(book, entry, RemediationState.RUNNING, "begun", plan, attempts=number)
    return remediations.read(book.db, entry.id) or entry


def look(desk: Desk, number: int, what: str, detail: str) -> None:
    """Let a remediation be verified: its steps are `done`, or it was `interrupted`. Raise StoreError."""
    with recorded(desk.store) as book:
        entry = remediations.read(book.db, number)
        if entry and entry.state in _BEGUN:
            desk.move(book, entry, RemediationState.VERIFYING, what, detail)


def conclude(desk: Desk, number: int, doubt: str) -> None:
    """End an attempt: it is verified unless there is a `doubt`; then another one follows, or a person is called.

    Raise StoreError.
    """
    with recorded(desk.store) as book:
        entry = remediations.read(book.db, number)
        if entry is None or entry.state not in _BEGUN:
            return
        if doubt:
            _not_verified(desk, book, entry, doubt)
            return
        detail = f"a new look shows that all is well (attempt {entry.attempts})"
        desk.move(book, entry, RemediationState.VERIFIED, "verified", detail)
        desk.clear(book.db, FAILED, remedies.subject_of(entry.task, entry.target), "a remediation was verified")


def _not_verified(desk: Desk, book: Book, entry: Entry, doubt: str) -> None:
    settings, what = desk.settings.remediation, "not verified"
    if entry.ended is not None:
        detail = f"the alert ended, though attempt {entry.attempts} was not verified: {doubt}"
        desk.move(book, entry, RemediationState.RESOLVED, what, detail)
    elif entry.attempts < settings.max_attempts and desk.rule(entry.rule):
        due = remedies.next_attempt(entry.attempts, settings, desk.now)
        detail = f"attempt {entry.attempts}: {doubt}; again at {due:%Y-%m-%d %H:%M:%S}"
        desk.move(book, entry, RemediationState.DUE, what, detail, due=due)
    else:
        detail = f"given up after {entry.attempts} attempts: {doubt}"
        desk.move(book, entry, RemediationState.FAILED, what, detail)
        desk.call(book.db, entry, doubt)


def _resolve(desk: Desk, book: Book, entry: Entry) -> None:
    when = f"after attempt {entry.attempts} was not verified" if entry.attempts else "before anything was done"
    desk.move(book, entry, RemediationState.RESOLVED, "alert ended", when)


def is_past(desk: Desk, entry: Entry) -> bool:
    """Whether the time of a remediation has come."""
    return entry.due is not None and entry.due <= desk.now.timestamp()
