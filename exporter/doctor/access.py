"""Who may ask the daemon: tokens, the web configuration file, and where it is asked."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from shlex import quote

from exporter import app
from exporter.config import ConfigError
from exporter.doctor.diagnosis import Diagnosis, Patient, broken, good, missing, not_configured
from exporter.web.access.tokens import TokenError
from exporter.web.web_config.loading import Files, read_web_config
from exporter.web.web_config.tls import Tls
from jobs.core.addresses import is_loopback


def tokens(patient: Patient) -> Iterator[Diagnosis]:
    """Who may use the API from elsewhere."""
    kept = app.open_tokens(patient.known)
    host = patient.settings.web.listen_address.rpartition(":")[0]
    try:
        found = kept.load()
    except TokenError as error:
        readable = os.access(kept.file, os.R_OK)
        aside = f"move it aside: mv {quote(str(kept.file))} {quote(str(kept.file))}.broken"
        yield broken(str(error), aside if readable else f"run as its owner: ls -l {quote(str(kept.file))}")
        return
    make = "sutazai-exporter token create --name NAME --scope read"
    if not found:
        if is_loopback(host):
            yield not_configured("no token: this machine may read, and nobody may operate", make)
        else:
            yield missing(f"no token, and it listens at {patient.settings.web.listen_address}", make)
        return
    mode = stat.S_IMODE(kept.file.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield broken(f"{kept.file}: others may read it (mode {mode:04o})", f"chmod 0600 {quote(str(kept.file))}")
    else:
        named = ", ".join(f"{token.name} ({'+'.join(token.scopes)})" for token in found)
        yield good(f"{len(found)}: {named}")


def web_configuration(patient: Patient) -> Iterator[Diagnosis]:
    """The web configuration file and all that it names can be used, and nobody else can read its keys."""
    file, address = patient.settings.web.config_file, patient.settings.web.listen_address
    if file is None:
        if is_loopback(address.rpartition(":")[0]):
            yield not_configured("plain HTTP, for this machine alone")
        else:
            set_it = "set web.config_file (docs/web-configuration.md), or listen on 127.0.0.1"
            yield missing(f"tokens and figures go in plain text over the network: it listens at {address}", set_it)
        return
    try:
        found = read_web_config(file, Files())
    except ConfigError as error:
        yield from (broken(problem, "correct it; see docs/web-configuration.md") for problem in error.problems)
        return
    yield from (broken(warning, "see docs/web-configuration.md", "warning") for warning in found.warnings)
    users = f"{len(found.users)} users" if found.users else "no users"
    yield good(f"{file}: {'TLS' if found.tls else 'no TLS'}, {users}")


def tls_of(patient: Patient) -> Tls | None:
    """What the daemon's connections are secured with; None too where that file is wrong, which is told elsewhere."""
    file = patient.settings.web.config_file
    try:
        return read_web_config(file, Files()).tls if file else None
    except ConfigError:
        return None


def asked_at(host: str, *, in_url: bool = False) -> str:
    """Where a server that listens at `host` is asked: one that listens everywhere, on this machine's own address."""
    bare = host.strip("[]")
    if bare in ("", "0.0.0.0"):  # noqa: S104
        return "127.0.0.1"
    bare = "::1" if bare == "::" else bare
    return f"[{bare}]" if in_url and ":" in bare else bare
