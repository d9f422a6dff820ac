"""Servers that must speak TLS, because of their port or because they are configured: whether they speak plain HTTP."""

from __future__ import annotations

from jobs.clients import tls_hello
from jobs.clients.errors import ClientError
from jobs.clients.http import Ask
from jobs.core.model import Severity
from jobs.security.network.ciphers import ALL
from jobs.security.network.exposure import Exposure, at
from jobs.security.network.places import Places
from jobs.security.network.question import Question
from jobs.security.scanner import Look, Weakness


def question(look: Look, exposure: Exposure, where: Places) -> Question | None:
    """What a server on a port of TLS is asked."""
    host = where.inside or where.outside
    return _question(look, exposure.subject, host, exposure.port, "") if host else None


def configured(look: Look) -> list[Question]:
    """What the configured servers are asked; those that begin otherwise than with TLS speak no HTTP."""
    return [
        _question(look, f"tls/{one.address}", one.host, one.port, one.server_name or one.host)
        for one in look.settings.network.tls_endpoints
        if one.protocol == "tls"
    ]


def _question(look: Look, subject: str, host: str, port: int, server_name: str) -> Question:
    limit = look.settings.network.probe_timeout_seconds

    def ask() -> list[Weakness]:
        error = "it turns down every version of TLS"
        try:
            for version in (tls_hello.TLS_1_2, tls_hello.TLS_1_3):
                if tls_hello.choose(host, port, version, ALL, server_name=server_name, timeout_seconds=limit):
                    return []
        except ClientError as failure:
            error = str(failure)
        status = look.clients.http.fetch(Ask(f"http://{at(host, port)}/", limit)).status
        # A server of TLS says 400 to plain HTTP (nginx, Go), and may have turned down all that was offered.
        if status is None or (status == 400 and error.startswith("it turns down")):
            raise ClientError(error)
        return [_plain(subject, at(host, port), status)]

    return Question(subject, ask)


def _plain(subject: str, where: str, status: int) -> Weakness:
    return Weakness(
        rule="plain_http",
        subject=subject,
        severity=Severity.HIGH,
        message=f"{where} must speak TLS and answers plain HTTP (status {status}): passwords and tokens can be read",
        remedy="give the server its certificate and key, and let its plain port redirect to https://",
    )
