"""The commands of services: passwords among their arguments, and a Redis that is started without one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from jobs.security.configuration.interpolation import Filled, fill
from jobs.security.configuration.located_yaml import Items, Scalar, Value, scalars
from jobs.security.configuration.words import split_words
from jobs.security.passwords import is_judged, is_password, judge_password
from jobs.security.scanner import Weakness

_REDIS_IMAGE = re.compile(r"(?:.*/)?(?:redis|valkey|keydb|dragonfly)(?:-stack(?:-server)?)?(?:[:@].*)?")
_PASSWORD_VARIABLES = ("REDIS_PASSWORD", "VALKEY_PASSWORD", "REDIS_PASSWORD_FILE", "VALKEY_PASSWORD_FILE", "REDIS_ARGS")


def judge_command(
    command: Value | None, known: Mapping[str, str], weak: Callable[..., Weakness], key: str
) -> Iterator[Weakness]:
    """What is weak in the arguments of a command: `--requirepass WORD`, `--password=WORD`."""
    words = _words(command)
    for at, (word, line) in enumerate(words):
        name, equals, value = word.partition("=")
        if not name.startswith("-") or not is_password(name):
            continue
        if not equals:
            value = words[at + 1][0] if at + 1 < len(words) else ""
        filled = fill(value, known)
        judged = None if _unknown(filled) else judge_password(filled.text or "")
        if judged:
            yield weak(judged.rule, f"{key}.{name.lstrip('-')}", judged.message, line)


def redis_without_password(image: str, command: Value | None, variables: Sequence[str]) -> bool:
    """Whether a service is a Redis that is told of no password: by arguments, a configuration file, the environment."""
    if not _REDIS_IMAGE.fullmatch(image) or any(name in _PASSWORD_VARIABLES for name in variables):
        return False
    words = [word for word, _ in _words(command)]
    told = any(word.lstrip("-") in ("requirepass", "aclfile", "user") for word in words)
    script = any(word in ("sh", "-c", "bash") or "requirepass" in word for word in words)
    return not told and not script and not any(word.endswith(".conf") for word in words)


def _unknown(filled: Filled) -> bool:
    """Whether a value is not known, or is said of the .env file that it comes from, or is filled in by a shell."""
    return filled.text is None or any(map(is_judged, filled.names)) or "$" in filled.text


def _words(command: Value | None) -> list[tuple[str, int]]:
    if isinstance(command, Items):
        return [(scalar.text or "", scalar.line) for scalar in scalars(command)]
    if not isinstance(command, Scalar) or command.text is None:
        return []
    try:
        words = split_words(command.text)
    except ValueError:
        words = command.text.split()
    return [(word, command.line) for word in words]
