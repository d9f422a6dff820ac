"""Secrets that stand where everybody who may ask the engine can read them: environment and command line.

What is told is where and what kind. A value is looked at here and goes nowhere.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from jobs.core.containers import clean
from jobs.core.model import Severity
from jobs.security.containers.container import Audited
from jobs.security.containers.flaw import Engine, Flaw
from jobs.security.passwords import in_urls, is_default, is_no_value, is_password, is_secret
from jobs.security.secret_patterns import kind_of_token

KNOWN_TO_ALL = "a password that everybody knows"
_MAX_CHARACTERS = 16_384
_OPTION = re.compile(r"--?([A-Za-z][\w.-]{1,60})(?:=(.*))?", re.DOTALL)


def kind_of_secret(name: str, value: str) -> str:
    """What kind of secret the variable or option `name` holds; empty where it holds none."""
    name, value = name[:256], value.strip()[:_MAX_CHARACTERS]
    if any(not is_no_value(password) for _, password in in_urls(value)):
        return "a URL with a password"
    if found := kind_of_token(value):
        return found
    if is_no_value(value):
        return ""
    if not is_password(name) and (value.isdecimal() or not is_secret(name)):  # MAX_TOKEN=4096 counts something
        return ""
    return KNOWN_TO_ALL if is_default(value) else "a secret, going by its name"


def judge_environment(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """Secrets in environment variables: `docker inspect` and every child process show them."""
    for variable in container.environment:
        if kind := kind_of_secret(variable.name, variable.value):
            name = clean(variable.name, 128)
            yield _flaw("environment", kind, f"its environment variable {name}", name)


def judge_arguments(container: Audited, engine: Engine) -> Iterator[Flaw]:
    """Secrets in the command line: every user of the host can read it."""
    for name, value in _options(container.arguments):
        if kind := kind_of_secret(name, value):
            option = clean(name, 64)
            yield _flaw("command", kind, f"its command line{f', option {option}' if option else ''}", option)


def _flaw(where: str, kind: str, place: str, thing: str) -> Flaw:
    rule = "default_password" if kind == KNOWN_TO_ALL else "secret"
    remedy = "replace it, and hand the new one over in a file (secrets:, *_FILE)"
    return Flaw(f"{rule}_in_{where}", Severity.HIGH, f"holds {kind}, in {place}", remedy, thing)


def _options(arguments: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Options with their values: `--name=value`, `--name value`, and what stands alone, without a name."""
    for argument, following in itertools.pairwise((*arguments, "")):
        match = _OPTION.fullmatch(argument)
        if match is None:
            yield "", argument
        elif match[2] is not None:
            yield match[1], match[2]
        elif not following.startswith("-"):
            yield match[1], following


JUDGES = (judge_environment, judge_arguments)
