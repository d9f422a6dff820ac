"""What a process of ours says, and what it prints: two pipes, read as they fill and no further than is good."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable
from typing import Self

MAX_ANSWER_BYTES = 64 << 20
"""An answer longer than this is not read further and the run fails."""
OUTPUT_TAIL_BYTES = 16 << 10
"""Of what a run prints outside its answer, so much is kept."""


class Reader:
    """Reads both pipes as they fill: whole lines go to `on_line`, the rest of the output leaves only its tail."""

    def __init__(self, answers: int, output: int, on_line: Callable[[bytes], None]) -> None:
        self._on_line = on_line
        self._line, self._tail = bytearray(), bytearray()
        self._answer_bytes = 0
        self.too_long = False
        self._selector = selectors.DefaultSelector()
        for descriptor, take in ((answers, self._take_answer), (output, self._take_output)):
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ, take)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def watch(self, descriptor: int) -> None:
        """Return from `read` as well when this descriptor is ready."""
        self._selector.register(descriptor, selectors.EVENT_READ, None)

    def unwatch(self, descriptor: int) -> None:
        """Forget a watched descriptor."""
        self._selector.unregister(descriptor)

    def read(self, timeout_seconds: float) -> bool:
        """Take what is there within the time; say whether there was anything."""
        took = False
        for key, _ in self._selector.select(timeout_seconds):
            if key.data is None:
                continue
            try:
                chunk = os.read(int(key.fd), 1 << 16)
            except BlockingIOError:
                continue
            if chunk:
                key.data(chunk)
                took = True
            else:
                self._selector.unregister(key.fd)
        return took

    def drain(self) -> None:
        """Take what is still in the pipes, without waiting for descendants that hold them open."""
        for _ in range(64):
            if not self.read(0):
                break

    def tail(self) -> str:
        """The end of what was printed."""
        return self._tail.decode(errors="replace").strip()

    def _take_output(self, chunk: bytes) -> None:
        self._tail += chunk
        del self._tail[:-OUTPUT_TAIL_BYTES]

    def _take_answer(self, chunk: bytes) -> None:
        self._answer_bytes += len(chunk)
        if self._answer_bytes > MAX_ANSWER_BYTES:
            self.too_long = True
            return
        self._line += chunk
        if b"\n" in chunk:
            *lines, self._line = self._line.split(b"\n")
            for line in lines:
                self._on_line(bytes(line))
