"""PostgreSQL's settings and its pg_hba.conf: from a server's own mouth, or from its files."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jobs.core.addresses import is_everywhere, is_loopback
from jobs.core.model import Severity
from jobs.security.configuration.rules import ConfigFile, Unparsable
from jobs.security.configuration.words import split_words
from jobs.security.scanner import Weakness

SETTINGS = (
    *("listen_addresses", "ssl", "password_encryption", "log_connections"),
    *("fsync", "full_page_writes"),
)
"""The settings that are judged."""

_DEFAULTS = {"listen_addresses": "localhost", "ssl": "off", "log_connections": "off", "fsync": "on"}
_MAX_INCLUDES = 8


@dataclass(frozen=True)
class Setting:
    """A setting's value, and where it is set: the line is None where that is not known."""

    value: str
    file: ConfigFile
    line: int | None


@dataclass(frozen=True)
class HbaLine:
    """One line of pg_hba.conf; `address` is empty for the local socket, `method` empty where the line is unusable."""

    kind: str
    databases: str
    users: str
    address: str
    method: str
    line: int

    @property
    def key(self) -> str:
        """What it says of whom, which stays the same when lines move."""
        return " ".join(part for part in (self.kind, self.databases, self.users, self.address) if part)


Opener = Callable[[ConfigFile, str, str], Sequence[ConfigFile]]
"""Given a file, the directive that includes others (`include_dir`) and what it names: the files, in their order."""


def parse_settings(file: ConfigFile, include: Opener, depth: int = 0) -> dict[str, Setting]:
    """The settings of postgresql.conf that are judged; of one that is set twice the last."""
    found: dict[str, Setting] = {}
    for number, line in enumerate(file.text.splitlines(), 1):
        match = re.match(r"\s*([A-Za-z_][\w.]*)\s*(?:=\s*|\s+)('(?:[^'\\]|''|\\.)*'|[^\s#']+)", line)
        if not match:
            continue
        name, value = match[1].casefold(), match[2].strip("'").replace("''", "'")
        if name.startswith("include") and depth < _MAX_INCLUDES:
            for other in include(file, name, value):
                found |= parse_settings(other, include, depth + 1)
        elif name in SETTINGS:
            found[name] = Setting(value, file, number)
    return found


def parse_hba(file: ConfigFile) -> Iterator[HbaLine]:
    """The lines of a pg_hba.conf (https://www.postgresql.org/docs/current/auth-pg-hba-conf.html)."""
    for number, line in enumerate(file.text.splitlines(), 1):
        try:
            words = split_words(line, comments=True)
        except ValueError:
            raise Unparsable(f"line {number}: its quotes do not match") from None
        if words and not words[0].startswith("include"):
            yield _hba_line(words, number)


def _hba_line(words: list[str], number: int) -> HbaLine:
    kind = words[0]
    lone_mask = len(words) > 5 and re.fullmatch(r"[\d.]+|[0-9a-fA-F:]+", words[4]) is not None
    wanted = 4 if kind == "local" else 6 if lone_mask else 5
    if len(words) < wanted or not re.fullmatch(r"local|host(?:no)?(?:ssl|gssenc)?", kind):
        return HbaLine(kind, "", "", "", "", number)
    address = "" if kind == "local" else network(words[3], words[4] if lone_mask else "")
    return HbaLine(kind, words[1], words[2], address, words[wanted - 1], number)


def network(address: str, mask: str = "") -> str:
    """An address and its mask as `10.0.0.0/8`, however they are written; a name or keyword as it is."""
    try:
        return str(ipaddress.ip_network(f"{address}/{mask}" if mask else address, strict=False))
    except ValueError:
        return address


def judge_settings(settings: Mapping[str, Setting], lines: Sequence[HbaLine]) -> Iterator[Weakness]:
    """What is weak in settings; `lines` tell whether anybody may come from another machine."""

    def weak(name: str, rule: str, message: str) -> Iterator[Weakness]:
        found = settings.get(name) or next(iter(settings.values()), None)
        if found is not None:
            yield found.file.weakness(rule, name, message, found.line if name in settings else None)

    def value(name: str) -> str:
        return settings[name].value.casefold() if name in settings else _DEFAULTS.get(name, "")

    addresses = {part.strip() for part in value("listen_addresses").split(",")} - {""}
    listens = any(not is_loopback(address) for address in addresses)
    remote = listens and any(_reach(line) in (Reach.NEAR, Reach.ANY) and line.method != "reject" for line in lines)
    if any(map(is_everywhere, addresses)):
        yield from weak("listen_addresses", "postgres_listens_everywhere", "it listens on every address")
    if remote and not _is_on(value("ssl")):
        yield from weak("ssl", "postgres_without_tls", "others may connect, and what they say is readable on the way")
    if value("password_encryption") in ("md5", "on"):
        yield from weak("password_encryption", "postgres_md5_passwords", "passwords are kept as MD5")
    for name in ("fsync", "full_page_writes"):
        if name in settings and not _is_on(value(name)):
            yield from weak(name, "postgres_unsafe_writes", "it is off: a crash may leave a broken database")
    if value("log_connections") in ("", "off", "false", "no", "0"):
        yield from weak("log_connections", "postgres_connections_not_logged", "who connects is not logged")


def judge_hba(file: ConfigFile, lines: Sequence[HbaLine]) -> Iterator[Weakness]:
    """What is weak in who may connect, and how they prove who they are: the farther they may come from, the worse."""
    for line in lines:
        reach = _reach(line)
        rule, message, severities = _METHODS.get(line.method, ("", "", {}))
        if not line.method:
            yield file.weakness("postgres_unusable_line", line.key, "the server cannot use this line", line.line)
        elif reach in severities:
            yield file.weakness(rule, line.key, message, line.line, severity=severities[reach])


class Reach:
    """From where a line lets in: this machine, private networks, anywhere."""

    SOCKET, LOOPBACK, NEAR, ANY = range(4)


def _reach(line: HbaLine) -> int:
    address = line.address
    if line.kind == "local":
        return Reach.SOCKET
    if address == "samehost" or is_loopback(address):
        return Reach.LOOPBACK
    if address == "samenet":
        return Reach.NEAR
    try:
        network = ipaddress.ip_network(address, strict=False)
    except ValueError:
        return Reach.ANY  # all, or a name: as far as its DNS says
    if network.is_loopback:
        return Reach.LOOPBACK
    return Reach.NEAR if network.is_private and network.prefixlen > 0 else Reach.ANY


_LOW, _MEDIUM, _HIGH, _CRITICAL = Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL
_METHODS: Mapping[str, tuple[str, str, Mapping[int, Severity]]] = {
    "trust": (
        "postgres_trust",
        "who comes from there is believed to be whoever they say",
        {Reach.SOCKET: _MEDIUM, Reach.LOOPBACK: _MEDIUM, Reach.NEAR: _HIGH, Reach.ANY: _CRITICAL},
    ),
    "password": (
        "postgres_password_in_clear",
        "passwords are sent as they are",
        {Reach.SOCKET: _LOW, Reach.LOOPBACK: _LOW, Reach.NEAR: _MEDIUM, Reach.ANY: _HIGH},
    ),
    "md5": (
        "postgres_md5",
        "passwords are proved by MD5",
        {Reach.SOCKET: _LOW, Reach.LOOPBACK: _LOW, Reach.NEAR: _LOW, Reach.ANY: _MEDIUM},
    ),
    "ident": (
        "postgres_ident",
        "the other machine is asked who its user is",
        {Reach.LOOPBACK: _LOW, Reach.NEAR: _MEDIUM, Reach.ANY: _HIGH},
    ),
}


def _is_on(value: str) -> bool:
    return value in ("on", "true", "yes", "1")
