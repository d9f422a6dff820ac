"""OpenSSH's sshd_config, as sshd_config(5) reads it: of a keyword that is given twice the first value counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jobs.security.configuration.rules import ConfigFile
from jobs.security.configuration.words import split_words
from jobs.security.scanner import Weakness

_MAX_INCLUDES = 8
_WEAK_CRYPTOGRAPHY = {
    "ciphers": re.compile(r"(?:3des|blowfish|cast128|aes\d+|rijndael).*-cbc|arcfour|none"),
    "macs": re.compile(r"hmac-(?:md5|sha1|ripemd)|umac-64"),
    "kexalgorithms": re.compile(r"diffie-hellman-(?:group1-|group14-sha1|group-exchange-sha1)"),
    "hostkeyalgorithms": re.compile(r"ssh-(?:dss|rsa)(?:-cert|$)"),
    "pubkeyacceptedalgorithms": re.compile(r"ssh-(?:dss|rsa)(?:-cert|$)"),
}


@dataclass(frozen=True)
class Directive:
    """A keyword (in small letters), its value, the Match block that it stands in (empty: none), and its place."""

    keyword: str
    value: str
    block: str
    file: ConfigFile
    line: int


Opener = Callable[[ConfigFile, str], Sequence[ConfigFile]]
"""Given a file and a pattern that it includes: the files, in their order."""


def parse_sshd(file: ConfigFile, include: Opener, depth: int = 0, block: str = "") -> Iterator[Directive]:
    """Every directive of a file and of those that it includes, in the order in which sshd reads them."""
    for number, line in enumerate(file.text.splitlines(), 1):
        keyword, value = _split(line)
        if keyword == "match":
            block = value
        elif keyword == "include" and depth < _MAX_INCLUDES:
            for pattern in value.split():
                for other in include(file, pattern):
                    yield from parse_sshd(other, include, depth + 1, block)
        elif keyword:
            yield Directive(keyword, value, block, file, number)


def judge_sshd(file: ConfigFile, include: Opener) -> Iterator[Weakness]:
    """What is weak: in force for everybody, or within a Match block."""
    effective: dict[tuple[str, str], Directive] = {}
    for directive in parse_sshd(file, include):
        effective.setdefault((directive.block, directive.keyword), directive)
    for directive in effective.values():
        yield from _judge(directive)
    if ("", "passwordauthentication") not in effective:
        message = "passwords are accepted, as nothing else is said"
        yield file.weakness("ssh_password_login", "PasswordAuthentication", message)


def _judge(directive: Directive) -> Iterator[Weakness]:
    def weak(rule: str, name: str, message: str) -> Weakness:
        where = f"{name} (Match {directive.block})" if directive.block else name
        return directive.file.weakness(rule, where, message, directive.line)

    value = directive.value.casefold()
    simple = _SIMPLE.get(directive.keyword)
    if simple and value in simple[0]:
        yield weak(*simple[1:])
    elif directive.keyword == "protocol" and "1" in re.split(r"[,\s]+", value):
        yield weak("ssh_protocol_1", "Protocol", "version 1 is accepted, which has been broken")
    elif directive.keyword == "maxauthtries" and value.isdecimal() and int(value[:9]) > 6:
        yield weak("ssh_many_attempts", "MaxAuthTries", "many passwords may be tried on one connection")
    elif directive.keyword in _WEAK_CRYPTOGRAPHY and _is_weak(_WEAK_CRYPTOGRAPHY[directive.keyword], value):
        yield weak("ssh_weak_cryptography", _NAMES[directive.keyword], "it allows algorithms that are broken or weak")


def _is_weak(known: re.Pattern[str], algorithms: str) -> bool:
    """Whether a list names a weak algorithm; one that begins with `-` takes them away."""
    return not algorithms.startswith("-") and any(map(known.match, algorithms.lstrip("+^").split(",")))


_SIMPLE: Mapping[str, tuple[tuple[str, ...], str, str, str]] = {
    "permitrootlogin": (("yes",), "ssh_root_login", "PermitRootLogin", "root may log in by a password"),
    "passwordauthentication": (("yes",), "ssh_password_login", "PasswordAuthentication", "passwords are accepted"),
    "permitemptypasswords": (("yes",), "ssh_empty_passwords", "PermitEmptyPasswords", "empty passwords are accepted"),
    "x11forwarding": (("yes",), "ssh_x11_forwarding", "X11Forwarding", "a server's programs reach the user's display"),
}
_NAMES = {
    **{"ciphers": "Ciphers", "macs": "MACs", "kexalgorithms": "KexAlgorithms"},
    **{"hostkeyalgorithms": "HostKeyAlgorithms", "pubkeyacceptedalgorithms": "PubkeyAcceptedAlgorithms"},
}


def _split(line: str) -> tuple[str, str]:
    """Keyword in small letters and value of a line; two empty texts where it says nothing."""
    match = re.match(r"\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(.*)$", line)
    if not match:
        return "", ""
    try:
        words = split_words(match[2], comments=True)
    except ValueError:
        words = match[2].split()
    return match[1].casefold(), " ".join(words)
