"""People who look on: some ask for the status without a pause, others listen to what happens.

`python -m benchmarks.onlookers` is a process of its own. It ends with its standard input and
says how often it was answered.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Self

import uvloop


class Onlookers:
    """So many of each; while they are there, they look. `answered` is how often the status was, once they are gone."""

    def __init__(self, port: int, askers: int, listeners: int) -> None:
        argv = [sys.executable, "-m", "benchmarks.onlookers", json.dumps([port, askers, listeners])]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answered = 0

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise RuntimeError("the onlookers cannot look")
        return self

    def __exit__(self, *_: object) -> None:
        said, _err = self._process.communicate()
        if self._process.returncode != 0:
            raise RuntimeError("the onlookers were sent away")
        self.answered = int(said)


async def _look(port: int, askers: int, listeners: int) -> int:
    """Look until standard input ends; raise for whoever is refused."""
    loop, counts = asyncio.get_running_loop(), [0] * askers
    seen = [asyncio.Event() for _ in range(askers + listeners)]
    looking = [asyncio.create_task(_ask(port, counts, i, seen[i])) for i in range(askers)]
    looking += [asyncio.create_task(_listen(port, one)) for one in seen[askers:]]
    there = asyncio.create_task(_all(seen))
    await asyncio.wait({there, *looking}, return_when=asyncio.FIRST_COMPLETED)
    print("all look", flush=True)
    before = sum(counts)
    over = loop.run_in_executor(None, sys.stdin.read)
    await asyncio.wait({over, *looking}, return_when=asyncio.FIRST_COMPLETED)
    for one in looking:
        if one.done():
            one.result()
        one.cancel()
    return sum(counts) - before


async def _all(seen: list[asyncio.Event]) -> None:
    for one in seen:
        await one.wait()


async def _ask(port: int, counts: list[int], place: int, seen: asyncio.Event) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    while True:
        writer.write(_request(port, "status"))
        head = await reader.readuntil(b"\r\n\r\n")
        _expect_good(head)
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        counts[place] += 1
        seen.set()


async def _listen(port: int, seen: asyncio.Event) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    writer.write(_request(port, "events"))
    _expect_good(await reader.readuntil(b"\r\n\r\n"))
    while await reader.read(1 << 16):
        seen.set()
    raise RuntimeError("a listener was let go")


def _request(port: int, what: str) -> bytes:
    return f"GET /api/v1/{what} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()


def _expect_good(head: bytes) -> None:
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"answered {head[:80]!r}")


if __name__ == "__main__":
    print(uvloop.run(_look(*json.loads(sys.argv[1]))))
