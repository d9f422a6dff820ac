"""A program that runs in a container: its output comes through the engine, in pieces, and ends within its time."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Self

from urllib3.exceptions import HTTPError, ReadTimeoutError

from jobs.clients.commands import CHUNK_BYTES, MAX_OUTPUT_BYTES, CommandFailed, last_line
from jobs.clients.errors import ClientError

if TYPE_CHECKING:
    import requests

_STDERR = 2
_HEADER_BYTES = 8
_NOT_RUN = (126, 127)
"""With these the engine says that the program could not be started, and writes why to either stream."""
_END_SECONDS = 10.0


class ContainerProgram:
    """A program in a container, to be read and waited for as `commands.Child`, in a `with`.

    The engine has no way to end it: one that is left behind writes to nobody, which ends most programs.
    """

    def __init__(
        self,
        answer: requests.Response,
        code_of: Callable[[], int | None],
        *,
        where: str,
        timeout_seconds: float,
    ) -> None:
        self._answer, self._code_of, self._where = answer, code_of, where
        self._timeout_seconds = timeout_seconds
        self._deadline = time.monotonic() + timeout_seconds
        self._errors, self._first = bytearray(), b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answer.close()

    def chunks(self, size: int = CHUNK_BYTES) -> Iterator[bytes]:
        """What it prints on standard output, in pieces of up to `size` bytes; raise ClientError past its time.

        The engine sends frames: https://docs.docker.com/reference/api/engine/version/v1.43/#tag/Container/operation/ContainerAttach
        """
        while header := self._read(_HEADER_BYTES, may_end=True):
            left = int.from_bytes(header[4:], "big")
            while left:
                piece = self._read(min(left, size))
                left -= len(piece)
                if header[0] == _STDERR:
                    self._errors += piece
                    del self._errors[:-MAX_OUTPUT_BYTES]
                else:
                    self._first = self._first or piece[:300]
                    yield piece

    def wait(self, *, check: bool = True) -> int:
        """Its exit code, once its output has ended; raise as `commands.Child.wait`."""
        end = min(self._deadline, time.monotonic() + _END_SECONDS)
        while (code := self._code_of()) is None:
            if time.monotonic() > end:
                raise self._late()
            time.sleep(0.05)
        if check and code != 0:
            words = self.stderr() or (self._first.decode(errors="replace") if code in _NOT_RUN else "")
            said = last_line(words)
            raise CommandFailed(f"{self._where}: ended with {code}{': ' if said else ''}{said}", code, words)
        return code

    def stderr(self) -> str:
        """The end of what it has printed on standard error so far."""
        return bytes(self._errors).decode(errors="replace").strip()

    def _late(self) -> CommandFailed:
        return CommandFailed(f"{self._where}: not done after {self._timeout_seconds:g} s", None, self.stderr())

    def _read(self, count: int, *, may_end: bool = False) -> bytes:
        """Exactly so many bytes; none at the end where it `may_end`."""
        if time.monotonic() > self._deadline:
            raise self._late()
        try:
            piece: bytes = self._answer.raw.read(count, decode_content=False)
        except (ReadTimeoutError, TimeoutError):
            raise self._late() from None
        except (HTTPError, http.client.HTTPException, OSError) as error:
            raise ClientError(f"{self._where}: the engine's answer broke off: {last_line(str(error))}") from None
        if len(piece) == count or (may_end and not piece):
            return piece
        raise ClientError(f"{self._where}: the engine's answer broke off")
