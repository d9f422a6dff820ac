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

PASSWORD_NAME = re.compile(
    r".*(password|passwd|passphrase|requirepass|masterauth)\d*|(.*[_.-])?(pass|pw|pwd)", re.IGNORECASE | re.DOTALL
)
TOKEN_NAME = re.compile(
    r".*(secret|token|credentials?|(api|access|secret|private|signing|encryption|auth|master|fernet)[_-]?key)",
    re.IGNORECASE | re.DOTALL,
)
"""A secret's name ends in what it is: POSTGRES_PASSWORD, but not TOKEN_LIFETIME or PASSWORD_FILE."""
SECRET_VALUES = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"),
    "an AWS access key": re.compile(r"\bA(KIA|SIA)[A-Z0-9]{16}\b"),
    "a GitHub token": re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60})"),
    "a GitLab token": re.compile(r"\bglpat-[A-Za-z0-9_-]{20}"),
    "a Slack token": re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10}"),
    "an API key of a model provider": re.compile(r"\bsk-(ant-|proj-)?[A-Za-z0-9_-]{20}"),
    "a Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{30}"),
    "a Google API key": re.compile(r"\bAIza[A-Za-z0-9_-]{35}"),
    "a JSON web token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,2000}\.[\w-]{10}"),
    "a URL with a password": re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{0,100}:(?!\$|<)[^\s/@]{1,200}@"),
}
DEFAULT_PASSWORDS = frozenset((
    "123456", "12345678", "admin", "admin123", "administrator", "change-me", "change_me", "changeme", "changethis",
    "default", "grafana", "guest", "letmein", "minioadmin", "mongo", "mysql", "neo4j", "passw0rd", "password",
    "password1", "password123", "postgres", "qwerty", "rabbitmq", "redis", "root", "secret", "sutazai", "sutazai123",
    "sutazai_password", "test", "test123", "toor",
))  # fmt: skip
"""What is tried first, everywhere."""
_NO_VALUE = re.compile(
    r"|\$\{[^}]*\}|\$[a-z_]\w*|\$\(.*\)|<.*>|\[.*\]|\{\{.*\}\}|\*+|x{3,}|none|null|true|false|yes|no|on|off|disabled?|"
    r"enabled?|\.{0,2}(/[\w.@-]+)+/?|(file|vault|op|ref\+\w+|arn:aws):.*",
    re.IGNORECASE | re.DOTALL,
)
"""Nothing, a reference to where the secret is, a placeholder, a token of a language model (`[PAD]`), a switch."""
KNOWN_TO_ALL = "a password that everybody knows"
_MAX_CHARACTERS = 16_384
_OPTION = re.compile(r"--?([A-Za-z][\w.-]{1,60})(?:=(.*))?", re.DOTALL)


def kind_of_secret(name: str, value: str) -> str:
    """What kind of secret the variable or option `name` holds; empty where it holds none."""
    name, value = name[:256], value.strip()[:_MAX_CHARACTERS]
    found = next((kind for kind, pattern in SECRET_VALUES.items() if pattern.search(value)), "")
    if found or _NO_VALUE.fullmatch(value):
        return found
    is_password = PASSWORD_NAME.fullmatch(name) is not None
    if not is_password and (value.isdecimal() or not TOKEN_NAME.fullmatch(name)):  # MAX_TOKEN=4096 counts something
        return ""
    return KNOWN_TO_ALL if value.lower() in DEFAULT_PASSWORDS else "a secret, going by its name"


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
