"""A webhook's other side: it keeps what is posted, and answers as a test tells it to."""

from __future__ import annotations

import json
import ssl
import threading
from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.services.http_agent import HttpServer, read_body, reply
from tests.services.wait import wait_for


@dataclass(frozen=True)
class Post:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @cached_property
    def document(self) -> Any:
        """Its JSON; whoever waits for a post looks into all of them again and again."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What it answers: `status` with `headers` and `body`, after `delay_seconds`."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_seconds: float = 0.0


class WebhookSink:
    """A sink that is running. `answer` is what it says; `next_answers` come before that, one after another."""

    def __init__(
        self, answer: Answer | None = None, port: int | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.answer = answer or Answer()
        self.next_answers: deque[Answer] = deque()
        self.posts: list[Post] = []
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._server = HttpServer(self._take, port, tls=tls)
        self.port, self.url = self._server.port, f"{self._server.url}/hook"

    def close(self) -> None:
        """Stop listening: from now on connections are refused."""
        self._closing.set()
        self._server.close()

    def wait_posts(self, count: int, timeout_seconds: float = 30) -> list[Post]:
        """Wait until so many requests came."""
        wait_for(lambda: len(self.posts) >= count, timeout_seconds, f"{count} posts came (here: {len(self.posts)})")
        return list(self.posts)

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        post = Post(request.path, {name.lower(): value for name, value in request.headers.items()}, read_body(request))
        with self._lock:
            self.posts.append(post)
            answer = self.next_answers.popleft() if self.next_answers else self.answer
        self._closing.wait(answer.delay_seconds)
        reply(request, answer.status, answer.body, answer.headers)
