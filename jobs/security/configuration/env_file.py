"""Files of environment variables (`.env`), as Compose reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from jobs.security.configuration.rules import ConfigFile
from jobs.security.configuration.words import TRUE
from jobs.security.passwords import is_user, judge_value
from jobs.security.scanner import Weakness

_VARIABLE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]{0,127})\s*[=:]\s*(.*)$")


@dataclass(frozen=True)
class Variable:
    """A variable and its value (which may be a secret), and the line that it stands in."""

    name: str
    value: str = field(repr=False)
    line: int


def parse_env(text: str) -> list[Variable]:
    """The variables of a file; of one that is set twice the last, which is the one that counts."""
    found: dict[str, Variable] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith("#") and (match := _VARIABLE.match(line)):
            found[match[1]] = Variable(match[1], _unquoted(match[2]), number)
    return list(found.values())


def judge_env(file: ConfigFile) -> Iterator[Weakness]:
    """What is weak in a file of variables."""
    variables = parse_env(file.text)
    users = [variable.value for variable in variables if is_user(variable.name) and variable.value]
    for variable in variables:
        yield from judge_variable(file, variable, users, key=variable.name)


def judge_variable(
    file: ConfigFile, variable: Variable, users: list[str], *, key: str, when: str = ""
) -> Iterator[Weakness]:
    """What is weak about one variable; `key` is what it is called in the report, `when` where its value counts."""
    value = variable.value
    if "$" in value and not value.startswith("$2"):  # made from others, when it is used
        return
    if switch := _authentication_off(variable.name.upper(), value.casefold()):
        yield file.weakness("authentication_off", key, f"{when}{switch}", variable.line)
    elif judged := judge_value(variable.name, value, users):
        yield file.weakness(judged.rule, key, f"{when}{judged.message}", variable.line)


def _authentication_off(name: str, value: str) -> str:
    if name == "NEO4J_AUTH" and value == "none":
        return "Neo4j asks nobody for a password"
    if name == "POSTGRES_HOST_AUTH_METHOD" and value == "trust":
        return "PostgreSQL asks nobody for a password"
    if name.endswith(("ALLOW_EMPTY_PASSWORD", "ALLOW_ANONYMOUS_LOGIN", "AUTH_DISABLED")) and value in TRUE:
        return "it may be used without a password"
    return ""


def _unquoted(text: str) -> str:
    """A value without its quotes, or without the comment that follows an unquoted one."""
    for quote in ('"', "'"):
        if text.startswith(quote) and (end := text.find(quote, 1)) > 0:
            return text[1:end]
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()
