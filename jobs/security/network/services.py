"""The scanner of services: whether those that listen here ask who one is, and whether what crosses a network is hidden.

Each is asked once or twice, within a time limit, as a stranger would ask it. One that is silent or answers nonsense is
told as missed.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobs.clients import sockets
from jobs.clients.errors import ClientError
from jobs.core.side_by_side import side_by_side
from jobs.security.known_services import POSTGRES, REDIS
from jobs.security.network import connections, open_apis, postgres, redis, web
from jobs.security.network.exposure import Exposure
from jobs.security.network.places import Places, named_ports, places
from jobs.security.network.question import Question
from jobs.security.network.reading import listening
from jobs.security.scanner import Area, Look, Scanner

_AT_ONCE = 32


def scan(look: Look) -> None:
    """Ask every service that is known here or configured."""
    _, found = listening(look)
    own = sockets.own_addresses()
    tcp = [exposure for exposure in found if exposure.protocol == "tcp"]
    look.scanned(len(tcp))
    for weakness in connections.judge(look.clients.world):
        look.found(weakness)
    servers = postgres.configured(look, tcp, own)
    theirs = {server.exposure for server in servers}
    named = named_ports(look.settings.network.tls_endpoints, own)
    questions = [server.question() for server in servers]
    questions += redis.configured(look, tcp, own) + web.configured(look)
    questions += [
        question
        for exposure in tcp
        if exposure not in theirs
        and exposure.port not in named
        and (question := _about(look, exposure, places(exposure, own)))
    ]
    look.detail("asked", [question.subject for question in questions])
    _ask(look, questions)


def _about(look: Look, exposure: Exposure, where: Places) -> Question | None:
    """What an exposed service is asked, None for one that nothing is known to be asked."""
    if exposure.port in look.settings.network.tls_ports:
        return web.question(look, exposure, where)
    name = exposure.known.name if exposure.known else ""
    if name == REDIS:
        return redis.question(look, exposure, where)
    if name == POSTGRES:
        return postgres.question(look, exposure, where)
    return open_apis.question(look, exposure, where) if name in open_apis.APIS else None


def _ask(look: Look, questions: Sequence[Question]) -> None:
    """Ask them side by side, a silent one beside the others."""
    for start in range(0, len(questions), _AT_ONCE):
        look.go_on()
        now = questions[start : start + _AT_ONCE]
        for answer in side_by_side([question.ask for question in now], look.left_seconds, look.clients.clock.monotonic):
            if isinstance(answer.error, ClientError):
                subject = now[answer.index].subject
                look.missed(f"{subject}: {answer.error}", subject)
            elif answer.error:
                raise answer.error
            for weakness in answer.value or ():
                look.found(weakness)
    look.go_on()


SERVICES = Scanner(
    "services", Area.NETWORK, "Services without a password, and connections without encryption", "services", scan
)
