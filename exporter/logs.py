"""The log on standard error: one line for each event, as logfmt or JSON, without secrets."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime

from exporter.redaction import Redactor

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class _Formatter(logging.Formatter):
    def __init__(self, style: str, redactor: Redactor) -> None:
        super().__init__()
        self._json = style == "json"
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "ts": datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": self._redactor.text(record.getMessage()),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD:
                fields[name] = self._redactor.text(str(value))
        if record.exc_info:
            fields["trace"] = self._redactor.text(self.formatException(record.exc_info))
        if self._json:
            return json.dumps(fields)
        return " ".join(f"{name}={_logfmt(value)}" for name, value in fields.items())


def _logfmt(value: str) -> str:
    """A value as it is where nothing can be misread, else as a JSON string: no line break gets through."""
    return value if value and value.isprintable() and not set(value) & set(' "=') else json.dumps(value)


def set_up(level: str, style: str, redactor: Redactor) -> None:
    """Send every logger's lines of at least `level` to standard error; may be called again."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(style, redactor))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # What every tick and every connection did is no news, even when looking for faults.
    for noisy in ("schedule", "asyncio", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
