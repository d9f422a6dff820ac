"""Whether a name stands for a password or another secret, and whether its value is one that others would guess."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import unquote

_SHORT = 8
_LONG = 128
"""Nobody guesses a longer one; this also bounds the work for text that somebody else has written."""
_DEFAULTS = frozenset(
    (
        *("admin", "administrator", "adminadmin", "adminpassword", "changeme", "changeit", "changethis", "change"),
        *("default", "defaultpassword", "demo", "dev", "docker", "dragon", "elastic", "example", "foobar", "grafana"),
        *("guest", "hello", "iloveyou", "letmein", "login", "master", "minioadmin", "minio", "mongo", "monkey"),
        *("mypassword", "mysecret", "mysecretpassword", "mysql", "neo4j", "newpassword", "ollama", "pass"),
        *("passw0rd", "password", "passwd", "postgres", "postgresql", "postgrespassword", "princess", "qwerty"),
        *("rabbitmq", "redis", "redispassword", "root", "rootpassword", "rootroot", "secret", "secretkey"),
        *("securepassword", "somepassword", "sunshine", "superman", "supersecret", "sutazai", "sutazaiapp"),
        *("sutazaipassword", "temp", "test", "testing", "testpassword", "toor", "trustno", "user", "vagrant"),
        *("welcome", "yourpassword", "yoursecret", "abc", "123456", "12345678", "123456789"),
    )
)
_PLACEHOLDER = re.compile(
    r"(?:change|replace)[-_ ]?(?:me|this|it)|<.*>$|your[-_ ].*(?:password|secret|key|token)", re.I
)
_HASHED = re.compile(r"\$\w{1,12}\$|\{\w+\}|SCRAM-SHA-256\$|md5[0-9a-f]{32}$|pbkdf2[:_]")
_LEET = str.maketrans("013457@$!", "oleastasi")
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "1234567890", "abcdefghijklmnopqrstuvwxyz", "1q2w3e4r5t6y7u8i9o0p")
_COLUMNS = ("1qaz2wsx3edc4rfv5tgb6yhn7ujm",)
_WALKED = frozenset(pair for row in (*_ROWS, *_COLUMNS) for a, b in pairwise(row) for pair in (a + b, b + a))
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://(?P<user>[^:@/\s]{0,128}):(?P<password>[^@/\s]{0,200})@")

_PASSWORD_ENDS = ("password", "passwd", "passphrase", "passwort")
_PASSWORD_WORDS = ("pass", "pwd", "pw", "dbpass", "requirepass", "masterauth")
_SECRET = re.compile(
    r"(secret|token|credentials?|(api|access|secret|private|signing|encryption|auth|master|fernet) ?key)\Z"
)
_USER_WORDS = ("user", "username", "login")
_SWITCHES = frozenset(("allow", "require", "required", "random", "no", "use", "disable", "enable", "empty", "reset"))
_REFERENCE = re.compile(
    r"\$\{[^}]*\}|\$[a-z_]\w*|\$\(.*\)|<.*>|\[.*\]|\{\{.*\}\}|\*+|x{3,}|"
    r"\.{0,2}(/[\w.@-]+)+/?|(file|vault|op|ref\+\w+|arn:aws):.*",
    re.IGNORECASE | re.DOTALL,
)
"""Where the secret is, what stands in its place, or a token of a language model (`[PAD]`)."""
_SWITCHED = frozenset(
    ("true", "false", "yes", "no", "on", "off", "none", "null", "disable", "disabled", "enable", "enabled")
)


@dataclass(frozen=True)
class Judged:
    """What is wrong with a password: the rule, and words that say it without the password."""

    rule: str
    message: str


def is_password(name: str) -> bool:
    """Whether a name in any case of letters is a password's (`POSTGRES_PASSWORD`, `RedisPassword`, `db_pass`)."""
    words = _words(name)
    if not words or _SWITCHES & set(words):
        return False
    return words[-1].endswith(_PASSWORD_ENDS) or words[-1] in _PASSWORD_WORDS


def is_secret(name: str) -> bool:
    """Whether a name is that of another secret: it ends in what it is (`JWT_SECRET`, but not `TOKEN_LIFETIME`)."""
    words = _words(name)
    return not _SWITCHES & set(words) and _SECRET.search(" ".join(words)) is not None


def is_judged(name: str) -> bool:
    """Whether a value of this name is judged wherever it stands."""
    return is_password(name) or is_secret(name)


def is_user(name: str) -> bool:
    """Whether a name is that of a user."""
    return _words(name)[-1:] != [] and _words(name)[-1] in _USER_WORDS


def is_no_value(value: str) -> bool:
    """Whether a value of a secret's name is no secret: nothing, a switch, a placeholder, a reference to where it is."""
    return not value or value.casefold() in _SWITCHED or _REFERENCE.fullmatch(value) is not None


def is_default(value: str) -> bool:
    """Whether a value is among what is tried first, everywhere: also in other letters, and with digits behind it."""
    if not 0 < len(value) <= _LONG:
        return False
    plain = value.casefold()
    bare = re.sub(r"[\W_]", "", plain)
    stem = re.sub(r"[\d\W_]+$", "", plain)
    forms = {
        plain,
        bare,
        stem,
        plain.translate(_LEET),
        re.sub(r"[\W_]", "", stem.translate(_LEET)),
        bare.rstrip("0123456789"),
    }
    return bool(forms & _DEFAULTS) or _PLACEHOLDER.match(value) is not None


def in_urls(text: str) -> Iterator[tuple[str, str]]:
    """User and password, each of which may be empty, of every URL in a text that has them."""
    for found in _URL.finditer(text):
        yield unquote(found["user"]), unquote(found["password"])


def judge_value(name: str, value: str, users: Iterable[str] = ()) -> Judged | None:
    """What is wrong with a value, if its name says that it is a password or a secret, or if it is a URL with one."""
    if is_password(name):
        return judge_password(value, users)
    if name.upper() == "NEO4J_AUTH":  # user/password
        user, _, password = value.partition("/")
        return judge_password(password, [user])
    if is_secret(name):
        return Judged("default_password", "a default secret") if is_default(value) else None
    for user, password in in_urls(value):
        judged = judge_password(password, [user]) if password else None
        if judged:
            return Judged(judged.rule, f"{judged.message}, in a URL")
    return None


def judge_password(value: str, users: Iterable[str] = ()) -> Judged | None:
    """What is wrong with a password; None where nothing is, or it is the hash of one."""
    plain = value.casefold()
    if len(value) > _LONG or plain in _SWITCHED or _HASHED.match(value):
        return None
    checks = (
        (not value.strip(), "empty_password", "an empty password"),
        (plain in {user.casefold() for user in users}, "default_password", "a password that is its user's name"),
        (is_default(value), "default_password", "a default password"),
        (plain.isdigit() and len(plain) < 20, "weak_password", "a password of digits only"),
        (len(value) < _SHORT, "weak_password", f"a password of fewer than {_SHORT} characters"),
        (len(set(plain)) < 4, "weak_password", "a password of very few different characters"),
        (_is_walk(plain), "weak_password", "a password that is a walk over the keyboard"),
    )
    return next((Judged(rule, message) for wrong, rule, message in checks if wrong), None)


def _is_walk(plain: str) -> bool:
    pairs = [plain[at : at + 2] for at in range(len(plain) - 1)]
    return bool(pairs) and sum(pair in _WALKED for pair in pairs) >= 0.75 * len(pairs)


def _words(name: str) -> list[str]:
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word.casefold() for word in re.split(r"[^A-Za-z]+", apart) if word]
