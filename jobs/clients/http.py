"""HTTP requests, many side by side, against servers that need not be friendly.

One event loop, one connection for each request and one deadline for the whole exchange. Nothing is followed,
kept or taken from the environment: no redirects, cookies or proxies. What a server may send is bounded.
"""

from __future__ import annotations

import asyncio
import errno
import re
import resource
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from jobs.clients.http_exchange import BadExchange, Exchange, Received
from jobs.clients.names import Names

MAX_CONCURRENT = 512
_OURS = ("host", "connection", "content-length", "transfer-encoding", "expect", "upgrade")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
_Transport = asyncio.BaseTransport


@dataclass(frozen=True)
class Ask:
    """One request. `timeout_seconds` bounds resolving, connecting, TLS, headers and body together.

    `on_piece` is handed each piece of the body as it comes, where it matters when; it must not raise.
    Raises ValueError for a URL, method or header that could not be sent as it stands.
    """

    url: str
    timeout_seconds: float = 10.0
    method: str = "GET"
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    max_body_bytes: int = 65536
    on_piece: Callable[[bytes], None] | None = None

    def __post_init__(self) -> None:
        parts = _parts(self.url)
        if parts.username is not None or parts.password is not None:
            raise ValueError("credentials do not belong in a URL")
        if not re.fullmatch(r"[A-Z]{1,16}", self.method):
            raise ValueError(f"{self.method!r} is not an HTTP method")
        for name, value in self.headers.items():
            if not _TOKEN.fullmatch(name) or name.lower() in _OURS:
                raise ValueError(f"{name!r} is not a header that can be set")
            if not re.fullmatch(r"[\t -~]{0,8192}", value):
                raise ValueError(f"header {name}: only printable ASCII can be sent (8192 at most)")
        if self.timeout_seconds <= 0 or self.max_body_bytes < 0:
            raise ValueError("timeout_seconds must be above 0 and max_body_bytes not below it")


@dataclass(frozen=True)
class Reply:
    """What came of an Ask: a status with a body, or else the error in one line.

    `seconds` is the time of this exchange alone. `truncated` says that the body went on beyond its limit. The names of
    `headers` are in lower case.
    """

    status: int | None
    body: bytes
    seconds: float
    error: str = ""
    truncated: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


class HttpClient:
    """Asks, and waits for all replies. Safe to use from several threads; not from inside an event loop.

    `tls` is how servers are verified; unset: by the system's certificate authorities. By name in any case.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls

    def fetch(self, ask: Ask) -> Reply:
        """The reply to one request."""
        return self.fetch_all([ask])[0]

    def fetch_all(self, asks: Sequence[Ask]) -> list[Reply]:
        """The replies to many requests, in their order.

        Raises OSError where this process has no file descriptors left, which says nothing about a server.
        """
        if not asks:
            return []
        loop = _new_loop()
        try:
            return loop.run_until_complete(_Round(loop, self, asks).replies())
        finally:
            loop.close()

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """How servers are verified."""
        return self._tls or ssl.create_default_context()


class _Round:
    """One call of `fetch_all`: its loop, and what its requests share."""

    def __init__(self, loop: asyncio.AbstractEventLoop, client: HttpClient, asks: Sequence[Ask]) -> None:
        self.loop, self.client, self.asks = loop, client, asks
        self.found: list[Reply | None] = [None] * len(asks)
        self.names = Names(loop)

    async def replies(self) -> list[Reply]:
        waiting = iter(range(len(self.asks)))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(len(self.asks), _places())):
                    group.create_task(self._work(waiting))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [reply for reply in self.found if reply is not None]

    async def _work(self, waiting: Iterator[int]) -> None:
        for index in waiting:
            self.found[index] = await self._reply(self.asks[index])

    async def _reply(self, ask: Ask) -> Reply:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(ask.timeout_seconds):
                got = await self._exchange(ask, _parts(ask.url))
        except TimeoutError:
            return _failed(f"no full answer within {ask.timeout_seconds:g} s", started)
        except BadExchange as error:
            return _failed(str(error), started)
        except OSError as error:
            if error.errno in _NO_DESCRIPTORS:
                raise
            return _failed(_reason(error), started)
        seconds = time.perf_counter() - started
        return Reply(got.status, got.body, seconds, truncated=got.truncated, headers=got.headers)

    async def _exchange(self, ask: Ask, parts: SplitResult) -> Received:
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        request = _request_bytes(ask, parts)
        done: asyncio.Future[Received] = self.loop.create_future()
        tls = self.client.tls if parts.scheme == "https" else None

        async def connect(address: str) -> _Transport:
            transport, _ = await self.loop.create_connection(
                lambda: Exchange(done, request, ask.method == "HEAD", ask.max_body_bytes, ask.on_piece),
                address,
                port,
                ssl=tls,
                server_hostname=host if tls else None,
            )
            return transport

        transport = await self._first_connection(host, ask.timeout_seconds, connect)
        try:
            return await done
        finally:
            transport.abort()  # type: ignore[attr-defined]  # TCP and TLS transports can all be aborted

    async def _first_connection(
        self, host: str, timeout_seconds: float, connect: Callable[[str], Awaitable[_Transport]]
    ) -> _Transport:
        *others, last = await self.names.addresses(host)
        for address in others:
            try:
                # A silent address (IPv6 without a route) must leave time for the next.
                async with asyncio.timeout(timeout_seconds / (len(others) + 1)):
                    return await connect(address)
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    raise
        return await connect(last)


def _parts(url: str) -> SplitResult:
    if not re.fullmatch(r"[!-~]{1,2048}", url):
        raise ValueError("a URL has only printable ASCII without blanks (2048 at most)")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError(f"{url} does not look like http://host:port/path (or https://)")
    return parts


def _request_bytes(ask: Ask, parts: SplitResult) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"{ask.method} {target} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
    headers = {"User-Agent": "sutazai-exporter", "Accept": "*/*", "Accept-Encoding": "identity", **ask.headers}
    if ask.body or ask.method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(ask.body)}")
    lines.extend(f"{name}: {value}" for name, value in headers.items())
    return "\r\n".join([*lines, "", ""]).encode("ascii") + ask.body


def _places() -> int:
    """How many connections may be open at once: half of the descriptors left, as other checks need some too."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    left = MAX_CONCURRENT * 2 if limit == resource.RLIM_INFINITY else limit - len(list(Path("/proc/self/fd").iterdir()))
    return max(1, min(MAX_CONCURRENT, left // 2))


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # the standard loop does the same at half the speed
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _failed(error: str, started: float) -> Reply:
    return Reply(None, b"", time.perf_counter() - started, error=" ".join(error.split())[:300])


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"TLS: {error.reason.replace('_', ' ').lower()}"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return error.strerror or str(error) or type(error).__name__
