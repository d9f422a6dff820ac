"""Reads a web configuration file and everything that it names, or says in one line each what is wrong with it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from exporter.config import ConfigError
from exporter.config.documents import DocumentError, read_yaml
from exporter.config.errors import describe
from exporter.web.web_config.files import Files
from exporter.web.web_config.model import ALLOWED_HEADERS, RateLimit, TlsServerConfig, WebConfigFile
from exporter.web.web_config.tls import Tls, TlsProblem, make_tls
from exporter.web.web_config.tls_materials import Materials

MAX_BCRYPT_COST = 18
"""Each step doubles the time that a login takes; beyond this one it is no longer seconds."""
SLOW_BCRYPT_COST = 14
_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")


@dataclass(frozen=True)
class WebConfig:
    """What holds for requests and connections. `users` are bcrypt hashes by name."""

    users: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = ()
    rate_limit: RateLimit = field(default_factory=RateLimit)
    tls: Tls | None = None
    warnings: tuple[str, ...] = ()
    """What works and should not stay as it is, one line each."""


def read_web_config(file: Path, files: Files) -> WebConfig:
    """Read a web configuration file and what it names; raise ConfigError with all that is wrong at once."""
    file = file.absolute()
    parsed = _parse(file, files)
    problems = [*_header_problems(parsed.http_server_config.headers), *_user_problems(parsed)]
    if parsed.rate_limit.interval and not parsed.rate_limit.burst:
        problems.append("rate_limit.burst: 0 would refuse every request; write 1 or more")
    tls: Tls | None = None
    try:
        tls = _tls(parsed.tls_server_config, file.parent, files)
    except TlsProblem as problem:
        problems += problem.lines
    if problems:
        raise ConfigError([f"{file}: {problem}" for problem in problems])
    return WebConfig(
        users={name.encode(): value.get_secret_value().encode() for name, value in parsed.basic_auth_users.items()},
        headers=tuple((n.lower().encode(), v.encode()) for n, v in parsed.http_server_config.headers.items() if v),
        rate_limit=parsed.rate_limit,
        tls=tls,
        warnings=tuple(f"{file}: {warning}" for warning in _warnings(parsed, file, tls, files)),
    )


def _parse(file: Path, files: Files) -> WebConfigFile:
    try:
        document = read_yaml(files.content(file).decode())
    except OSError as error:
        raise ConfigError([f"{file}: cannot be read for the web configuration: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{file}: is not UTF-8 text; the web configuration is read from it"]) from None
    except DocumentError as error:
        raise ConfigError([f"{file}: {error}"]) from None
    if not isinstance(document, dict | None):
        kind = type(document).__name__
        raise ConfigError([f"{file}: must be a mapping such as 'tls_server_config: ...', not {kind}"])
    try:
        return WebConfigFile.model_validate_json(json.dumps(document or {}), strict=True)
    except ValidationError as error:
        raise ConfigError([f"{file}: {line}" for line in describe(error, WebConfigFile, {})]) from None


def _header_problems(headers: Mapping[str, str]) -> list[str]:
    problems = []
    for name, value in headers.items():
        where = f"http_server_config.headers.{name[:50]}"
        allowed = ALLOWED_HEADERS.get(name)
        if allowed is None:
            problems.append(f"{where}: cannot be set here, only {', '.join(ALLOWED_HEADERS)}")
        elif allowed and value not in allowed:
            problems.append(f"{where}: {value[:60]!r} is not one of {', '.join(allowed)}")
        elif not re.fullmatch(r"[ -~]{0,8000}", value):
            problems.append(f"{where}: a header is one line of printable ASCII (8000 characters at most)")
    return problems


def _user_problems(parsed: WebConfigFile) -> list[str]:
    problems = []
    for name, secret in parsed.basic_auth_users.items():
        where = f"basic_auth_users.{name[:50]}"
        hashed = _BCRYPT.fullmatch(secret.get_secret_value())
        if not name or ":" in name or not name.isprintable():
            problems.append(f"{where}: such a name cannot log in; use one without ':' and control characters")
        if not hashed:
            problems.append(
                f"{where}: is no bcrypt hash; make one with 'htpasswd -nBC 10 \"\"' and take what follows ':'"
            )
        elif not 4 <= int(hashed[1]) <= MAX_BCRYPT_COST:
            problems.append(f"{where}: a cost of {int(hashed[1])} is not usable; take one from 4 to {MAX_BCRYPT_COST}")
    return problems


def _tls(config: TlsServerConfig, directory: Path, files: Files) -> Tls | None:
    if not config.enabled:
        return None
    problems: list[str] = []

    def content(inline: str, name: str, key: str) -> bytes:
        if not name:
            return inline.encode()
        path = directory / name
        try:
            return files.content(path)
        except OSError as error:
            problems.append(f"tls_server_config.{key}: {path} cannot be read: {error.strerror}")
            return b""

    materials = Materials(
        cert=content(config.cert, config.cert_file, "cert_file"),
        key=content(config.key.get_secret_value(), config.key_file, "key_file"),
        client_ca=content(config.client_ca, config.client_ca_file, "client_ca_file")
        if config.client_ca or config.client_ca_file
        else None,
    )
    if problems:
        raise TlsProblem(problems)
    return make_tls(config, materials)


def _warnings(parsed: WebConfigFile, file: Path, tls: Tls | None, files: Files) -> list[str]:
    config = parsed.tls_server_config
    warnings = [*tls.warnings] if tls else []
    if tls is None and config != TlsServerConfig():
        warnings.append("tls_server_config names no certificate: everything is served without TLS")
    if not files.statuses[file].st_size:
        warnings.append("is empty: everything is served without TLS and passwords; write {} if that is meant")
    for path, status in files.statuses.items():
        if status.st_mode & 0o022 or status.st_uid not in (0, os.geteuid()):
            warnings.append(f"other users can change {path}; give it to root or to the exporter, with mode 0640")
    keeper = file.parent / config.key_file if config.key_file else file
    if (config.key_file or config.key.get_secret_value()) and files.statuses[keeper].st_mode & 0o004:
        warnings.append(f"every user can read the private key in {keeper}; give it mode 0640")
    slow = [n for n, s in parsed.basic_auth_users.items() if int(s.get_secret_value()[4:6]) > SLOW_BCRYPT_COST]
    if slow:
        warnings.append(f"the hash of {', '.join(slow)} has a cost above {SLOW_BCRYPT_COST}: a login takes seconds")
    return warnings
