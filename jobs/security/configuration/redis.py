"""Redis: from a server's own mouth, or from its redis.conf (https://redis.io/docs/latest/operate/oss_and_stack/)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from jobs.core.addresses import is_loopback
from jobs.core.model import Severity
from jobs.security.configuration.rules import ConfigFile, Unparsable
from jobs.security.configuration.words import split_words
from jobs.security.passwords import judge_password
from jobs.security.scanner import Weakness

_MAX_INCLUDES = 8


@dataclass(frozen=True, repr=False)
class RedisConfiguration:
    """What is in force, with the line that says so (0: nothing does). `password` is a secret.

    `password` is None where none is set. `login` says that the default user needs one by an ACL, `commands_limited`
    that dangerous commands were renamed or taken from users.
    """

    file: ConfigFile
    password: str | None = None
    password_line: int = 0
    addresses: tuple[str, ...] = ("*",)
    protected: bool = True
    protected_line: int = 0
    listens: bool = True
    login: bool = False
    commands_limited: bool = False

    @property
    def is_open(self) -> bool:
        """Whether other machines reach its port, if nothing protects it."""
        return self.listens and any(not is_loopback(address.lstrip("-")) for address in self.addresses)


Opener = Callable[[ConfigFile, str], Sequence[ConfigFile]]
"""Given a file and a pattern that it includes: the files, in their order."""


def parse_redis(file: ConfigFile, include: Opener) -> RedisConfiguration:
    """What a redis.conf puts in force: the last of what is said twice."""
    found = RedisConfiguration(file)
    for directive, words, line in _directives(file, include, 0):
        found = _with(found, directive, words, line)
    return found


def _directives(file: ConfigFile, include: Opener, depth: int) -> Iterator[tuple[str, list[str], int]]:
    for number, line in enumerate(file.text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        try:
            words = split_words(line)
        except ValueError:
            raise Unparsable(f"line {number}: its quotes do not match") from None
        if words[:1] == ["include"] and depth < _MAX_INCLUDES:
            for pattern in words[1:]:
                for other in include(file, pattern):
                    yield from _directives(other, include, depth + 1)
        elif words:
            yield words[0].casefold(), words[1:], number


def _with(found: RedisConfiguration, directive: str, words: list[str], line: int) -> RedisConfiguration:
    value = words[0] if words else ""
    match directive:
        case "requirepass":
            return replace(found, password=value or None, password_line=line)
        case "bind":
            return replace(found, addresses=tuple(words) if value else ())
        case "protected-mode":
            return replace(found, protected=value.casefold() != "no", protected_line=line)
        case "port":
            return replace(found, listens=value != "0")
        case "user" if value == "default":
            return replace(found, login="nopass" not in words or "off" in words, commands_limited=_limits(words))
        case "aclfile":
            return replace(found, login=True, commands_limited=True)
        case "rename-command":
            return replace(found, commands_limited=True)
    return found


def _limits(words: list[str]) -> bool:
    return any(word.startswith("-") for word in words) or "+@all" not in words


def judge_redis(found: RedisConfiguration) -> Iterator[Weakness]:
    """What is weak in it."""

    def weak(rule: str, key: str, message: str, line: int, severity: Severity | None = None) -> Weakness:
        return found.file.weakness(rule, key, message, line or None, severity=severity)

    if found.password is not None:
        if judged := judge_password(found.password):
            yield weak(judged.rule, "requirepass", judged.message, found.password_line)
    elif not found.login and found.is_open and not found.protected:
        message = "whoever reaches it may do everything, without a password"
        yield weak("redis_open", "protected-mode", message, found.protected_line)
    elif not found.login:
        yield weak("redis_no_password", "requirepass", "no password is asked for", found.password_line)
    if not found.protected and found.is_open and (found.password is not None or found.login):
        message = "nothing but the password is between it and other machines"
        yield weak("redis_unprotected", "protected-mode", message, found.protected_line)
    if not found.commands_limited:
        message = "every user may use the commands that rewrite its configuration or empty it"
        yield weak("redis_dangerous_commands", "rename-command", message, 0)
