"""What a Redis server says of its own configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jobs.clients.errors import Absent, ClientError, Refused
from jobs.security.configuration.redis import RedisConfiguration, judge_redis
from jobs.security.configuration.rules import ConfigFile, tell

if TYPE_CHECKING:
    from jobs.clients.redis_session import Session
    from jobs.security.scanner import Look


def scan_server(look: Look) -> set[Path]:
    """Judge the server if one answers; return the file that it has spoken for."""
    try:
        with look.clients.redis.session() as session:
            found = _read(session)
    except Absent:
        return set()
    except ClientError as error:
        look.missed(f"the configuration of the Redis server: {error}", "redis/")
        return set()
    for weakness in judge_redis(found):
        tell(look, weakness)
    look.scanned()
    return {found.file.path}


def _read(session: Session) -> RedisConfiguration:
    information = session.info()
    path = information.get("config_file") or "/"
    return RedisConfiguration(
        ConfigFile(Path(path), f"redis/{session.where}", ""),
        password=session.configured("requirepass") or None,
        addresses=tuple((session.configured("bind") or "*").split()),
        protected=session.configured("protected-mode") != "no",
        listens=session.configured("port") != "0",
        login=_needs_login(session),
        # What was renamed cannot be asked for; users can.
        commands_limited=_has_limited_users(session),
    )


def _needs_login(session: Session) -> bool:
    flags = _default_user(session).get("flags")
    return isinstance(flags, list) and ("off" in flags or "nopass" not in flags)


def _has_limited_users(session: Session) -> bool:
    commands = _default_user(session).get("commands")
    return isinstance(commands, str) and commands.strip() not in ("+@all", "allcommands")


def _default_user(session: Session) -> dict[str, object]:
    try:
        reply = session.ask("ACL", "GETUSER", "default")
    except Refused:  # before Redis 6 there are no users, only requirepass
        return {}
    pairs = reply if isinstance(reply, list) else []
    return {str(name): value for name, value in zip(pairs[::2], pairs[1::2], strict=False)}
