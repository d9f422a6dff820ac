"""Values that look like secrets and are none: made when a test runs, so that no scanner finds them in these sources."""

from __future__ import annotations

import random
import string

_CHANCE = random.Random(7)
_ALPHANUMERIC = string.ascii_letters + string.digits


def mixed(length: int, letters: str = _ALPHANUMERIC) -> str:
    """Random letters with a digit, a small and a capital one among the first."""
    return ("k7Q" + "".join(_CHANCE.choice(letters) for _ in range(length)))[:length]


def _of(letters: str, length: int) -> str:
    return "".join(_CHANCE.choice(letters) for _ in range(length))


def private_key(kind: str = "RSA ") -> str:
    """The shape of a private key in PEM."""
    body = "\n".join(_of(_ALPHANUMERIC + "+/", 64) for _ in range(4))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----\n"


_HEX, _BASE32 = "0123456789abcdef", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

PLANTED: dict[str, tuple[str, ...]] = {
    "private_key": (
        private_key(),
        private_key(""),
        private_key("OPENSSH "),
        '{"private_key": "' + private_key("").replace("\n", "\\n") + '"}',
    ),
    "age_key": ("AGE-SECRET-KEY-1" + _of(string.ascii_uppercase + string.digits, 58),),
    "aws_access_key": ("aws_access_key_id = AKIA" + _of(_BASE32, 16),),
    "aws_secret_key": ("aws_secret_access_key = " + mixed(40), 'AWS_SECRET_ACCESS_KEY="' + mixed(40) + '"'),
    "gcp_api_key": ("AIza" + mixed(35),),
    "gcp_client_secret": ("GOCSPX-" + mixed(28),),
    "azure_storage_key": ("AccountName=a;AccountKey=" + mixed(86) + "==;EndpointSuffix=x",),
    "digitalocean_token": ("dop_v1_" + _of(_HEX, 64),),
    "github_token": tuple(f"gh{kind}_{mixed(36)}" for kind in "pousr"),
    "github_pat": (f"github_pat_{mixed(22)}_{mixed(59)}",),
    "gitlab_token": ("glpat-" + mixed(20),),
    "slack_token": ("xoxb-" + _of(string.digits, 12) + "-" + mixed(24),),
    "slack_webhook": (
        "https://hooks.slack.com/services/T" + _of(_BASE32, 9) + "/B" + _of(_BASE32, 9) + "/" + mixed(24),
    ),
    "stripe_key": ("sk_live_" + mixed(24),),
    "openai_key": ("sk-proj-" + mixed(48), "sk-" + mixed(20) + "T3Blbk" + "FJ" + mixed(20)),
    "anthropic_key": ("sk-ant-" + "api03-" + mixed(93),),
    "model_key": ("sk-or-" + "v1-" + _of(_HEX, 64), "sk-" + _of(_HEX, 32)),
    "huggingface_token": ("hf_" + mixed(34),),
    "npm_token": ("//registry.npmjs.org/:_authToken=npm_" + mixed(36),),
    "pypi_token": ("pypi-AgEIcHlwaS5vcmc" + mixed(60),),
    "sendgrid_key": (f"SG.{mixed(22)}.{mixed(43)}",),
    "telegram_token": (_of("123456789", 9) + ":AA" + mixed(33),),
    "vault_token": ("hvs." + mixed(30),),
    "jwt": (f"eyJ{mixed(30)}.eyJ{mixed(60)}.{mixed(43)}",),
    "database_url": (
        f"DATABASE_URL=postgresql://app:{mixed(12)}@db.internal:5432/app",
        f"url: redis://:{mixed(12)}@cache:6379/0",
        f"'mysql+pymysql://root:{mixed(9)}@localhost/x'",
    ),
    "url_password": (f"git clone https://deploy:{mixed(16)}@git.internal/repo.git",),
    "authorization": (f"curl -H 'Authorization: Basic {mixed(32)}' https://x", f"Authorization: Bearer {mixed(40)}"),
    "api_key": (f"API_KEY={mixed(32)}", f'"token": "{mixed(40)}"', f"client_secret: {mixed(30)}"),
    "password": (
        f"POSTGRES_PASSWORD={mixed(14)}",
        f"  password: '{mixed(12)}'",
        f'db_pass = "{mixed(10)}"',
        f"REDIS_PASSWORD: {mixed(16)}",
        'password = "T!ger-99-Lilies"',
    ),
}
"""What each rule finds, by the rule's name."""

CLEAN: dict[str, tuple[str, ...]] = {
    "private_key": (
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n",
        private_key("").replace("PRIVATE", "PUBLIC"),
        'if "-----BEGIN RSA PRIVATE KEY-----" in text:\n    return True\n',
        "-----BEGIN CERTIFICATE-----\n" + _of(_ALPHANUMERIC, 64) + "\n-----END CERTIFICATE-----\n",
    ),
    "aws_access_key": ("AKIAIOSFODNN7EXAMPLE", "AKIA" + "X" * 16, "AKIA_NOT_A_KEY"),
    "aws_secret_key": (
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "aws_secret_key = ${AWS_SECRET}",
    ),
    "github_token": ("ghp_" + "x" * 36, "GITHUB_TOKEN=${{ secrets.GITHUB_TOKEN }}"),
    "stripe_key": ("sk_test_" + mixed(24), "sk_live_<your key>"),
    "slack_webhook": ("https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",),
    "jwt": ("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4ifQ." + mixed(43),),
    "database_url": (
        "postgresql://user:password@localhost/db",
        "postgresql://app:${DB_PASSWORD}@db/app",
        "postgresql://app:$DB_PASSWORD@db/app",
        "redis://localhost:6379/0",
        "mysql://root:<password>@host",
        "mongodb://u:changeme@h",
        "postgresql://app@db/app?sslmode=require",
        "postgres://{user}:{password}@{host}",
    ),
    "url_password": ("https://user:pass@example.com", "http://host:8080/path@x", "https://x:********@h/"),
    "authorization": (
        "Authorization: Bearer ${TOKEN}",
        "Authorization: Basic dXNlcjpwYXNzd29yZA==xxxx",
        "Authorization: Bearer <token>",
    ),
    "api_key": (
        "API_KEY=your-api-key-goes-here-1",
        "api_key = os.environ['OPENAI_API_KEY_NAME_1']",
        "token: changeme-in-docs-0123456789abc",
        "token = request.headers.get_authorization_token1()",
        "API_KEY=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "token: /run/secrets/registry_token_2024",
        "access_key = settings.storage.access_key_2",
        "api_key: {{ vault_api_key_for_x1 }}",
    ),
    "password": (
        "POSTGRES_PASSWORD=${POSTGRES_PASSWORD:?set it}",
        "password: changeme",
        "password: <password>",
        "password: xxxx-xxxx-1",
        "password = getpass.getpass()",
        "password: example-1-password",
        'password = config["password1"]',
        "password: !vault |",
        "password: str = Field(default=None, min_length=8)",
        "PASSWORD_FILE=/run/secrets/db_password_1",
        '"password": "Enter your password, 8 letters at least"',
        "password: $6$rounds=5000$abcDEF123$" + mixed(40),
        "secret: secret",
        "password=password123",
        "if password == 'x': pass",
    ),
}
"""What no rule finds: what stands in the places of secrets in examples, templates and code."""
