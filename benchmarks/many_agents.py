"""Many agents in one process: each of its ports answers 200 to everything, and closes.

`python -m benchmarks.many_agents COUNT` prints the ports as JSON once all listen, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvloop

_FIRST, _LAST = 10_500, 19_999
"""Below the ports that the kernel gives out, and those that the tests' services take."""
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"


@contextmanager
def many_agents(count: int) -> Iterator[list[int]]:
    """The ports of `count` agents."""
    argv = [sys.executable, "-m", "benchmarks.many_agents", str(count)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


class _Agent(asyncio.Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self.transport.write(_ANSWER)
            self.transport.close()


async def _serve(count: int) -> None:
    loop, ports = asyncio.get_running_loop(), list[int]()
    for port in range(_FIRST, _LAST):
        if len(ports) == count:
            break
        try:
            await loop.create_server(_Agent, "127.0.0.1", port, backlog=16)
            ports.append(port)
        except OSError:
            continue
    print(json.dumps(ports), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
