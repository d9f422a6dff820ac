"""What secrets look like: for each kind a pattern, and whether its value has to be told from a placeholder.

The patterns are in the part of the language that Python's `re` and hyperscan read alike: no look-around, no `\\s`, no
back-references, every repetition with a limit, so that no text makes a match take long. The forms of tokens are those
that their makers publish for scanners (GitHub's, GitLab's, Slack's, Stripe's documentation of their tokens, …).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from jobs.core.model import Severity
from jobs.core.placeholders import is_placeholder

_ASSIGNED = r"""["']?[ \t]{0,8}(?:=>|:=|=|:)[ \t]{0,8}"""


@dataclass(frozen=True)
class SecretRule:
    """A kind of secret. `pattern` is of bytes; its group `value`, or all of it, is the secret.

    `guess` says that its form alone proves nothing: the value must be as mixed as secrets are.
    """

    name: str
    what: str
    severity: Severity
    pattern: str
    guess: bool = False
    spans_lines: bool = False


_CRITICAL, _HIGH, _MEDIUM = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM

RULES = (
    SecretRule(
        "private_key",
        "a private key",
        _CRITICAL,
        r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:\\n|\\r|[\r\n \t\"'+,]){1,24}"
        r"(?:[A-Za-z-]{4,20}: [^\r\n]{1,80}[\r\n]{1,4}){0,3}[A-Za-z0-9+/]{40}",
        spans_lines=True,
    ),
    SecretRule("age_key", "a private key of age", _CRITICAL, r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    SecretRule("aws_access_key", "an access key of AWS", _HIGH, r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    SecretRule(
        "aws_secret_key",
        "a secret key of AWS",
        _CRITICAL,
        r"(?i)aws_?(?:secret_?access_?key|secret_?key)" + _ASSIGNED + r"""["']?(?P<value>[A-Za-z0-9/+]{40})""",
        guess=True,
    ),
    SecretRule("gcp_api_key", "an API key of Google", _HIGH, r"\bAIza[0-9A-Za-z_-]{35}"),
    SecretRule("gcp_client_secret", "a client secret of Google", _HIGH, r"\bGOCSPX-[0-9A-Za-z_-]{28}"),
    SecretRule("azure_storage_key", "a storage key of Azure", _CRITICAL, r"AccountKey=(?P<value>[A-Za-z0-9+/]{86}==)"),
    SecretRule("digitalocean_token", "a token of DigitalOcean", _CRITICAL, r"\bdo[opr]_v1_[a-f0-9]{64}"),
    SecretRule("github_token", "a token of GitHub", _CRITICAL, r"\bgh[pousr]_[A-Za-z0-9]{36}"),
    SecretRule("github_pat", "an access token of GitHub", _CRITICAL, r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    SecretRule(
        "gitlab_token", "a token of GitLab", _CRITICAL, r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|imt)-[A-Za-z0-9_-]{20}"
    ),
    SecretRule("slack_token", "a token of Slack", _HIGH, r"\bxox[abeoprs]-[0-9]{8,14}-[0-9A-Za-z-]{12,80}"),
    SecretRule(
        "slack_webhook",
        "a webhook of Slack",
        _MEDIUM,
        r"https://hooks\.slack\.com/services/(?P<value>T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{20,30})",
    ),
    SecretRule("stripe_key", "a live key of Stripe", _CRITICAL, r"\b[sr]k_live_[0-9A-Za-z]{20}"),
    SecretRule(
        "openai_key",
        "a key of OpenAI",
        _CRITICAL,
        r"\bsk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40}|[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20})",
    ),
    SecretRule("anthropic_key", "a key of Anthropic", _CRITICAL, r"\bsk-ant-(?:api|admin)[0-9]{2}-[A-Za-z0-9_-]{80}"),
    SecretRule(
        "model_key", "a key of OpenRouter or DeepSeek", _CRITICAL, r"\bsk-(?:or-v1-[a-f0-9]{64}|[a-f0-9]{32})\b"
    ),
    SecretRule("huggingface_token", "a token of Hugging Face", _HIGH, r"\bhf_[A-Za-z0-9]{34}\b"),
    SecretRule("npm_token", "a token of npm", _CRITICAL, r"\bnpm_[A-Za-z0-9]{36}\b"),
    SecretRule("pypi_token", "a token of PyPI", _CRITICAL, r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50}"),
    SecretRule("sendgrid_key", "a key of SendGrid", _HIGH, r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    SecretRule("telegram_token", "a bot's token of Telegram", _HIGH, r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}\b"),
    SecretRule("vault_token", "a token of Vault", _CRITICAL, r"\bhv[sb]\.[A-Za-z0-9_-]{24}"),
    SecretRule(
        "jwt",
        "a signed token (JWT)",
        _MEDIUM,
        r"\beyJ[A-Za-z0-9_-]{10,200}\.eyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_-]{20}",
    ),
    SecretRule(
        "database_url",
        "a database's URL with its password",
        _HIGH,
        r"(?i)\b(?:postgres(?:ql)?|mysql|mariadb|mongodb|rediss?|amqps?|mssql|clickhouse|cockroachdb)(?:\+[a-z0-9]{2,20})?"
        r"""://[^:/@ \t\r\n"'`<>]{0,64}:(?P<value>[^@/ \t\r\n"'`<>]{3,128})@[A-Za-z0-9.\[_-]""",
    ),
    SecretRule(
        "url_password",
        "a URL with a password",
        _HIGH,
        r"(?i)\b(?:https?|ftps?|sftp|ssh|ldaps?|smtps?|imaps?|nats|mqtts?)"
        r"""://[^:/@ \t\r\n"'`<>]{1,64}:(?P<value>[^@/ \t\r\n"'`<>]{3,128})@[A-Za-z0-9.\[_-]""",
    ),
    SecretRule(
        "authorization",
        "credentials of a request",
        _MEDIUM,
        r"(?i)\bauthorization" + _ASSIGNED + r"""["']?(?:basic|bearer)[ \t]{1,4}(?P<value>[A-Za-z0-9+/_.=-]{16,200})""",
        guess=True,
    ),
    SecretRule(
        "api_key",
        "a key or token that is assigned",
        _MEDIUM,
        r"(?i)(?:api_?key|apikey|access_?key|auth_?key|secret_?key|signing_?key|encryption_?key|token|client_?secret)"
        + _ASSIGNED
        + r"""["']?(?P<value>[A-Za-z0-9+/_.=~-]{20,200})""",
        guess=True,
    ),
    SecretRule(
        "password",
        "a password that is assigned",
        _MEDIUM,
        r"(?i)(?:password|passwd|passphrase|_pwd|_pass|secret)"
        + _ASSIGNED
        + r"""(?:"(?P<value>[^"\r\n]{6,128})"|'(?P<single>[^'\r\n]{6,128})'"""
        + r"""|(?P<bare>[^ \t\r\n"'`,;(){}\[\]<>]{6,128}))""",
        guess=True,
    ),
)

_SHORTEST = len("AKIA") + 16
"""Only a URL with a password may be shorter, which is found as a URL; most values of variables are."""


def kind_of_token(text: str) -> str:
    """What kind of secret a short text holds that is known by its form, whatever it is called; empty for none."""
    if len(text) < _SHORTEST:
        return ""
    raw = text.encode(errors="replace")
    for what, pattern in _forms():
        for match in pattern.finditer(raw):
            if not is_placeholder(match["value"] if pattern.groups else match[0]):
                return what
    return ""


@functools.cache
def _forms() -> list[tuple[str, re.Pattern[bytes]]]:
    return [(rule.what, re.compile(rule.pattern.encode())) for rule in RULES if not rule.guess]
