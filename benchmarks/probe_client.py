"""Our HTTP client in a process of its own: probes all URLs each time it is told to.

`python -m benchmarks.probe_client` reads JSON lines, each a list of URLs, and answers each with the wall and CPU
seconds of one round.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from jobs.clients.http import Ask, HttpClient


@contextmanager
def probe_client() -> Iterator[Callable[[Sequence[str]], tuple[float, float]]]:
    """A function that probes URLs once and returns (wall seconds, CPU seconds) of the round."""
    argv = [sys.executable, "-m", "benchmarks.probe_client"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def probe(urls: Sequence[str]) -> tuple[float, float]:
            stdin.write(json.dumps(urls) + "\n")
            stdin.flush()
            wall, cpu = json.loads(stdout.readline())
            return wall, cpu

        yield probe


def _round(client: HttpClient, urls: Sequence[str]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    replies = client.fetch_all([Ask(url, timeout_seconds=30) for url in urls])
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    for url, reply in zip(urls, replies, strict=True):
        if reply.status != 200:
            raise RuntimeError(f"{url}: {reply.error or reply.status}")
    return seconds


if __name__ == "__main__":
    http = HttpClient()
    for line in sys.stdin:
        print(json.dumps(_round(http, json.loads(line))), flush=True)
