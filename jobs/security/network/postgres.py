"""PostgreSQL: whether it lets people in without a password, and whether what crosses a network can be read.

A configured server is asked for its settings and the rules of pg_hba.conf. One that may not be asked, or that only
listens here, is asked to let a stranger in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.clients import doors
from jobs.clients.doors import Door, PostgresDoors
from jobs.clients.errors import Absent, ClientError
from jobs.clients.postgres import PORT, Postgres
from jobs.core.addresses import is_loopback
from jobs.core.model import Severity
from jobs.security.known_services import POSTGRES
from jobs.security.network.exposure import Exposure, at
from jobs.security.network.places import Places, is_local, places
from jobs.security.network.postgres_rules import judge
from jobs.security.network.question import Question
from jobs.security.scanner import Look, Weakness

_STRANGER = "postgres"
_NO_RULES = (
    "{subject}: the rules of pg_hba.conf, which this account may not read (as a superuser: GRANT SELECT ON "
    "pg_hba_file_rules TO the account; GRANT EXECUTE ON FUNCTION pg_hba_file_rules() TO it)"
)


@dataclass(frozen=True)
class Server:
    """A configured server, whether it is on this host, and what of it listens here."""

    look: Look
    postgres: Postgres
    port: int
    user: str
    here: bool
    exposure: Exposure | None
    where: Places

    @property
    def subject(self) -> str:
        """What it is called in findings."""
        return f"postgresql/{self.postgres.name}"

    @property
    def reached(self) -> bool:
        """Whether others than this host reach it."""
        if self.exposure is None:
            return not self.here
        return any(not is_loopback(address) for address in self.exposure.addresses)

    def question(self) -> Question:
        """What it is asked."""
        return Question(self.subject, self._ask)

    def _ask(self) -> list[Weakness]:
        from jobs.clients import postgres_access

        try:
            access = postgres_access.read(self.postgres)
        except ClientError as error:
            self.look.missed(f"{self.subject}: {error}", self.subject)
            return self._knock()
        found = judge(self.subject, access, reached=self.reached, remote=not self.here)
        if access.rules is None:
            self.look.missed(_NO_RULES.format(subject=self.subject), self.subject)
            found += [weakness for weakness in self._knock() if weakness.rule == "postgres_without_password"]
        return found

    def _knock(self) -> list[Weakness]:
        limit = self.look.settings.network.probe_timeout_seconds
        return _knock(self.subject, self.where, self.port, self.user, limit)


def configured(look: Look, tcp: Sequence[Exposure], own: Sequence[str]) -> list[Server]:
    """Every configured server, and the local one where it is found; what is wrong with a DSN is told as missed."""
    servers = []
    for postgres in look.clients.postgres_servers:
        try:
            parameters = postgres.parameters()
        except Absent:
            continue
        except ClientError as error:
            look.missed(str(error))
            continue
        servers.append(_server(look, postgres, parameters, tcp, own))
    return servers


def _server(
    look: Look, postgres: Postgres, parameters: dict[str, str], tcp: Sequence[Exposure], own: Sequence[str]
) -> Server:
    # A DSN may name several hosts; the first is the one that is meant unless it is down.
    host = (parameters.get("host") or parameters.get("hostaddr") or "").split(",")[0]
    port = int(parameters.get("port", "").split(",")[0] or PORT)
    here = is_local(host, own)
    exposure = next((one for one in tcp if here and one.port == port), None)
    where = places(exposure, own) if exposure else Places("", "" if here else host)
    return Server(look, postgres, port, parameters.get("user", _STRANGER), here, exposure, where)


def question(look: Look, exposure: Exposure, where: Places) -> Question:
    """What a server that listens here and is not configured is asked."""
    limit = look.settings.network.probe_timeout_seconds
    return Question(exposure.subject, lambda: _knock(exposure.subject, where, exposure.port, _STRANGER, limit))


def _knock(subject: str, where: Places, port: int, user: str, limit_seconds: float) -> list[Weakness]:
    if where.outside:
        found = doors.postgres(where.outside, port, user, timeout_seconds=limit_seconds)
        weaknesses = _outside(subject, at(where.outside, port), user, found)
        if weaknesses or not where.inside:
            return weaknesses
    if where.inside and _lets_in(doors.postgres(where.inside, port, user, timeout_seconds=limit_seconds)):
        return [_open(subject, f"{at(where.inside, port)} only", user, Severity.MEDIUM)]
    return []


def _outside(subject: str, place: str, user: str, found: PostgresDoors) -> list[Weakness]:
    if _lets_in(found):
        return [_open(subject, place, user, Severity.CRITICAL)]
    if found.tls is None and found.plain is Door.ASKS:
        return [
            Weakness(
                rule="postgres_without_tls",
                subject=subject,
                severity=Severity.MEDIUM,
                message=f"{POSTGRES} takes logins at {place} and offers no TLS (ssl is off)",
                remedy="set ssl = on with ssl_cert_file and ssl_key_file, and write hostssl in pg_hba.conf",
            )
        ]
    return []


def _lets_in(found: PostgresDoors) -> bool:
    return Door.OPEN in (found.tls, found.plain)


def _open(subject: str, place: str, user: str, severity: Severity) -> Weakness:
    return Weakness(
        rule="postgres_without_password",
        subject=subject,
        severity=severity,
        message=f"{POSTGRES} lets the user {user!r} in without a password at {place}",
        remedy="write scram-sha-256 instead of trust in pg_hba.conf, and reload",
    )
