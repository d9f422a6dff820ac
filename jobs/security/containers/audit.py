"""The audit of how containers were set up: every container, as the Docker engine describes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from jobs.clients.docker import NoSuchContainer
from jobs.clients.errors import Absent, ClientError, Refused
from jobs.core.containers import Container
from jobs.security.containers import exposure, isolation, secrets, upkeep
from jobs.security.containers.container import Audited, parse_audited
from jobs.security.containers.flaw import Engine, Flaw, Judge
from jobs.security.scanner import RANK, Area, Look, NothingHere, Scanner, Weakness

JUDGES: tuple[Judge, ...] = (*isolation.JUDGES, *exposure.JUDGES, *upkeep.JUDGES, *secrets.JUDGES)
STOPPED = ("created", "exited", "dead", "removing")
_NAMES_SHOWN = 3
_NUMBERED = re.compile(r"(.+?)[-_](?:run[-_][0-9a-f]+|\d+)")
"""How compose calls a replica, and what it ran once: project-service-1 (project_service_1 before its version 2)."""


def scan(look: Look) -> None:
    """Audit the containers that run, in a full scan also those that are stopped; replicas are told as one."""
    listed = containers(look)
    chosen = [container for container in listed if look.full or container.state not in STOPPED]
    look.detail("stopped_containers_left_out", len(listed) - len(chosen))
    if not chosen:
        raise NothingHere("the Docker engine runs no container", sure=True)
    engine = _engine(look)
    for subject, replicas in grouped(chosen).items():
        look.go_on()
        audited = [found for replica in replicas if (found := _read(look, replica)) is not None]
        for weakness in judged(subject, audited, engine):
            look.found(weakness)
        look.scanned(len(audited))


AUDIT = Scanner(
    name="docker-audit",
    area=Area.CONTAINERS,
    summary="How containers are set up: isolation, mounts, ports, limits, secrets",
    unit="containers",
    scan=scan,
)


def containers(look: Look) -> Sequence[Container]:
    """Every container; raise NothingHere where there is no engine and nobody has configured one."""
    try:
        return look.clients.docker.containers()
    except Absent as error:
        raise NothingHere(str(error)) from None


def grouped(containers: Iterable[Container]) -> dict[str, list[Container]]:
    """Containers by what they are called from one deployment to the next."""
    groups: dict[str, list[Container]] = {}
    for container in containers:
        groups.setdefault(stable_name(container), []).append(container)
    return groups


def stable_name(container: Container) -> str:
    """The service's name where a swarm or compose has numbered its replicas, else the container's."""
    name, labels = container.name, container.labels
    # A label may come from the image and say anything: it is believed as far as the name agrees.
    service = labels.get("com.docker.swarm.service.name", "")
    if service and name.startswith(f"{service}."):
        return service
    service = f"{labels.get('com.docker.compose.project', '')}-{labels.get('com.docker.compose.service', '')}"
    numbered = _NUMBERED.fullmatch(name)
    return service if numbered and numbered[1].replace("_", "-") == service.replace("_", "-") else name


def judged(subject: str, replicas: Sequence[Audited], engine: Engine) -> list[Weakness]:
    """The weaknesses of one service: each once, as bad as in its worst replica."""
    worst: dict[tuple[str, str], Flaw] = {}
    names: dict[tuple[str, str], list[str]] = {}
    for container in replicas:
        for flaw in (flaw for judge in JUDGES for flaw in judge(container, engine)):
            key = flaw.rule, flaw.thing
            if key not in worst or RANK[flaw.severity] > RANK[worst[key].severity]:
                worst[key] = flaw
            names.setdefault(key, []).append(container.name)
    return [_weakness(subject, flaw, list(dict.fromkeys(names[key]))) for key, flaw in worst.items()]


def _engine(look: Look) -> Engine:
    """What the engine does for all containers; where a proxy keeps that from us, nothing."""
    try:
        options = look.clients.docker.security_options()
    except Refused as error:
        look.detail("engine_defaults", f"unknown, judged as if there were none: {error}")
        return Engine()
    remaps_root = not options.isdisjoint(("userns", "rootless"))
    return Engine(remaps_root=remaps_root, no_new_privileges="no-new-privileges" in options)


def _read(look: Look, container: Container) -> Audited | None:
    """What there is to judge of a container; None where it is gone, or cannot be understood, which is then told."""
    docker = look.clients.docker
    try:
        return parse_audited(docker.inspect(container.id).raw)
    except NoSuchContainer:
        return None
    except ValueError as error:
        look.missed(f"container {container.name}: the engine's account of it is nonsense: {error}")
    except ClientError as error:
        # One container must not hide all others; an engine that no longer answers ends the audit here.
        docker.version()
        look.missed(f"container {container.name}: {error}")
    return None


def _weakness(subject: str, flaw: Flaw, names: Sequence[str]) -> Weakness:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return Weakness(
        rule=flaw.rule,
        subject=f"{subject}/{flaw.thing}" if flaw.thing else subject,
        severity=flaw.severity,
        message=f"container {', '.join(names[:_NAMES_SHOWN])}{more} {flaw.says}",
        remedy=flaw.remedy,
    )
