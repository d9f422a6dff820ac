"""Ollama's and Docker's HTTP interfaces, which ask nobody who they are: whether they answer at an address of others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from jobs.clients.errors import ClientError
from jobs.clients.http import Ask, HttpClient, Reply
from jobs.clients.tls_wire import lenient
from jobs.core.model import Severity
from jobs.security.network.catalogue import DOCKER, OLLAMA
from jobs.security.network.exposure import Exposure, at
from jobs.security.network.places import Places
from jobs.security.network.question import Question
from jobs.security.scanner import Look, Weakness


@dataclass(frozen=True)
class Api:
    """An interface: what is asked for, and the keys by which its answer is known."""

    path: str
    keys: frozenset[str]
    rule: str
    severity: Severity
    means: str
    remedy: str


APIS: Mapping[str, Api] = {
    OLLAMA: Api(
        "/api/version",
        frozenset({"version"}),
        "ollama_open",
        Severity.HIGH,
        "whoever reaches it runs, loads and deletes models",
        "set OLLAMA_HOST to 127.0.0.1, and put a proxy that asks for a password before it",
    ),
    DOCKER: Api(
        "/version",
        frozenset({"ApiVersion"}),
        "docker_api_open",
        Severity.CRITICAL,
        "whoever reaches it is root on this host",
        "take tcp:// out of dockerd's hosts; use ssh:// or --tlsverify for access from elsewhere",
    ),
}


def question(look: Look, exposure: Exposure, where: Places) -> Question:
    """What an interface that listens here for others is asked, in plain HTTP and over TLS."""
    name = exposure.known.name if exposure.known else ""
    api, place = APIS[name], at(where.outside, exposure.port)
    limit = look.settings.network.probe_timeout_seconds

    def ask() -> list[Weakness]:
        plain = look.clients.http.fetch(Ask(f"http://{place}{api.path}", limit))
        replies = [plain] if _is_it(plain, api) else [plain, _over_tls(f"https://{place}{api.path}", limit)]
        if any(_is_it(reply, api) for reply in replies):
            return [_open(name, api, exposure, place)]
        if all(reply.status is None for reply in replies) and not _wants_certificate(replies[-1]):
            raise ClientError(f"{place}: {plain.error}")
        return []

    return Question(exposure.subject, ask)


def _over_tls(url: str, limit_seconds: float) -> Reply:
    client = HttpClient()
    client.tls = lenient()
    return client.fetch(Ask(url, limit_seconds))


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


def _open(name: str, api: Api, exposure: Exposure, place: str) -> Weakness:
    return Weakness(
        rule=api.rule,
        subject=exposure.subject,
        severity=api.severity,
        message=f"{name[0].upper()}{name[1:]} answers whoever asks at {place}: {api.means}",
        remedy=api.remedy,
    )
