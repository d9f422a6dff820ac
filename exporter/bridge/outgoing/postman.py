"""The postman sees what is due and sends a courier: a process of its own, watched, and ended with all it started."""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from exporter.bridge.model import Message
from exporter.bridge.outgoing.outbox import Outbox
from exporter.bridge.outgoing.refreshing import REFRESH_SECONDS, stands_anything
from exporter.config import Configuration
from exporter.processes.process import End, OwnProcess
from exporter.redaction import Redactor
from exporter.settings import Settings
from exporter.store import Store, StoreError
from jobs.core.ports import Clock

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
PAUSE_SECONDS = 30.0
"""After a courier that did not do its work, so long no other is sent."""
LEAST_LIMIT_SECONDS = 300.0
"""A courier may take so long at least, or ten times the longest that a channel may take for one message."""
OVERTIME_SECONDS = 15.0
"""What a courier may take beyond its own limit, before it is ended."""
_INSIDE = "exporter.bridge.outgoing.courier"
"""The module that a courier is made of."""
_LEVELS = {"warning": logging.WARNING, "error": logging.ERROR}
_numbers = itertools.count(1)


class CourierError(Exception):
    """A courier did not do its work; the message is one line."""


class Postman:
    """Sends couriers, from a thread of its own, while something is due."""

    def __init__(self, configuration: Callable[[], Configuration], store: Store, clock: Clock) -> None:
        """`configuration` gives the one that is in force."""
        self._configuration = configuration
        self._store = store
        self._clock = clock
        self._next_refresh = self._not_before = clock.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="postman")

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Let a courier that is under way end within the grace of runs, and send no other."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                self._look()
            except (StoreError, CourierError) as error:
                self._pause(str(error))
            except Exception:  # whatever it is, messages must go on being sent
                logger.exception("a courier could not be sent")
                self._pause("")

    def _pause(self, reason: str) -> None:
        if reason:
            logger.error("notifications are not sent: %s", reason)
        self._not_before = self._clock.monotonic() + PAUSE_SECONDS

    def _look(self) -> None:
        moment, configuration = self._clock.monotonic(), self._configuration()
        if moment < self._not_before:
            return
        refresh = moment >= self._next_refresh and stands_anything(self._store, configuration.settings)
        if refresh or _is_due(self._store, self._clock):
            self._next_refresh = moment + REFRESH_SECONDS
            tried = send_courier(configuration, self._store, _limit_seconds(configuration.settings), self._stop)
            if not tried and not refresh:  # another process is at it, or sees what is due in another way than we do
                self._not_before = moment + PAUSE_SECONDS


def send_due(configuration: Configuration, store: Store, clock: Clock, stop: threading.Event) -> None:
    """Send what is due, for a command that ends soon, within `notifications.run_seconds`; nothing is raised.

    What is not sent stays in the outbox for the next one, and the log says why.
    """
    settings = configuration.settings
    limit_seconds = settings.notifications.run_seconds
    try:
        if limit_seconds and (_is_due(store, clock) or stands_anything(store, settings)):
            send_courier(configuration, store, limit_seconds, stop)
    except (StoreError, CourierError) as error:
        logger.error("notifications are not sent: %s", error)


def send_courier(configuration: Configuration, store: Store, limit_seconds: float, stop: threading.Event) -> int:
    """Have a courier send what is due, and log what it says; return how many it tried. Raise CourierError."""
    order = {"document": _document(configuration), "store": str(store.file), "limit_seconds": limit_seconds}
    courier = _Courier(configuration)
    courier.run(order, limit_seconds, stop)
    return courier.tried


def send_at_once(configuration: Configuration, message: Message, channels: Sequence[str]) -> list[Mapping[str, Any]]:
    """Have a courier send a message through these channels, past the outbox; raise CourierError.

    What came of each is as delivery.Attempt has it.
    """
    order = {"document": _document(configuration), "test": message.model_dump(mode="json"), "channels": list(channels)}
    courier = _Courier(configuration)
    courier.run(order, _limit_seconds(configuration.settings), threading.Event())
    return courier.attempts


class _Courier:
    """One courier, as its parent sees it."""

    def __init__(self, configuration: Configuration) -> None:
        self._grace_seconds = configuration.settings.runs.stop_grace_seconds
        self._redactor = Redactor(configuration.secrets)
        self._error = ""
        self.tried = 0
        self.attempts: list[Mapping[str, Any]] = []

    def run(self, order: Mapping[str, Any], limit_seconds: float, stop: threading.Event) -> None:
        try:
            process = OwnProcess(order, f"courier-{next(_numbers)}", _INSIDE)
            ended = process.listen(
                self._hear,
                limit_seconds=limit_seconds + OVERTIME_SECONDS,
                stop=stop,
                stop_grace_seconds=self._grace_seconds,
            )
        except OSError as error:
            raise CourierError(f"no courier could be started: {error.strerror}") from None
        if self._error:
            raise CourierError(self._error)
        if ended.end is not End.STOPPED and (ended.end is not End.BY_ITSELF or ended.code != 0):
            last = self._redactor.text(ended.output_tail).splitlines()[-1:]
            how = ended.end.value if ended.end is not End.BY_ITSELF else f"exit code {ended.code}"
            raise CourierError(f"the courier did not do its work ({how}): {''.join(last)[-300:]}")

    def _hear(self, line: bytes) -> None:
        ((kind, content),) = json.loads(line).items()
        if kind == "log":
            logger.log(_LEVELS.get(content["level"], logging.INFO), content["message"])
        elif kind == "delivered":
            self.tried = content["sent"] + content["failed"] + content["dead"]
        elif kind == "attempt":
            self.attempts.append(content)
        elif kind == "error":
            self._error = str(content)


def _document(configuration: Configuration) -> dict[str, Any]:
    return {**configuration.document, "base_dir": str(configuration.settings.base_dir)}


def _is_due(store: Store, clock: Clock) -> bool:
    due = Outbox(store).next_due()
    return due is not None and due <= clock.now().timestamp()


def _limit_seconds(settings: Settings) -> float:
    told = settings.notifications
    channels = (told.mail.timeout_seconds, told.webhook.timeout_seconds, settings.alertmanager.timeout_seconds)
    longest_seconds = max(*channels, *(handler.timeout_seconds for handler in told.handlers))
    return max(LEAST_LIMIT_SECONDS, 10 * longest_seconds)
