"""A connection to Redis that is open: commands go out, replies come back, and errors are told apart in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Never
from urllib.parse import urlsplit

from jobs.clients.discovery import told
from jobs.clients.errors import ClientError, Refused
from jobs.clients.redis_wire import BadReply, ErrorReply, Reply, Wire

PORT = 6379
_NOT_ALLOWED = ("NOPERM",)
_UNKNOWN = ("unknown command", "unknown subcommand", "not supported", "cannot be enabled", "not allowed")


class Session:
    """One connection. Every method raises Refused for what the server knows not or lets us not do, else ClientError."""

    def __init__(self, wire: Wire, where: str, secrets: Sequence[str | None], timeout_seconds: float) -> None:
        self.wire, self.where = wire, where
        self._secrets, self._timeout_seconds = secrets, timeout_seconds

    def ask(self, *words: str) -> Reply:
        """The reply to a command."""
        try:
            return self.wire.ask(*words)
        except (ErrorReply, BadReply, OSError) as error:
            self.explain(error, words)

    def info(self) -> dict[str, str]:
        """What INFO says (https://redis.io/docs/latest/commands/info/), by name."""
        reply = self.ask("INFO")
        lines = reply.splitlines() if isinstance(reply, str) else []
        found: dict[str, str] = {}
        for name, colon, value in (line.partition(":") for line in lines):
            if colon:
                found.setdefault(name, value.strip())
        return found

    def configured(self, name: str) -> str | None:
        """The value of one parameter of the server's configuration; None where this server has no such parameter."""
        reply = self.ask("CONFIG", "GET", name)
        if isinstance(reply, list) and len(reply) == 2 and reply[0] == name and isinstance(reply[1], str):
            return reply[1]
        return None

    def configure(self, name: str, value: str) -> None:
        """Set one parameter until the server is restarted; its configuration file stays as it is."""
        self.ask("CONFIG", "SET", name, value)

    def explain(self, error: Exception, words: Sequence[str] = ()) -> Never:
        """Raise what the error means."""
        command = " ".join(words[:2] if words[:1] in (("CONFIG",), ("MEMORY",), ("SLOWLOG",)) else words[:1])
        if isinstance(error, ErrorReply):
            self._explain_reply(error, command)
        if isinstance(error, TimeoutError):
            raise late(self.where, self._timeout_seconds) from None
        after = f" after {command}" if command else ""
        raise ClientError(f"Redis at {self.where}: {told(error, self._secrets)}{after}") from None

    def _explain_reply(self, error: ErrorReply, command: str) -> Never:
        message = told(error, self._secrets)
        if error.code == "NOAUTH":
            raise no_login(self.where, message, any(self._secrets)) from None
        if error.code == "LOADING":
            raise loading(self.where) from None
        if error.code in _NOT_ALLOWED:
            raise Refused(
                f"Redis at {self.where}: the user may not use {command}; let it (ACL SETUSER NAME {acl_rule(command)})"
            ) from None
        kind = Refused if any(sign in message.lower() for sign in _UNKNOWN) else ClientError
        raise kind(f"Redis at {self.where}: {command}: {message}") from None


def acl_rule(command: str) -> str:
    """The rule that allows a command (https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/)."""
    return "+" + command.lower().replace(" ", "|")


def no_login(where: str, message: str, has_password: bool) -> ClientError:
    """The error of a server that does not know us."""
    why = "the password is wrong" if has_password else "it asks for a password"
    return ClientError(f"Redis at {where}: {why} ({message}); set redis.password")


def loading(where: str) -> ClientError:
    """The error of a server that has just been started."""
    return ClientError(f"Redis at {where} is still loading its data (LOADING)")


def late(where: str, limit_seconds: float) -> ClientError:
    """The error of a server that is silent."""
    return ClientError(f"Redis at {where}: no answer within {limit_seconds:g} s")


def where_of(url: str) -> str:
    """Host and port, or path, of a Redis URL."""
    try:
        parts = urlsplit(url)
        return parts.path if parts.scheme == "unix" else f"{parts.hostname or 'localhost'}:{parts.port or PORT}"
    except ValueError:
        raise ClientError("redis.url is not a URL like redis://host:6379/0") from None


def opened(connection: Any, where: str, secrets: Sequence[str | None], limit_seconds: float) -> Session:
    """Connect and log in; `connection` is the library's, made to leave both the login and the replies to us."""
    import redis

    try:
        connection.connect()
    except redis.TimeoutError:
        raise late(where, limit_seconds) from None
    except redis.RedisError as error:
        raise ClientError(f"Redis at {where}: {told(error, secrets)}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ClientError(f"Redis at {where}: cannot connect ({type(error).__name__})") from None
    session = Session(Wire(_socket_of(connection), limit_seconds), where, secrets, limit_seconds)
    if connection.username or connection.password:
        _log_in(session, connection.username, connection.password or "")
    return session


def _log_in(session: Session, username: str | None, password: str) -> None:
    words = ["AUTH", username, password] if username else ["AUTH", password]
    try:
        session.wire.ask(*words)
    except ErrorReply as error:
        if error.code != "LOADING" and "max number of clients" not in str(error):
            raise no_login(session.where, told(error, [password]), bool(password)) from None
        session.explain(error, ["AUTH"])
    except (BadReply, OSError) as error:
        session.explain(error, ["AUTH"])


def _socket_of(connection: Any) -> Any:
    """The socket of a connection that the library has made: plain, TLS or Unix.

    The library has no name for it that is meant for others; the one it uses has stood since its first version.
    """
    return connection._sock
