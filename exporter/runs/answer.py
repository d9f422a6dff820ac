"""What a run says while it is under way, and what its end makes of it: whether it worked, and if not, why."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from exporter.processes.process import End, Exit
from exporter.processes.reader import MAX_ANSWER_BYTES
from exporter.redaction import Redactor
from exporter.runs.stopping import Stop
from jobs.core.model import Outcome, Request, Result

logger = logging.getLogger(__name__)
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_MAX_LOG_LINES = 10_000
_MAX_LAST_WORDS = 500


@dataclass
class Watcher:
    """Who is told about a run while it is under way; each is optional."""

    started: Callable[[Request, datetime], None] = lambda request, at: None
    progress: Callable[[Request, int, int, str], None] = lambda request, done, total, message: None
    under_way: Callable[[], None] = lambda: None
    """Its process has begun: what is done here is done beside it."""


@dataclass
class Answer:
    """What a run has said so far."""

    redactor: Redactor
    request: Request
    watcher: Watcher
    result: Result | None = None
    error: str = ""
    log_lines: list[str] = field(default_factory=list)

    def line(self, line: bytes) -> None:
        """Take one line of the answer; one that is not ours is a fault of the run."""
        try:
            ((kind, content),) = self.redactor.document(json.loads(line)).items()
            self._take(kind, content)
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
            reason = "does not fit" if isinstance(error, ValidationError) else error
            self.error = self.error or f"the run answered nonsense: {reason}"

    def _take(self, kind: str, content: Any) -> None:
        if kind == "progress":
            self.watcher.progress(self.request, content["done"], content["total"], content["message"])
        elif kind == "log":
            level = _LEVELS.get(content["level"], logging.INFO)
            logger.log(level, content["message"], extra={"task": self.request.task})
            if len(self.log_lines) < _MAX_LOG_LINES:
                self.log_lines.append(f"{content['level'].upper():7} {content['message']}")
        elif kind == "result":
            self.result = Result.model_validate(content)
        elif kind == "error":
            self.error = str(content)


def judge(ended: Exit, answer: Answer, limit_seconds: float, pid: int, stop: Stop) -> tuple[Outcome, str]:
    """Whether a run worked, and if not, why."""
    stuck = f"; pid {pid} survived SIGKILL ({ended.stuck})" if ended.stuck else ""
    if ended.end is End.TIMEOUT:
        return Outcome.TIMEOUT, f"not done after {limit_seconds:g} s; killed with all its children{stuck}"
    if ended.end is End.STOPPED:
        return Outcome.STOPPED, f"{stop.reason}{stuck}"
    if ended.end is End.TOO_LONG:
        return Outcome.ERROR, f"answered more than {MAX_ANSWER_BYTES >> 20} MiB; killed{stuck}"
    if answer.error:
        return Outcome.ERROR, answer.error
    if answer.result is not None and ended.code == 0:
        return Outcome.OK, ""
    printed = answer.redactor.text(ended.output_tail).splitlines()
    last = printed[-1][-_MAX_LAST_WORDS:] if printed else "nothing"
    if ended.oom_killed:
        return Outcome.ERROR, "killed by the kernel: out of memory; give the host or the run more"
    if ended.code is not None and ended.code < 0:
        return Outcome.ERROR, f"killed by signal {-ended.code}; it last printed: {last}"
    return Outcome.ERROR, f"ended with exit code {ended.code} and no result; it last printed: {last}"
