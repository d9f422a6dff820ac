"""A client that asks a server over connections it keeps, and says how long each answer took.

`python -m benchmarks.load` is a process of its own: its work is in nobody's figures, and it is the same for both sides.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import httptools
import uvloop

from benchmarks.harness import percentile

_HEADERS = "Host: {host}:{port}\r\nAccept: text/plain\r\nAccept-Encoding: {encoding}\r\nUser-Agent: benchmarks\r\n\r\n"


@dataclass(frozen=True)
class Load:
    """What to ask: `paths` in turn, `requests` in all, over so many connections, resting after each answer."""

    host: str
    port: int
    requests: int
    paths: Sequence[str] = ("/metrics",)
    connections: int = 1
    pause_seconds: float = 0.0
    encoding: str = "gzip"
    expect: str = ""
    """Text that every answer holds."""


@dataclass(frozen=True)
class Answers:
    """How it went. Raised as RuntimeError: an answer that is no 200 or lacks what is expected."""

    wall_seconds: float
    p50_ms: float
    p99_ms: float
    mean_bytes: float


def drive(load: Load) -> Answers:
    """Have a process of its own ask, and wait for it; raise RuntimeError with its last line if it failed."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"], input=json.dumps(asdict(load)), capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(f"{load.host}:{load.port}: {done.stderr.strip().splitlines()[-1]}")
    return Answers(**json.loads(done.stdout))


class _Asker(asyncio.Protocol):
    """One connection: asks, takes the answer, asks again."""

    def __init__(self, load: Load, paths: Sequence[str], done: asyncio.Future[None]) -> None:
        self.load, self.done = load, done
        headers = _HEADERS.format(**asdict(load))
        self.requests = iter([f"GET {path} HTTP/1.1\r\n{headers}".encode() for path in paths])
        self.expected = load.expect.encode()
        self.seconds: list[float] = []
        self.bytes = 0
        self.body = bytearray()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        request = next(self.requests, None)
        if request is None:
            self.transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self.parser = httptools.HttpResponseParser(self)
        self.body.clear()
        self.began = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)
        self.parser.feed_data(data)

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        self.seconds.append(time.perf_counter() - self.began)
        status = self.parser.get_status_code()
        if status != 200 or self.expected not in self.body:
            self.fail(f"answered {status} {bytes(self.body[-200:])!r}")
            return
        loop = asyncio.get_running_loop()
        # Not at once: the parser is still in use by who has called us.
        loop.call_later(self.load.pause_seconds, self.ask) if self.load.pause_seconds else loop.call_soon(self.ask)

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(f"connection lost: {exc}")

    def fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(reason))


async def _ask(load: Load) -> Answers:
    loop = asyncio.get_running_loop()
    paths = [load.paths[i % len(load.paths)] for i in range(load.requests)]
    askers = [_Asker(load, paths[i :: load.connections], loop.create_future()) for i in range(load.connections)]
    began = time.perf_counter()
    for asker in askers:
        await loop.create_connection(lambda asker=asker: asker, load.host, load.port)  # type: ignore[misc]
    await asyncio.gather(*(asker.done for asker in askers))
    wall_seconds = time.perf_counter() - began
    milliseconds = [seconds * 1e3 for asker in askers for seconds in asker.seconds]
    mean_bytes = sum(asker.bytes for asker in askers) / len(milliseconds)
    return Answers(wall_seconds, percentile(milliseconds, 50), percentile(milliseconds, 99), mean_bytes)


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(_ask(Load(**json.load(sys.stdin)))))))
