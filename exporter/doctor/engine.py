"""The Docker engine: whether it lets us in, what a proxy in front of it lets through, and what containers use."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from exporter.doctor.diagnosis import Diagnosis, Patient, broken, failed, good, missing, not_configured
from exporter.users import user_name
from jobs.clients.cgroups import parse_hierarchies
from jobs.clients.docker import NoSuchContainer
from jobs.clients.errors import Absent, ClientError, Refused

NEEDED_API = (1, 41)
"""From this one on (Docker 20.10) the engine tells what a container uses at once."""
_NOBODY = "no such container"
_PROXY_REMEDY = "let the socket proxy pass it, or take from the configuration what needs it"


def docker(patient: Patient) -> Iterator[Diagnosis]:
    """The engine answers this user, by an API that is new enough, and lets through what is needed."""
    engine = patient.clients.docker
    try:
        version, api = engine.version(), engine.api_version()
        url = engine.url
    except Absent as error:
        yield failed(error, "", configured=patient.is_set("docker.url"))
        return
    except Refused as error:
        yield broken(str(error), _access(patient))
        return
    except ClientError as error:
        yield broken(str(error), "systemctl start docker; or set docker.url to where it is")
        return
    yield good(f"Docker {version} answers at {url}, API {api}")
    if tuple(int(part) for part in api.split(".") if part.isdigit()) < NEEDED_API:
        yield missing(f"API {api} is old: figures of containers take seconds each", "upgrade Docker to 20.10", "api")
    yield from _endpoints(patient)


def _access(patient: Patient) -> str:
    if patient.is_set("docker.url") and not (patient.settings.docker.url or "").startswith("unix:"):
        return "let the socket proxy at docker.url pass GET on containers, events, info and version"
    return f"sudo usermod -aG docker {user_name()} (as good as root), then log in anew"


def _endpoints(patient: Patient) -> Iterator[Diagnosis]:
    """What may be asked, and done, tried on a container that cannot exist: nothing comes of it."""
    passed: list[str] = []
    refused: list[str] = []
    needed = _needed(patient)
    for name, call in _calls(patient).items():
        reason = _refusal(call)
        (passed if not reason else refused).append(name)
        if reason and name in needed:
            yield broken(f"{name} is needed for {needed[name]}: {reason}", _PROXY_REMEDY, name.replace(" ", "-"))
    idle = [name for name in refused if name not in needed]
    told = f"it lets through {', '.join(passed)}"
    yield good(f"{told}; not {', '.join(idle)}, which nothing here needs" if idle else told, "endpoints")


def _calls(patient: Patient) -> dict[str, Callable[[], object]]:
    engine, nobody = patient.clients.docker, secrets.token_hex(32)
    since: datetime = patient.clients.clock.now() - timedelta(seconds=1)

    def execute() -> None:
        with engine.program(nobody, ["true"], environment={}, timeout_seconds=1):
            return

    return {
        "GET containers": engine.containers,
        "GET images": engine.images,
        "GET info": engine.memory_bytes,
        "GET events": lambda: engine.events(nobody, since, lambda events: True),
        "POST restart": lambda: engine.restart(nobody, 1),
        "POST kill": lambda: engine.signal(nobody, "SIGHUP"),
        "POST exec": execute,
    }


def _needed(patient: Patient) -> dict[str, str]:
    """Which calls the configuration needs, and for what."""
    settings = patient.settings
    told = [service.container for service in settings.jobs.certificate_renewal.services]
    dumped = [settings.postgres.container, *(server.container for server in settings.postgres.servers)]
    needs = {
        "GET containers": "agents and the health check",
        "GET info": "figures of containers",
        "GET events": "restarting agents at once" if settings.jobs.agent_monitor.enabled else "",
        "GET images": "the security scan" if settings.jobs.security_scan.enabled else "",
        "POST restart": "restarting agents" if settings.jobs.agent_monitor.enabled else "",
        "POST kill": "telling containers of a new certificate" if any(told) else "",
        "POST exec": "dumping a database in its container" if any(dumped) else "",
    }
    return {name: what for name, what in needs.items() if what}


def _refusal(call: Callable[[], object]) -> str:
    """Why a call was not let through; empty where the engine itself has answered it."""
    try:
        call()
    except NoSuchContainer as error:
        # A proxy that knows no such path answers 404 as well, with other words.
        return "" if _NOBODY in str(error).casefold() else str(error)
    except ClientError as error:
        return str(error)
    return ""


def cgroups(patient: Patient) -> Iterator[Diagnosis]:
    """Whether the kernel's figures of containers can be read from here."""
    found = parse_hierarchies((patient.root / "proc/self/mountinfo").read_bytes())
    if found.roots:
        version = "2" if found.unified and not found.controllers else "1"
        yield good(f"version {version} at {', '.join(str(root) for root in found.roots)}")
    else:
        yield not_configured("none is mounted here: containers' figures come from the engine, more slowly")
