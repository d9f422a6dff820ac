"""What is due goes out: each channel on a thread of its own, so that one that hangs holds up no other.

A message is sent first and noted as sent then. Whoever is killed in between leaves it to be sent again, with the same
ids: it is never lost, and the other side can know a repetition.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporter.bridge.model import Message
from exporter.bridge.outgoing import breaker
from exporter.bridge.outgoing.channels import ALERTMANAGER, channel_names
from exporter.bridge.outgoing.channels.base import Delayed, Receipt, Refused, one_line
from exporter.bridge.outgoing.channels.build import channel
from exporter.bridge.outgoing.outbox import Entry, Outbox
from exporter.bridge.outgoing.refreshing import refresh_alerts
from exporter.locks import Busy, FileLock
from exporter.redaction import Redactor
from exporter.settings import Settings
from exporter.store import Store, StoreError
from jobs.core.ports import Clock

logger = logging.getLogger(__name__)

LOCK_FILE = Path("data/locks/courier.lock")
"""Below the base directory; whoever delivers holds it."""
MAX_REASON = 500
"""Characters of why a message was not sent."""
_MAX_ENTRIES = 100
_LOOK_SECONDS = 1.0
_LEAST_SECONDS = 1.0
"""With less time left no sending is begun."""


@dataclass(frozen=True)
class Delivered:
    """How many attempts ended how; `busy` says that another process is at it, and nothing was tried."""

    sent: int = 0
    failed: int = 0
    dead: int = 0
    busy: bool = False


@dataclass(frozen=True)
class Attempt:
    """What came of sending a message through a channel at once."""

    channel: str
    worked: bool
    detail: str


def deliver(
    store: Store,
    settings: Settings,
    clock: Clock,
    redactor: Redactor,
    limit_seconds: float,
    stop: threading.Event | None = None,
) -> Delivered:
    """Send what is due, within the limit and until `stop` is set; raise StoreError where it cannot be noted.

    One process at a time does; another one that comes meanwhile does nothing.
    """
    try:
        lock = FileLock(settings.base_dir / LOCK_FILE, f"pid {os.getpid()}")
    except Busy:
        return Delivered(busy=True)
    except OSError as error:
        raise StoreError(f"{error.filename}: cannot be locked: {error.strerror}; nothing is sent") from error
    try:
        return _Delivery(store, settings, clock, redactor, limit_seconds, stop or threading.Event()).run()
    finally:
        lock.release()


def try_channels(
    names: Sequence[str], message: Message, settings: Settings, clock: Clock, redactor: Redactor
) -> list[Attempt]:
    """Send one message through each of these channels at once, past the outbox; say what happened."""
    found: dict[str, Attempt] = {}

    def attempt(name: str) -> None:
        try:
            receipt = channel(name, settings).send(message, clock.now())
            told = f"{receipt.detail}{'; but ' if receipt.doubt else ''}{receipt.doubt}"
            found[name] = Attempt(name, not receipt.doubt, _reason(told, redactor))
        except (Refused, Delayed) as error:
            found[name] = Attempt(name, False, _reason(str(error), redactor))
        except Exception:  # the other channels are tried all the same
            logger.exception("a message could not be made for %s", name)

    _side_by_side(names, attempt)
    return [found.get(name, Attempt(name, False, "it failed in a way that the log tells")) for name in names]


class _Delivery:
    def __init__(
        self,
        store: Store,
        settings: Settings,
        clock: Clock,
        redactor: Redactor,
        limit_seconds: float,
        stop: threading.Event,
    ) -> None:
        self._store, self._settings, self._clock, self._redactor, self._stop = store, settings, clock, redactor, stop
        self._outbox = Outbox(store)
        self._deadline = clock.monotonic() + limit_seconds
        self._count = {"sent": 0, "failed": 0, "dead": 0}
        self._counting = threading.Lock()
        self._resting: set[str] = set()
        self._store_error: StoreError | None = None

    def run(self) -> Delivered:
        """Let each channel work that has something to do, as long as any of them does."""
        working: dict[str, threading.Thread] = {}
        names = self._with_work()
        if ALERTMANAGER in channel_names(self._settings):
            names.add(ALERTMANAGER)
        while True:
            for name in sorted(names - self._resting - working.keys()):
                working[name] = threading.Thread(target=self._work, args=(name,), name=name, daemon=True)
                working[name].start()
            working = {name: thread for name, thread in working.items() if thread.is_alive()}
            if not working:
                break
            next(iter(working.values())).join(_LOOK_SECONDS)
            names = self._with_work()
        if self._store_error:
            raise self._store_error
        return Delivered(self._count["sent"], self._count["failed"], self._count["dead"])

    def _with_work(self) -> set[str]:
        if self._seconds_left() < _LEAST_SECONDS:
            return set()
        return {entry.channel for entry in self._outbox.due(self._clock.now(), _MAX_ENTRIES)}

    def _work(self, name: str) -> None:
        """Send what is due in one channel; where it does not work now, the rest of it waits for another delivery."""
        try:
            while entries := self._outbox.due(self._clock.now(), _MAX_ENTRIES, name):
                for entry in entries:
                    if not self._send(entry):
                        self._resting.add(name)
                        return
            if name == ALERTMANAGER and self._seconds_left() >= _LEAST_SECONDS:
                self._refresh()
        except StoreError as error:
            self._resting.add(name)
            self._store_error = error

    def _refresh(self) -> None:
        """Tell Alertmanager anew of what stands. Whether it takes that is known of the channel as well."""
        try:
            told = refresh_alerts(self._store, self._settings, self._clock.now(), self._seconds_left())
        except (Refused, Delayed) as error:
            self._resting.add(ALERTMANAGER)
            reason = _reason(str(error), self._redactor)
            logger.warning("alerts were not told anew: %s", reason)
            with self._store.transaction() as db:
                breaker.note_failure(db, ALERTMANAGER, self._clock.now().timestamp(), reason, closes=False)
            return
        if told:
            with self._store.transaction() as db:
                breaker.note_recovery(db, ALERTMANAGER)

    def _send(self, entry: Entry) -> bool:
        """Try one message; say whether it makes sense to go on with its channel."""
        left = self._seconds_left()
        if left < _LEAST_SECONDS:
            return False
        try:
            receipt = channel(entry.channel, self._settings, left).send(entry.message, self._clock.now())
        except (Refused, LookupError) as error:
            self._failed(entry, str(error), permanent=True)
            return True
        except Delayed as error:
            self._failed(entry, str(error), retry_after_seconds=error.retry_after_seconds)
            return False
        except Exception as error:  # one message that breaks us must not hold up all others
            logger.exception("a message could not be made for %s", entry.channel)
            self._failed(entry, f"{type(error).__name__}: {error}")
            return False
        self._sent(entry, receipt)
        return True

    def _sent(self, entry: Entry, receipt: Receipt) -> None:
        self._outbox.sent(entry, self._clock.now())
        self._add("sent")
        logger.info("sent: %s: %s", entry.channel, _reason(receipt.detail, self._redactor))
        if receipt.doubt:
            logger.warning("sent, but not to all: %s: %s", entry.channel, _reason(receipt.doubt, self._redactor))

    def _failed(
        self, entry: Entry, reason: str, *, permanent: bool = False, retry_after_seconds: float | None = None
    ) -> None:
        told = _reason(reason, self._redactor)
        dead = self._outbox.failed(
            entry, self._clock.now(), told, permanent, self._settings, retry_after_seconds=retry_after_seconds
        )
        self._add("dead" if dead else "failed")
        logger.warning("%s: %s: %s", "given up" if dead else "not sent yet", entry.channel, told)

    def _seconds_left(self) -> float:
        return 0.0 if self._stop.is_set() else self._deadline - self._clock.monotonic()

    def _add(self, what: str) -> None:
        with self._counting:
            self._count[what] += 1


def _side_by_side(names: Sequence[str], work: Callable[[str], None]) -> None:
    threads = [threading.Thread(target=work, args=(name,), name=name, daemon=True) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _reason(text: str, redactor: Redactor) -> str:
    """Without secrets first and cut then: of one that was cut in two nobody would know the rest."""
    return one_line(redactor.text(text), MAX_REASON)
