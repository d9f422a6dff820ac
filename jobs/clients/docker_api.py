"""Docker's own client library, with a limit on what one answer may weigh and how long it may take.

The library waits as long as bytes keep coming: an endless answer would fill the memory, a dripping one would
never end. Here an answer is read in pieces, under a cap and a deadline.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import docker
import requests
from urllib3.exceptions import ReadTimeoutError

from jobs.core.containers import clean

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Ten thousand containers with long labels are about 20 MB."""
_PIECE_BYTES = 64 * 1024
_MAX_CAUSES = 50
_EVENT_SECONDS = 2.0
_EVENT_BYTES = 4 * 1024 * 1024

_T = TypeVar("_T")


class Failed(Exception):
    """A call that came to nothing: the engine's status, where it gave one, and one line why."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status

    def caused_by(self, kind: type[Exception]) -> bool:
        """Whether an error of this kind led to it; a time-out of the library counts as TimeoutError."""
        kinds = (kind, requests.Timeout) if kind is TimeoutError else (kind,)
        return any(isinstance(cause, kinds) for cause in _causes(self))


class BoundedAPIClient(docker.APIClient):
    """`docker.APIClient` that goes only where it was sent, and reads only so much."""

    answer_seconds: float = 60.0

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request and read its whole answer, unless it is to be streamed; raise Failed past the limits."""
        kwargs["allow_redirects"] = False
        if kwargs.get("stream"):
            return super().send(request, **kwargs)
        kwargs["stream"] = True
        deadline = time.monotonic() + self.answer_seconds
        response = super().send(request, **kwargs)
        try:
            # Where `requests` keeps a body that was read: the library's own methods find it there.
            response._content = _read(response, deadline)
        except BaseException:
            response.close()
            raise
        return response

    def merge_environment_settings(self, *args: Any, **kwargs: Any) -> Any:
        """As `requests` has it, but without its proxies: an engine is never reached through one by accident."""
        self.trust_env = False
        return super().merge_environment_settings(*args, **kwargs)

    def exec_output(self, exec_id: str, quiet_seconds: float) -> requests.Response:
        """Start what `exec_create` prepared; the answer is its output in frames, to be read and closed by the caller.

        The library's own method asks for a raw socket, and loses what came with the answer's headers.
        """
        url, order = f"{self.base_url}/v{self.api_version}/exec/{exec_id}/start", {"Detach": False, "Tty": False}
        response: requests.Response = self.post(url, json=order, timeout=(self.timeout, quiet_seconds), stream=True)
        if response.status_code != requests.codes.ok:
            raise docker.errors.APIError("the program was refused", response, explanation=response.text[:1000])
        return response

    def events_until(
        self, params: Mapping[str, str], enough: Callable[[list[Any]], bool], quiet_seconds: float
    ) -> list[Any]:
        """What `GET /events` tells, until that is `enough`, nothing came for `quiet_seconds`, or it never stops.

        The library's own method would need the engine's clock to know where the past ends. That a busy engine takes
        its time to begin is no silence.
        """
        url = f"{self.base_url}/v{self.api_version}/events"
        with self.get(url, params=dict(params), timeout=self.timeout, stream=True) as response:
            if response.status_code != requests.codes.ok:
                raise docker.errors.APIError("events were refused", response)
            _limit_silence(self._get_raw_response_socket(response), quiet_seconds)  # type: ignore[attr-defined]
            events: list[Any] = []
            for line in _lines(response, time.monotonic() + _EVENT_SECONDS):
                events.append(json.loads(line))
                if enough(events):
                    break
            return events


def within(seconds: float, call: Callable[[], _T]) -> _T:
    """What `call` returns; raise Failed for whatever the library raises, or after `seconds`.

    A socket's own time-out starts anew with each byte, so what takes too long is left behind. The thread is a
    daemon's: it cannot keep the process, and its reading stops at the limits above.
    """
    answers: queue.SimpleQueue[tuple[_T | None, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put((call(), None))
        except BaseException as error:  # noqa: BLE001 (raised again below, in the caller's thread)
            answers.put((None, error))

    threading.Thread(target=work, name="docker call", daemon=True).start()
    try:
        value, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise Failed("no answer in time") from TimeoutError()
    if error is not None and (told := _told_apart(error)) is not error:
        raise told from error
    if error is not None:
        raise error
    return value  # type: ignore[return-value]  # None only where `call` returned it


def _told_apart(error: BaseException) -> BaseException:
    """What the library raised, as Failed; what is no fault of the connection stays as it is.

    While it asks for the version, the library wraps whatever happens: the causes tell what that was.
    """
    if not isinstance(error, docker.errors.DockerException | requests.RequestException | OSError):
        return error
    causes = _causes(error)
    refused = next((cause for cause in causes if isinstance(cause, docker.errors.APIError)), None)
    if refused is not None:
        return Failed(_reason(refused.explanation or refused), refused.status_code)
    nonsense = next((cause for cause in causes if isinstance(cause, ValueError | TypeError | KeyError)), None)
    return ValueError(_reason(nonsense)) if nonsense is not None else Failed(_reason(error))


def _reason(error: object) -> str:
    return clean(" ".join(str(error).split()), 200)


def _causes(error: BaseException) -> list[BaseException]:
    """An error and everything that led to it; urllib3 hides the cause in the arguments."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(found) < _MAX_CAUSES:
        one = waiting.pop()
        if one is not None and not any(one is other for other in found):
            found.append(one)
            waiting += [one.__cause__, one.__context__, *(a for a in one.args if isinstance(a, BaseException))]
    return found


def _lines(response: requests.Response, deadline: float) -> Iterator[bytes]:
    """The lines of an answer that goes on, until it is quiet for too long, past the deadline, or too much."""
    waiting, size = b"", 0
    try:
        for piece in response.iter_content(_PIECE_BYTES):
            *lines, waiting = (waiting + piece).split(b"\n")
            yield from (line for line in lines if line.strip())
            size += len(piece)
            if size > _EVENT_BYTES or time.monotonic() > deadline:
                return
    except requests.ConnectionError as error:
        # It is so that `requests` says that the read time-out is over.
        if not any(isinstance(cause, ReadTimeoutError) for cause in error.args):
            raise


def _limit_silence(answer: Any, seconds: float) -> None:
    """From here on each piece of an answer must come within so long; of what the library gives only `_sock` can tell
    (over TLS it gives the socket itself)."""
    getattr(answer, "_sock", answer).settimeout(seconds)


def _read(response: requests.Response, deadline: float) -> bytes:
    pieces: list[bytes] = []
    size = 0
    for piece in response.iter_content(_PIECE_BYTES):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            raise Failed(f"the answer does not end ({MAX_ANSWER_BYTES // 2**20} MiB read)")
        if time.monotonic() > deadline:
            raise Failed("the answer does not end")
    return b"".join(pieces)
