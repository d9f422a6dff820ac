"""A short generation by a model, with the time at which its first token came."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_BODY_BYTES = 1 << 20
"""A chunk for each of sixteen tokens has some hundred bytes, the last one some thousand."""
TOKENS = 16
_PROMPT = "Count from one to twenty in words."
_LEAST_TOKENS = 4
"""Of fewer no speed is told: a model that stops at once would seem slow or fast by chance."""
_NANOSECONDS = 1e9


@dataclass(frozen=True)
class Generation:
    """How a model generated: time to the first token, queueing on a busy server included, and tokens per second.

    `tokens_per_second` is None where the model stopped after too few.
    """

    first_token_seconds: float
    tokens_per_second: float | None
    tokens: int


class NotAsAsked(ValueError):
    """What came is not a finished generation; the message is one line that says why."""


def order(model: str, keep_alive_seconds: int) -> bytes:
    """The body of `POST /api/generate`: the same few tokens every time.

    The server unloads a model `keep_alive` after its last request; -1 is never.
    """
    options = {"num_predict": TOKENS, "temperature": 0, "seed": 1}
    asked = {"model": model, "prompt": _PROMPT, "stream": True, "keep_alive": keep_alive_seconds, "options": options}
    return json.dumps(asked).encode()


class Stopwatch:
    """Is handed the answer piece by piece, and notes when the first and the last token came (monotonic)."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.first: float | None = None
        self.last: float | None = None
        self._waiting = b""

    def piece(self, piece: bytes) -> None:
        """Take a piece of the body. Of a line that is not whole yet only so much is kept as may be one."""
        now = time.perf_counter()
        *lines, self._waiting = (self._waiting + piece).split(b"\n")
        self._waiting = self._waiting[:MAX_BODY_BYTES]
        for line in lines:
            if _has_token(_object(line)):
                self.first, self.last = self.first or now, now

    def generation(self, body: bytes) -> Generation:
        """Given the whole answer, return how it went; raise NotAsAsked."""
        said = list(_objects(body))
        failure = next((str(one["error"]) for one in said if one.get("error")), "")
        if failure:
            raise NotAsAsked(failure)
        if not said or said[-1].get("done") is not True:
            raise NotAsAsked("it ended before it was done")
        if self.first is None or self.last is None:
            raise NotAsAsked("it is done without a token")
        tokens = sum(_has_token(one) for one in said)
        speed = _told_speed(said[-1], self.last - self.began) or _seen_speed(tokens, self.last - self.first)
        return Generation(self.first - self.began, speed, tokens)


def _told_speed(last: dict[str, Any], wall_seconds: float) -> float | None:
    """Tokens per second by the server's own count; None where it tells none that can be true."""
    count, duration = last.get("eval_count"), last.get("eval_duration")
    if not isinstance(count, int) or not isinstance(duration, int) or isinstance(duration, bool):
        return None
    # It cannot have generated more than it was asked for, nor for longer than we have waited.
    if not (_LEAST_TOKENS <= count <= TOKENS and 0 < duration <= wall_seconds * 1.1 * _NANOSECONDS):
        return None
    return count * _NANOSECONDS / duration


def _seen_speed(tokens: int, seconds: float) -> float | None:
    """By what was seen: the tokens after the first, in the time from it to the last."""
    return (tokens - 1) / seconds if tokens >= _LEAST_TOKENS and seconds > 0 else None


def _has_token(one: dict[str, Any]) -> bool:
    """Whether a chunk brings a token; a model that thinks first is at work, too."""
    return any(isinstance(one.get(name), str) and one[name] for name in ("response", "thinking"))


def _objects(body: bytes) -> Iterator[dict[str, Any]]:
    for line in body.split(b"\n"):
        if line.strip():
            one = _object(line)
            if not one:
                raise NotAsAsked("the answer is not JSON, line by line")
            yield one


def _object(line: bytes) -> dict[str, Any]:
    """The object in a line, empty where there is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
