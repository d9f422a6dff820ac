"""Docker's daemon.json (https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from jobs.core.addresses import is_loopback
from jobs.core.model import Severity
from jobs.security.configuration.rules import ConfigFile, Unparsable
from jobs.security.scanner import Weakness

_HOST = re.compile(r"(?:\w+://)?(\[[^\]]*\]|::1|[^:/]*)")
"""Of `tcp://HOST:PORT`, a registry (`HOST:PORT`) or a network of registries (`127.0.0.0/8`)."""
_HARDENING = (
    ("docker_live_restore_off", "live-restore", True, "containers stop when the daemon does"),
    ("docker_containers_reach_each_other", "icc", False, "containers of the default network reach each other"),
    ("docker_new_privileges", "no-new-privileges", True, "processes of containers may gain privileges by setuid"),
)


def parse_daemon(text: str) -> Mapping[str, Any]:
    """The settings; Unparsable where it is no JSON object."""
    try:
        settings = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise Unparsable("it is not JSON") from None
    if not isinstance(settings, dict):
        raise Unparsable("it is no JSON object")
    return settings


def judge_daemon(file: ConfigFile) -> Iterator[Weakness]:
    """What is weak in the settings of the Docker daemon."""
    settings = parse_daemon(file.text)

    def weak(rule: str, key: str, message: str, severity: Severity | None = None, about: str = "") -> Weakness:
        return file.weakness(rule, about or key, message, _line(file.text, key), severity=severity)

    for host in _texts(settings.get("hosts")):
        if host.startswith("tcp://") and settings.get("tlsverify") is not True:
            severity = Severity.HIGH if _is_here(host) else None
            message = "who reaches this port is root on the host: no client certificate is asked for"
            yield weak("docker_tcp_without_tls", "hosts", message, severity, f"hosts.{host}")
    for registry in _texts(settings.get("insecure-registries")):
        if not _is_here(registry):
            message = "images come from it without a certificate that is verified"
            yield weak("insecure_registry", "insecure-registries", message, None, f"insecure-registries.{registry}")
    options = settings.get("log-opts")
    limited = isinstance(options, dict) and "max-size" in options
    if settings.get("log-driver", "json-file") == "json-file" and not limited:
        yield weak("docker_logs_without_limit", "log-opts", "logs of containers grow until the disk is full")
    for rule, key, wanted, message in _HARDENING:
        if settings.get(key) is not wanted:
            yield weak(rule, key, message)
    if not settings.get("userns-remap"):
        yield weak("docker_user_namespaces_off", "userns-remap", "root in a container is root on the host")


def _is_here(place: str) -> bool:
    host = _HOST.match(place)
    return host is not None and is_loopback(host[1])


def _texts(value: object) -> Iterator[str]:
    yield from (item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _line(text: str, key: str) -> int | None:
    """The line in which a key stands first."""
    at = text.find(f'"{key}"')
    return text.count("\n", 0, at) + 1 if at >= 0 else None
