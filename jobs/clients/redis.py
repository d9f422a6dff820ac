"""The Redis server, asked over its own protocol: an error reply is an error."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Never
from urllib.parse import urlsplit

from jobs.clients.discovery import LOCAL, listens, told
from jobs.clients.errors import Absent, ClientError
from jobs.core.settings import RedisSettings

if TYPE_CHECKING:
    import redis

PORT = 6379
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

    def status(self) -> RedisStatus:
        """Given a server that answers PING, what INFO says of it.

        Raises Absent (nobody configured it, nobody is there) or ClientError: also for NOAUTH, a wrong
        password, LOADING and "max number of clients reached".
        """
        url = self._url()
        # Only now: importing it takes longer than everything else here.
        import redis

        where = _where(url)
        try:
            with self._client(url) as client:
                alive = client.ping()
                # The library's parser trusts the server; this one does not.
                client.set_response_callback("INFO", lambda response, **_: response)
                info = client.execute_command("INFO")
        except redis.RedisError as error:
            self._explain(where, error, url)
        except (TypeError, ValueError) as error:
            raise ClientError(f"redis.url has an option that is not understood ({type(error).__name__})") from None
        if not alive:
            raise ClientError(f"Redis at {where}: PING is not answered with PONG")
        return parse_info(where, info)

    def _client(self, url: str) -> redis.Redis:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        password = self._settings.password.get_secret_value() if self._settings.password else None
        client: redis.Redis = redis.Redis.from_url(
            url,
            password=password,  # the URL's own takes precedence
            socket_timeout=self._settings.timeout_seconds,
            socket_connect_timeout=self._settings.timeout_seconds,
            # The library would try ten times with growing pauses; the next check is our retry.
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            encoding_errors="replace",
            protocol=2,
        )
        return client

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

    def _explain(self, where: str, error: redis.RedisError, url: str) -> Never:
        from redis.exceptions import AuthenticationError, BusyLoadingError, TimeoutError

        own = self._settings.password.get_secret_value() if self._settings.password else None
        given = urlsplit(url).password or own
        if isinstance(error, AuthenticationError):
            remedy = "the password is wrong" if given else "it asks for a password"
            raise ClientError(f"Redis at {where}: {remedy} ({told(error, [given, own])}); set redis.password") from None
        if isinstance(error, BusyLoadingError):
            raise ClientError(f"Redis at {where} is still loading its data (LOADING)") from None
        if isinstance(error, TimeoutError):
            limit = self._settings.timeout_seconds
            raise ClientError(f"Redis at {where}: no answer within {limit:g} s") from None
        raise ClientError(f"Redis at {where}: {told(error, [given, own])}") from None


def _where(url: str) -> str:
    try:
        parts = urlsplit(url)
        return parts.path if parts.scheme == "unix" else f"{parts.hostname or 'localhost'}:{parts.port or PORT}"
    except ValueError:
        raise ClientError("redis.url is not a URL like redis://host:6379/0") from None


def parse_info(where: str, reply: object) -> RedisStatus:
    """Given the reply to INFO (https://redis.io/docs/latest/commands/info/), return what matters of it."""
    text = reply if isinstance(reply, str) else ""
    info = {key: value for key, _, value in (line.partition(":") for line in text.splitlines())}
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
