"""The Redis server, asked over its own protocol: an error reply is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jobs.clients.discovery import LOCAL, listens
from jobs.clients.errors import Absent, ClientError
from jobs.clients.redis_session import PORT, Session, opened, where_of
from jobs.core.settings import RedisSettings

if TYPE_CHECKING:
    from jobs.clients.redis_snapshot import SnapshotFacts

_DIGITS = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True)
class RedisStatus:
    """A server that answers. `max_bytes` is 0 where it has no limit; `save_failed` stops it from taking writes."""

    where: str
    version: str
    used_bytes: int
    max_bytes: int
    refuses_when_full: bool
    save_failed: bool
    link_to_master_down: bool


class Redis:
    """One server: the configured one, or else the one at Redis's usual local address."""

    def __init__(self, settings: RedisSettings, *, port: int = PORT) -> None:
        self._settings, self._port = settings, port

    @property
    def configured(self) -> bool:
        """Whether somebody wants it to be there."""
        return self._settings.url is not None

    @property
    def where(self) -> str:
        """Its host and port, or the path of its socket; raise Absent or ClientError as `status` does."""
        return where_of(self._url())

    def status(self) -> RedisStatus:
        """Given a server that answers PING, what INFO says of it.

        Raises Absent (nobody configured it, nobody is there) or ClientError: also for NOAUTH, a wrong
        password, LOADING and "max number of clients reached".
        """
        with self.session() as session:
            if session.ask("PING") != "PONG":
                raise ClientError(f"Redis at {session.where}: PING is not answered with PONG")
            return parse_info(session.where, session.info())

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A connection, closed at the end of the `with`. Raises as `status`."""
        url, limit = self._url(), self._settings.timeout_seconds
        where, own = where_of(url), self._settings.password
        password = own.get_secret_value() if own else None
        secrets = [urlsplit(url).password, password]
        # Only now: importing it takes longer than everything else here.
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        try:
            pool = redis.ConnectionPool.from_url(
                url,
                password=password,  # the URL's own takes precedence
                socket_timeout=limit,
                socket_connect_timeout=limit,
                # The library would try ten times with growing pauses; the next run is our retry.
                retry=Retry(NoBackoff(), 0),
                # Its own handshake would read whatever it is sent, for as long as it comes.
                redis_connect_func=lambda connection: None,
            )
            connection: Any = pool.make_connection()
        except (TypeError, ValueError) as error:
            raise ClientError(f"redis.url has an option that is not understood ({type(error).__name__})") from None
        with ExitStack() as stack:
            stack.callback(connection.disconnect)
            yield opened(connection, where, secrets, limit)

    def snapshot(
        self, write: Callable[[bytes], object], *, deadline_seconds: float, max_bytes: int | None = None
    ) -> SnapshotFacts:
        """Hand the current data to `write` piece by piece, as an RDB file, and say what it is.

        Raises as `status`, Refused where the server gives no snapshot, and ClientError for one that is late, not whole
        or larger than `max_bytes`: then what was written is worth nothing. What `write` raises goes through.
        """
        from jobs.clients.redis_snapshot import receive

        with self.session() as session:
            return receive(session, write, deadline_seconds=deadline_seconds, max_bytes=max_bytes)

    def _url(self) -> str:
        if self._settings.url is None:
            if not listens(LOCAL, self._port):
                raise Absent(f"no Redis at {LOCAL}:{self._port}; set redis.url")
            return f"redis://{LOCAL}:{self._port}/0"
        url = self._settings.url.get_secret_value()
        # urllib would take such a password for a host, a port or a path, and tell it in its message.
        if re.match(r"rediss?://.*[/?#].*@", url):
            raise ClientError("redis.url: write special characters of the password as %XX ('/' is %2F, '#' is %23)")
        return url


def parse_info(where: str, info: dict[str, str]) -> RedisStatus:
    """Given what INFO says, return what matters for whether the server works."""
    if not _DIGITS.fullmatch(info.get("used_memory", "")):
        raise ClientError(f"Redis at {where}: INFO does not say how much memory it uses")
    return RedisStatus(
        where=where,
        version=info.get("redis_version", ""),
        used_bytes=int(info["used_memory"]),
        max_bytes=int(info["maxmemory"]) if _DIGITS.fullmatch(info.get("maxmemory", "")) else 0,
        refuses_when_full=info.get("maxmemory_policy") == "noeviction",
        save_failed=info.get("rdb_last_bgsave_status", "ok") != "ok",
        link_to_master_down=info.get("master_link_status", "up") != "up",
    )
