"""Ollama's and Docker's HTTP interfaces, which ask nobody who they are: whether they answer whoever gets to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from jobs.clients.errors import ClientError
from jobs.clients.http import Ask, HttpClient, Reply
from jobs.clients.tls_wire import lenient
from jobs.core.model import Severity
from jobs.security.known_services import DOCKER, OLLAMA
from jobs.security.network.exposure import Exposure, at
from jobs.security.network.places import Places
from jobs.security.network.question import Question
from jobs.security.scanner import Look, Weakness


@dataclass(frozen=True)
class Api:
    """An interface: what is asked for, the keys by which its answer is known, and what it means that it answers.

    `inside` is how bad it is at loopback (None: not at all). `kept_shut` is what a filtering proxy before it refuses.
    """

    path: str
    keys: frozenset[str]
    rule: str
    severity: Severity
    inside: Severity | None
    means: str
    remedy: str
    kept_shut: str = ""


APIS: Mapping[str, Api] = {
    OLLAMA: Api(
        "/api/version",
        frozenset({"version"}),
        "ollama_open",
        Severity.HIGH,
        None,
        "whoever reaches it runs, loads and deletes models",
        "set OLLAMA_HOST to 127.0.0.1, and put a proxy that asks for a password before it",
    ),
    DOCKER: Api(
        "/version",
        frozenset({"ApiVersion"}),
        "docker_api_open",
        Severity.CRITICAL,
        Severity.HIGH,
        "whoever reaches it is root on this host",
        "take tcp:// out of dockerd's hosts; use ssh:// or --tlsverify for access from elsewhere",
        "/exec/none/json",
    ),
}


def question(look: Look, exposure: Exposure, where: Places) -> Question | None:
    """What an interface is asked where others get to it, or else at loopback; None where it may answer there."""
    name = exposure.known.name if exposure.known else ""
    api = APIS[name]
    severity = api.severity if where.outside else api.inside
    host = where.outside or where.inside
    if severity is None or not host:
        return None
    place, limit = at(host, exposure.port), look.settings.network.probe_timeout_seconds

    def ask() -> list[Weakness]:
        is_open = _is_open(look.clients.http, api, place, limit)
        return [_open(name, api, exposure, place, severity)] if is_open else []

    return Question(exposure.subject, ask)


def _is_open(http: HttpClient, api: Api, place: str, limit_seconds: float) -> bool:
    """Whether it answers, in plain HTTP or over TLS; ClientError where it answers neither way."""
    plain = http.fetch(Ask(f"http://{place}{api.path}", limit_seconds))
    if _is_it(plain, api):
        return not _is_filtered(http, f"http://{place}", api, limit_seconds)
    over_tls = HttpClient()
    over_tls.tls = lenient()
    encrypted = over_tls.fetch(Ask(f"https://{place}{api.path}", limit_seconds))
    if _is_it(encrypted, api):
        return not _is_filtered(over_tls, f"https://{place}", api, limit_seconds)
    if plain.status is None and encrypted.status is None and not _wants_certificate(encrypted):
        raise ClientError(f"{place}: {plain.error}")
    return False


def _is_filtered(http: HttpClient, url: str, api: Api, limit_seconds: float) -> bool:
    """Whether a proxy is before it that keeps shut what makes it dangerous."""
    return bool(api.kept_shut) and http.fetch(Ask(f"{url}{api.kept_shut}", limit_seconds)).status in (401, 403)


def _wants_certificate(reply: Reply) -> bool:
    """Whether a server of TLS sent us away, as one does that asks for a certificate of ours.

    With TLS 1.3 it does so after the handshake, by hanging up (RFC 8446, 4.4.2.4).
    """
    turned_down = reply.error.startswith("TLS:") and "alert" in reply.error
    return turned_down or reply.error.startswith(("connection closed", "connection lost"))


def _is_it(reply: Reply, api: Api) -> bool:
    if reply.status != 200:
        return False
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        return False
    return isinstance(answer, dict) and api.keys <= answer.keys()


def _open(name: str, api: Api, exposure: Exposure, place: str, severity: Severity) -> Weakness:
    return Weakness(
        rule=api.rule,
        subject=exposure.subject,
        severity=severity,
        message=f"{name[0].upper()}{name[1:]} answers whoever asks at {place}: {api.means}",
        remedy=api.remedy,
    )
