"""The process that sends, `python -m exporter.bridge.outgoing.courier`, which loads what the daemon must not.

It gets its order as a JSON line on standard input, with the configuration in it, whose secrets are so neither in its
arguments nor in its environment; and answers in JSON lines on the descriptor named by its only argument.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from exporter.bridge.model import Message
from exporter.bridge.outgoing.delivery import deliver, try_channels
from exporter.clock import SystemClock
from exporter.config import Configuration
from exporter.processes.inside import Answers, limit_self, read_order
from exporter.processes.marks import RUN_ID_VARIABLE, kill_marked
from exporter.redaction import Redactor
from exporter.settings import settings_model
from exporter.store import Store, StoreError

MAX_MEMORY_MB = 1024
"""A server that answers without end costs no more than this."""


def main(answer_descriptor: int) -> NoReturn:
    """Do what is ordered and exit: 0 after an answer was sent, whatever it says."""
    stop = threading.Event()
    _stop_on_sigterm(stop)
    answers = Answers(answer_descriptor)
    order = read_order(_end_handlers)
    try:
        limit_self(MAX_MEMORY_MB)
        configuration = _configuration(order["document"])
        redactor = Redactor(configuration.secrets)
        _log_to_parent(answers, redactor)
        _obey(order, configuration, redactor, answers, stop)
    except StoreError as error:
        answers.send("error", str(error))
    # A thread may hang in a look-up or with a server that was given up; nothing waits for it.
    os._exit(0)


def _obey(
    order: Mapping[str, Any], configuration: Configuration, redactor: Redactor, answers: Answers, stop: threading.Event
) -> None:
    settings, clock = configuration.settings, SystemClock()
    if "test" in order:
        message = Message.model_validate(order["test"])
        for attempt in try_channels(order["channels"], message, settings, clock, redactor):
            answers.send("attempt", asdict(attempt))
        return
    delivered = deliver(Store(Path(order["store"])), settings, clock, redactor, order["limit_seconds"], stop)
    answers.send("delivered", asdict(delivered))


def _configuration(document: Mapping[str, Any]) -> Configuration:
    settings = settings_model().model_validate_json(json.dumps(document), strict=True)
    return Configuration(settings, document)


def _stop_on_sigterm(stop: threading.Event) -> None:
    """Told to end, begin no other message; the one that is on its way may arrive."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)


def _end_handlers() -> None:
    """End the handlers that are running, which have process groups of their own."""
    kill_marked(f"{RUN_ID_VARIABLE}={os.environ[RUN_ID_VARIABLE]}", os.getpid())


def _log_to_parent(answers: Answers, redactor: Redactor) -> None:
    class ToParent(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = redactor.text(self.format(record))
            answers.send("log", {"level": record.levelname.lower(), "message": " ".join(text.split())})

    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[ToParent()])


if __name__ == "__main__":
    main(int(sys.argv[1]))
