"""PostgreSQL and Redis: whether they let us in, as whom, and with what their backups are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from exporter.doctor.diagnosis import Diagnosis, Look, Patient, broken, failed, good, missing
from jobs.checks.services import judge_redis
from jobs.clients import pg_cluster, pg_programs
from jobs.clients.errors import Absent, ClientError, Refused
from jobs.clients.postgres import Postgres
from jobs.core.checks import Status
from jobs.core.settings import MAIN_SERVER

_RIGHTS = """
SELECT current_user, rolsuper, rolcreatedb AND rolcreaterole,
       coalesce(pg_has_role(current_user, to_regrole('pg_monitor'), 'USAGE'), false)
  FROM pg_roles WHERE rolname = current_user
"""


def servers(patient: Patient) -> Mapping[str, Look]:
    """Every PostgreSQL server, by its name."""
    return {server.name: partial(postgres, server=server) for server in patient.clients.postgres_servers}


def postgres(patient: Patient, server: Postgres) -> Iterator[Diagnosis]:
    """It lets us in, shows its figures, and has client programs of its version."""
    section = "postgres" if server.name == MAIN_SERVER else f"postgres.servers ({server.name})"
    try:
        status = server.status()
        with server.session() as session:
            major = pg_programs.major_of(session.server_version)
            rights = session.query(_RIGHTS)
    except ClientError as error:
        yield failed(error, _way_in(error, server, section), configured=server.configured)
        return
    yield good(f"PostgreSQL {status.version} at {status.where}, database {status.database}")
    yield from _rights(rights)
    if server.container:
        yield from _container(patient, server.container)
    else:
        yield from _programs(patient, server, major, able=bool(rights[0][1] or rights[0][2]))


def _way_in(error: ClientError, server: Postgres, section: str) -> str:
    if isinstance(error, Refused) and server.name == MAIN_SERVER:
        secret = "postgres.dsn (its user), and the password: secrets_secure/postgres__password"  # noqa: S105
        return f"set {secret}"
    return f"systemctl start postgresql; or correct {section}.dsn"


def _rights(rows: list[tuple[object, ...]]) -> Iterator[Diagnosis]:
    user, superuser, _, monitor = rows[0]
    if superuser:
        yield good(f"{user} is a superuser", "rights")
    elif monitor:
        yield good(f"{user} may see all figures (pg_monitor); it dumps and vacuums only what it may", "rights")
    else:
        grant = f"psql -c 'GRANT pg_monitor TO \"{user}\"'"
        yield missing(f"{user} sees neither what others do nor all sizes", grant, "rights")


def _container(patient: Patient, container: str) -> Iterator[Diagnosis]:
    """Its client programs are those of its container, which must run."""
    try:
        state = patient.clients.docker.inspect(container).status
    except ClientError as error:
        yield broken(f"its programs are in the container {container}: {error}", "see the check docker", "programs")
        return
    if state == "running":
        yield good(f"in the container {container}, which runs", "programs")
    else:
        yield broken(f"the container {container} is {state}", f"docker start {container}", "programs")


def _programs(patient: Patient, server: Postgres, major: int, *, able: bool) -> Iterator[Diagnosis]:
    if not patient.settings.jobs.database_maintenance.enabled:
        return
    remedy = f"apt-get install postgresql-client-{major}, or set postgres.container to the one that it runs in"
    try:
        found = [pg_programs.find_program(name, major, server.programs) for name in ("pg_dump", "pg_restore")]
        yield good("; ".join(f"{program.path} ({program.version})" for program in found), "programs")
    except Absent as error:
        yield missing(str(error), remedy, "programs")
    yield from _drill(patient, server, major, able=able)


def _drill(patient: Patient, server: Postgres, major: int, *, able: bool) -> Iterator[Diagnosis]:
    """Where dumps are restored to prove them: in a cluster of this host's, else on the server, which not all may."""
    verification = patient.settings.jobs.backup_verification
    if not verification.enabled or verification.drill == "off":
        return
    newest = max(pg_cluster.installed(server.programs), default=0)
    if newest >= major:
        yield good(f"dumps are restored in a private cluster of PostgreSQL {newest}", "drill")
    elif able:
        yield good("dumps are restored in scratch databases on the server itself", "drill")
    else:
        yield missing(
            f"no backup can be proven: there are no programs of a PostgreSQL {major} server here, and this user may"
            " make no scratch database there",
            f"apt-get install postgresql-{major}",
            "drill",
        )


def redis(patient: Patient) -> Iterator[Diagnosis]:
    """It lets us in, answers, and takes writes."""
    client = patient.clients.redis
    try:
        answer = judge_redis(client.status())
    except ClientError as error:
        remedy = "systemctl start redis; or correct redis.url and secrets_secure/redis__password"
        yield failed(error, remedy, configured=client.configured)
        return
    yield good(answer.message) if answer.status is Status.PASS else broken(answer.message, answer.remedy)
