"""Where news goes: mail, webhook, programs, Alertmanager, node-exporter. Nothing is sent, posted or run."""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from urllib.parse import urlsplit

from exporter.bridge.outgoing.channels.base import Delayed, Refused, trusting
from exporter.doctor.diagnosis import Diagnosis, Patient, broken, good, missing, not_configured, unknown
from jobs.clients.http import Ask, HttpClient
from jobs.clients.node_exporter import TEXTFILE_FLAG, textfile_readers

_TEST = "then send a test: sutazai-exporter notify --test"


def mail(patient: Patient) -> Iterator[Diagnosis]:
    """The server answers, is encrypted as it should be, and lets us log in. No mail is handed over."""
    from exporter.bridge.outgoing.channels.mail import recipients_of, server_of
    from exporter.bridge.outgoing.channels.smtp import greet

    settings = patient.settings.notifications.mail
    if settings.host is None:
        yield not_configured("no mail is sent", "set notifications.mail.host and admin_email")
        return
    try:
        server = server_of(settings, patient.clients.host.name() or "localhost")
        greet(server, patient.limit_seconds)
    except Delayed as error:
        yield broken(str(error), f"correct notifications.mail, {_TEST}")
        return
    how = {"starttls": "STARTTLS", "tls": "TLS", "none": "unencrypted"}[settings.security]
    login = f", {settings.username} may log in" if settings.username else ""
    yield good(f"{server.shown} answers ({how}{login}); for {', '.join(recipients_of(patient.settings))}")


def webhook(patient: Patient) -> Iterator[Diagnosis]:
    """Its server takes connections, with a certificate that is trusted. Nothing is posted."""
    settings = patient.settings.notifications.webhook
    if settings.url is None:
        yield not_configured("nothing is posted anywhere", "set notifications.webhook.url")
        return
    yield _connection(settings.url.get_secret_value(), settings.ca_file, patient.limit_seconds, "notifications.webhook")


def deadman(patient: Patient) -> Iterator[Diagnosis]:
    """The service that speaks up when Alertmanager falls silent takes connections."""
    url = patient.settings.alertmanager.deadman_url
    if url is None:
        yield not_configured("nobody notices when Alertmanager falls silent", "set alertmanager.deadman_url")
        return
    yield _connection(url.get_secret_value(), None, patient.limit_seconds, "alertmanager.deadman_url")


def _connection(url: str, ca_file: Path | None, limit_seconds: float, section: str) -> Diagnosis:
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    where = f"{host}:{parts.port or (443 if secure else 80)}"
    try:
        # As a message would be sent, up to where one would be posted.
        tls = trusting(ca_file) if secure else None
        with socket.create_connection((host, parts.port or (443 if secure else 80)), limit_seconds) as plain:
            if tls is not None:
                tls.wrap_socket(plain, server_hostname=host).close()
    except Delayed as error:
        return broken(str(error), f"correct {section}.ca_file")
    except ssl.SSLCertVerificationError as error:
        return broken(f"{where}: TLS: {error.verify_message}", f"{section}.ca_file names whom to trust")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer in time"
        return broken(f"{where}: {reason}", f"correct {section}, {_TEST}")
    return good(f"{where} takes connections{' over TLS' if secure else ''}; nothing was posted")


def handlers(patient: Patient) -> Iterator[Diagnosis]:
    """Each program is there, can be run, and can be changed by nobody but root and us."""
    from exporter.bridge.outgoing.channels.handler import checked_program

    listed = patient.settings.notifications.handlers
    if not listed:
        yield not_configured("no program is run with messages", "set notifications.handlers")
    for handler in listed:
        try:
            yield good(str(checked_program(handler.path)), handler.name)
        except Refused as error:
            detail, _, remedy = str(error).rpartition("; ")
            kind = broken if handler.path.exists() else missing
            yield kind(detail, remedy, handler.name)


def alertmanager(patient: Patient) -> Iterator[Diagnosis]:
    """It is ready, takes our token, and says its version."""
    settings = patient.settings.alertmanager
    if settings.url is None:
        yield not_configured("problems are not posted to any", "set alertmanager.url")
        return
    remedy = "see whether Alertmanager runs, or correct alertmanager.url"
    try:
        http = HttpClient(trusting(settings.ca_file) if settings.url.startswith("https:") else None)
    except Delayed as error:
        yield broken(str(error), "correct alertmanager.ca_file")
        return
    token = {"Authorization": f"Bearer {settings.token.get_secret_value()}"} if settings.token else {}
    base = settings.url.rstrip("/")
    ready, status = http.fetch_all(
        [Ask(f"{base}{path}", patient.limit_seconds, headers=token) for path in ("/-/ready", "/api/v2/status")]
    )
    if ready.status is None:
        yield broken(f"{base}: {ready.error}", remedy)
    elif ready.status in (401, 403):
        yield broken(f"{base} answers {ready.status}", "set alertmanager.token to what it asks for")
    elif ready.status != 200:
        yield broken(f"{base}/-/ready answers {ready.status}", remedy)
    else:
        yield good(f"Alertmanager {_version(status.body)} is ready at {base}")


def _version(status: bytes) -> str:
    try:
        return str(json.loads(status)["versionInfo"]["version"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "of an unknown version"


def textfile(patient: Patient) -> Iterator[Diagnosis]:
    """The directory is there, ours to write, and a node-exporter of this host reads it."""
    directory = patient.settings.textfile.directory
    if directory is None:
        yield not_configured("node-exporter is handed nothing", "set textfile.directory")
        return
    if directory.exists() and not directory.is_dir():
        yield broken(f"{directory} is no directory", "set textfile.directory to one")
        return
    if not directory.is_dir():
        yield missing(f"{directory} is not there", f"sudo mkdir -p {quote(str(directory))}")
        return
    if not os.access(directory, os.W_OK | os.X_OK):
        take = f"sudo chown {os.geteuid()} {quote(str(directory))}"
        yield broken(f"{directory} cannot be written by user {os.geteuid()}", take)
        return
    start = f"start it with {TEXTFILE_FLAG}={directory}"
    readers = textfile_readers()
    reader = next((one for one in readers if one.reads(directory)), None)
    if reader is not None:
        yield good(f"{directory}, which node-exporter (pid {reader.pid}) reads")
    elif readers:
        others = ", ".join(str(one.directory) for one in readers)
        yield broken(f"node-exporter does not read {directory} but {others}", start)
    else:
        yield unknown(f"no node-exporter that reads {directory} is seen here", start)
