"""What an agent says of itself at `/metrics`: JSON of three figures, or Prometheus's text format.

It is hostile until checked. Only what is needed is taken from the text: totals of requests, of failed requests, and of
the time that they took. Format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MAX_BODY_BYTES = 1 << 20
_MAX_LINE = 4096
_LARGEST = 1e18

# The names that the usual libraries give: prometheus-fastapi-instrumentator, starlette_exporter, OpenTelemetry,
# Micrometer, prometheus_flask_exporter. Of several the first counts, so that no request counts twice.
_DURATIONS = (
    "http_request_duration_highr_seconds", "http_request_duration_seconds", "http_server_request_duration_seconds",
    "http_server_requests_seconds", "starlette_request_duration_seconds", "starlette_requests_duration_seconds",
    "flask_http_request_duration_seconds", "http_requests_duration_seconds", "request_duration_seconds",
    "request_processing_seconds", "agent_request_duration_seconds",
)  # fmt: skip
_REQUESTS = (
    "http_requests_total", "http_server_requests_total", "starlette_requests_total", "flask_http_request_total",
    "http_request_total", "requests_total", "agent_requests_total",
)  # fmt: skip
_ERRORS = ("http_requests_errors_total", "http_errors_total", "request_errors_total", "requests_failed_total",
           "errors_total", "agent_errors_total")  # fmt: skip
_SAMPLE = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?[ \t]+(\S+)(?:[ \t]+\S+)?(?: # .*)?'
)
_STATUS = re.compile(r'[{,]\s*(?:code|status|status_code|http_status_code|http_response_status_code)="(5\d\d|5xx)"')
_WITH_STATUS = re.compile(r'[{,]\s*(?:code|status|status_code|http_status_code|http_response_status_code)="')


@dataclass(frozen=True)
class Own:
    """An agent's own figures. Totals count since it was started; None is what it does not tell.

    `response_seconds` and `error_ratio` are what an agent has reckoned itself.
    """

    requests: float | None = None
    errors: float | None = None
    seconds: float | None = None
    timed_requests: float | None = None
    response_seconds: float | None = None
    error_ratio: float | None = None


class NoFigures(ValueError):
    """The body holds no figures that are understood; the message is one line that says why."""


def parse_own(body: bytes) -> Own:
    """Given what an agent answers, return its figures; raise NoFigures."""
    text = body.decode("utf-8", "replace")
    own = _from_json(text) if text.lstrip()[:1] in ("{", "[") else _from_text(text)
    if own == Own():
        raise NoFigures("it has none of the figures that are known by name")
    return own


def _from_json(text: str) -> Own:
    """`total_requests`, `avg_response_time` in seconds (with `_ms`: in milliseconds), `error_rate`.

    An error rate above 1 is one in percent.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise NoFigures("it is not JSON") from None
    if not isinstance(document, dict):
        raise NoFigures("it is not a JSON object")
    rate, seconds = _number(document, "error_rate"), _number(document, "avg_response_time")
    milliseconds = _number(document, "avg_response_time_ms")
    if rate is not None and rate > 1:
        rate = rate / 100 if rate <= 100 else None
    if seconds is None and milliseconds is not None:
        seconds = milliseconds / 1000
    return Own(requests=_number(document, "total_requests"), response_seconds=seconds, error_ratio=rate)


def _number(document: Mapping[str, Any], name: str) -> float | None:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
        return None  # NaN is not between any two numbers
    return float(value)


def _from_text(text: str) -> Own:
    totals: dict[str, float] = {}
    failed: dict[str, float] = {}
    for name, labels, value in _samples(text):
        totals[name] = totals.get(name, 0.0) + value
        if _WITH_STATUS.search(labels):
            failed[name] = failed.get(name, 0.0) + (value if _STATUS.search(labels) else 0.0)
    timed = next((name for name in _DURATIONS if f"{name}_count" in totals and f"{name}_sum" in totals), None)
    counted = next((name for name in _REQUESTS if name in totals), f"{timed}_count" if timed else "")
    return Own(
        requests=totals.get(counted),
        errors=failed.get(counted, next((totals[name] for name in _ERRORS if name in totals), None)),
        seconds=totals[f"{timed}_sum"] if timed else None,
        timed_requests=totals[f"{timed}_count"] if timed else None,
    )


_WANTED = frozenset((*_REQUESTS, *_ERRORS, *(f"{name}_{end}" for name in _DURATIONS for end in ("sum", "count"))))


def _samples(text: str) -> Iterator[tuple[str, str, float]]:
    """Name, labels and value of each line that is wanted; NaN, infinities and what is below 0 are passed over."""
    for line in text.split("\n"):
        start = line[:128].split("{", 1)[0].split(" ", 1)[0]
        if start not in _WANTED or len(line) > _MAX_LINE or not (match := _SAMPLE.fullmatch(line.rstrip())):
            continue
        try:
            value = float(match[3])
        except ValueError:
            continue
        if math.isfinite(value) and 0 <= value <= _LARGEST:
            yield match[1], match[2] or "", value
