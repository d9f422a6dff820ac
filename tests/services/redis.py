"""A private Redis server: with a password, nothing kept on disk."""

from __future__ import annotations

import secrets

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.services.binaries import need
from tests.services.ports import free_port
from tests.services.process import Process, Service, private_directory

EMPTY_RDB = bytes.fromhex(
    "524544495330303131fa0972656469732d76657205372e322e30fa0a72656469732d62697473c040"
    "fa056374696d65c26d08bc65fa08757365642d6d656dc2b0c41000fa08616f662d62617365c000fff06e3bfec0ff5aa2"
)
"""What Redis 7.2.0 writes of an empty data set."""


class RedisServer(Service):
    """A server that is running; a stop saves nothing. `password=None` is one that asks for none.

    `settings` are lines of its configuration, with underscores for dashes (`maxclients=2`).
    """

    host = "127.0.0.1"

    def __init__(self, *, password: str | None = "", **settings: object) -> None:
        program = need("redis-server", package="redis-server")
        self.directory = private_directory("redis")
        self.port = free_port()
        self.password = f"redis-{secrets.token_hex(12)}" if password == "" else password
        self._program, self._settings = program, settings
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Its URL, with the password."""
        credentials = f":{self.password}@" if self.password else ""
        return f"redis://{credentials}{self.host}:{self.port}/0"

    @property
    def url_without_password(self) -> str:
        """Its URL for those who have the password from elsewhere, or not at all."""
        return f"redis://{self.host}:{self.port}/0"

    def client(self) -> redis.Redis:
        """A client that says at once what went wrong, where redis-py's default would try ten times more."""
        return redis.Redis(
            host=self.host,
            port=self.port,
            password=self.password,
            socket_timeout=10,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
        )

    def start(self, *, wait: bool = True, **settings: object) -> None:
        """Start the server on its port and data, with further settings; without `wait` it may still be loading."""
        self._settings = {**self._settings, **settings}
        self.process = Process([self._program, str(self._write_configuration())], log_file=self.directory / "redis.log")
        if wait:
            self.process.wait_ready(self._answers, "Redis answers", ignoring=(redis.RedisError, OSError))

    def kill(self) -> None:
        """SIGKILL it."""
        self.process.kill()

    def _answers(self) -> bool:
        with self.client() as client:
            return bool(client.ping())

    def _write_configuration(self) -> str:
        # In a file, not as arguments: tests look for the password in every process's arguments.
        settings = {"port": self.port, "bind": self.host, "dir": self.directory, "save": '""', **self._settings}
        if self.password:
            settings["requirepass"] = self.password
        path = self.directory / "redis.conf"
        path.write_text("".join(f"{name.replace('_', '-')} {value}\n" for name, value in settings.items()))
        path.chmod(0o600)
        return str(path)
