"""Redis: whether it answers those who gave no password."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.clients import doors
from jobs.clients.doors import Door
from jobs.clients.errors import ClientError
from jobs.core.model import Severity
from jobs.security.known_services import REDIS
from jobs.security.network.exposure import Exposure, at
from jobs.security.network.places import Places, is_local
from jobs.security.network.question import Question
from jobs.security.scanner import Look, Weakness

_REMEDY = "set requirepass (or users of its own with ACL), and bind 127.0.0.1"


def question(look: Look, exposure: Exposure, where: Places) -> Question:
    """What a Redis server that listens here is asked, from outside first."""
    limit = look.settings.network.probe_timeout_seconds

    def ask() -> list[Weakness]:
        if where.outside and doors.redis(where.outside, exposure.port, timeout_seconds=limit) is Door.OPEN:
            return [_open(exposure.subject, at(where.outside, exposure.port), Severity.CRITICAL)]
        if where.inside and doors.redis(where.inside, exposure.port, timeout_seconds=limit) is Door.OPEN:
            return [_open(exposure.subject, f"{at(where.inside, exposure.port)} only", Severity.MEDIUM)]
        return []

    return Question(exposure.subject, ask)


def configured(look: Look, tcp: Sequence[Exposure], own: Sequence[str]) -> list[Question]:
    """What the server of `redis.url` is asked, unless it is one that listens here and is asked anyway."""
    url = look.clients.world.redis.url
    if url is None:
        return []
    try:
        host, _, port_text = look.clients.redis.where.rpartition(":")
    except ClientError as error:
        look.missed(str(error))
        return []
    port = int(port_text) if host else 0
    is_asked = any(one.port == port and one.known and one.known.name == REDIS for one in tcp)
    if not host or (is_local(host, own) and is_asked):
        return []
    subject = f"redis/{at(host, port)}"
    limit, tls = look.settings.network.probe_timeout_seconds, url.get_secret_value().startswith("rediss:")
    severity = Severity.MEDIUM if is_local(host, own) else Severity.HIGH

    def ask() -> list[Weakness]:
        door = doors.redis(host, port, timeout_seconds=limit, tls=tls)
        return [_open(subject, at(host, port), severity)] if door is Door.OPEN else []

    return [Question(subject, ask)]


def _open(subject: str, where: str, severity: Severity) -> Weakness:
    return Weakness(
        rule="redis_without_password",
        subject=subject,
        severity=severity,
        message=f"Redis answers whoever asks, without a password, at {where}",
        remedy=_REMEDY,
    )
