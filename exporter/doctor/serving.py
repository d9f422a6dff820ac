"""Whether anything runs the tasks: the daemon that answers, cron's lines, systemd's units."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from exporter import __version__, app
from exporter.doctor.access import tls_of
from exporter.doctor.diagnosis import Diagnosis, Patient, broken, good, missing, not_configured, unknown
from exporter.doctor.formats import OPENMETRICS, series_in
from exporter.install.installed import cron_lines, unit_names
from jobs.clients import commands
from jobs.clients.discovery import listens
from jobs.clients.errors import Absent
from jobs.clients.http import Ask, HttpClient, Reply
from jobs.clients.tls_wire import lenient
from jobs.core.addresses import asked_at

_BUILD = re.compile(rb'^sutazai_build_info\{[^}]*version="([^"]{1,64})"', re.MULTILINE)
_LOG = "journalctl -u 'sutazai*'"
_SMALL_ANSWER, _LARGE_ANSWER = 4096, 64 << 20


def daemon(patient: Patient) -> Iterator[Diagnosis]:
    """A daemon serves this base directory, answers at its address, and is of this version; or cron does its work."""
    address = patient.settings.web.listen_address
    if not app.is_served(patient.known):
        host, _, port = address.rpartition(":")
        if listens(asked_at(host), int(port)):
            yield broken(
                f"somebody else listens at {address}, where the daemon would",
                f"see who: ss -ltnp 'sport = :{port}'; or set web.listen_address to another port",
            )
        if cron_lines(patient.root) or unit_names(patient.root, patient.environment.get("HOME", "")):
            yield not_configured("no daemon runs; cron or systemd starts the tasks", "sutazai-exporter serve")
        else:
            yield missing("no daemon serves this base directory, so nothing runs the tasks", "sutazai-exporter serve")
        return
    yield from _answering(patient)


def _answering(patient: Patient) -> Iterator[Diagnosis]:
    tls, url = tls_of(patient), _url(patient)
    server = urlsplit(url)
    # Nothing is told to it, and whether its certificate is right the check `certificates` says.
    http = HttpClient(lenient())
    ready = http.fetch(Ask(f"{url}/-/ready", patient.limit_seconds, max_body_bytes=_SMALL_ANSWER))
    demanding = tls and tls.context.verify_mode is ssl.CERT_REQUIRED
    if demanding and listens(server.hostname or "", server.port or 0):
        yield good(f"a daemon listens at {url}, and lets nobody in without a certificate; its version is not told")
    elif ready.status is None:
        yield broken(f"a daemon runs and does not answer at {url}: {ready.error}", f"see its log: {_LOG}")
    elif ready.status == 401:  # by its web configuration, even this host must log in
        yield good(f"it answers at {url}, and lets nobody in without a name; its version is not told")
    elif ready.status != 200:
        yield broken(f"{url}/-/ready answers {ready.status}", f"see its log: {_LOG}")
    else:
        page = f"{url}{patient.settings.web.telemetry_path}"
        forms: tuple[dict[str, str], ...] = ({}, {"accept": OPENMETRICS})
        asks = [Ask(page, patient.limit_seconds, headers=form, max_body_bytes=_LARGE_ANSWER) for form in forms]
        text, openmetrics = http.fetch_all(asks)
        if text.status == 401:  # it listens at an address by which this machine is one like all others
            yield good(f"a daemon is ready at {url}, and tells its metrics and version to nobody without a token")
            return
        yield _version(text.body, url)
        yield _readable(page, text, openmetrics)


def _url(patient: Patient) -> str:
    """Where the daemon says that it is; before it does, where it is to be.

    TLS it may have turned on or off since: that is said by its web configuration file, where we are told of one.
    """
    web, found = patient.settings.web, app.daemon_of(patient.known)
    host, _, port = web.listen_address.rpartition(":")
    said = found.url if found else ""
    scheme, _, server = (said or f"http://{asked_at(host, in_url=True)}:{port}").partition("://")
    if web.config_file:
        scheme = "https" if tls_of(patient) else "http"
    return f"{scheme}://{server}"


def _version(metrics: bytes, url: str) -> Diagnosis:
    """Whether what is running is what is installed."""
    found = _BUILD.search(metrics)
    version = found[1].decode("ascii", "replace") if found else ""
    if not version:
        return unknown(f"it is ready at {url}; its version is not told there", "see web.telemetry_path")
    if version != __version__:
        restart = "systemctl restart sutazai-exporter, or start it again yourself"
        return broken(f"version {version} is running, and {__version__} is installed", restart)
    return good(f"version {version} is ready at {url}")


def _readable(page: str, text: Reply, openmetrics: Reply) -> Diagnosis:
    """Whether the metrics can be read in both of their forms."""
    for answer, form in ((text, "text"), (openmetrics, "OpenMetrics")):
        if answer.status != 200 or answer.truncated:
            reason = answer.error or f"it answers {answer.status}" + (" and too much" if answer.truncated else "")
            return unknown(f"{page} cannot be looked at as {form}: {reason}", "see web.metrics_need_token", "metrics")
        try:
            count = series_in(answer.body, openmetrics=answer is openmetrics)
        except ValueError as error:
            remedy = f"restart it; if it stays so, report this with: curl {page}"
            return broken(f"{page} is not {form} that Prometheus can read: {error}", remedy, "metrics")
    return good(f"{count} series at {page} can be read, as text and as OpenMetrics", "metrics")


def schedule(patient: Patient) -> Iterator[Diagnosis]:
    """What was installed to run the tasks: cron's lines, or systemd's units, and not both."""
    lines, units = cron_lines(patient.root), unit_names(patient.root, patient.environment.get("HOME", ""))
    for program in ("crontab", "systemctl"):
        try:
            commands.find(program)
        except Absent:
            yield not_configured(f"{program} is not installed here", about=program)
    if lines is None:
        yield unknown("crontab cannot be asked for this user's lines", "crontab -l", "crontab")
    timers = [unit for unit in units if unit.endswith(".timer")]
    if lines and timers:
        yield broken(
            f"installed twice: cron has {', '.join(lines)}; systemd has {', '.join(timers)}",
            "remove one of the two: sutazai-exporter install --help",
        )
    elif lines or units:
        both = {"cron": lines or (), "systemd": units}
        yield good("; ".join(f"{kind}: {', '.join(found)}" for kind, found in both.items() if found))
    else:
        yield not_configured("neither cron nor systemd starts it", "sutazai-exporter install")


def rights(patient: Patient) -> Iterator[Diagnosis]:
    """As whom this runs, and what that user cannot see."""
    del patient
    if os.geteuid() == 0:
        yield good("root: everything can be seen")
    else:
        yield good(f"user {os.geteuid()}: what belongs to others (their open files, their sockets) is not all seen")
