"""What a web configuration file may say: the format that Prometheus' exporters and Prometheus itself share.

Its authority is the exporter-toolkit (https://github.com/prometheus/exporter-toolkit, version 0.20.0):
docs/web-configuration.md, and web/tls_config.go where that says more.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from jobs.core.settings import SettingsModel

ALLOWED_HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""The headers that can be set, and the values that each may have where not any."""

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


def _text(value: Any) -> Any:
    """A scalar as the text that Go's YAML would take it for: `X-XSS-Protection: 1`."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _duration(value: Any) -> float:
    """The seconds of a Go duration such as 1s, 250ms or 1m30s."""
    text = str(value)
    if text == "0":
        return 0.0
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text[:50]!r} is no duration; write 1s, 250ms or 1m30s, or 0")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _no_nuls(text: str) -> str:
    if "\0" in text:
        raise ValueError("a path has no NUL in it")
    return text


Text = Annotated[str, BeforeValidator(_text)]
FileName = Annotated[Text, AfterValidator(_no_nuls)]
Secret = Annotated[SecretStr, BeforeValidator(_text)]
Duration = Annotated[float, BeforeValidator(_duration)]
TlsVersion = Literal["TLS10", "TLS11", "TLS12", "TLS13"]
ClientAuth = Literal[
    "", "NoClientCert", "RequestClientCert", "RequireAnyClientCert", "RequireClientCert",
    "VerifyClientCertIfGiven", "RequireAndVerifyClientCert",
]  # fmt: skip
Cipher = Literal[
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
]  # fmt: skip
Curve = Literal["CurveP256", "CurveP384", "CurveP521", "X25519"]


class _Section(SettingsModel):
    @model_validator(mode="before")
    @classmethod
    def _nothing_is_the_default(cls, given: Any) -> Any:
        """A known key with nothing behind it counts as absent."""
        if given is None:
            return {}
        if not isinstance(given, dict):
            return given
        known = {key: value for key, value in given.items() if value is not None or key not in cls.model_fields}
        # From here on it is no JSON to pydantic any more, which would take a list for a tuple.
        return {key: tuple(value) if isinstance(value, list) else value for key, value in known.items()}


class TlsServerConfig(_Section):
    """`tls_server_config`."""

    cert: Text = ""
    key: Secret = SecretStr("")
    client_ca: Text = ""
    cert_file: FileName = ""
    key_file: FileName = ""
    client_auth_type: ClientAuth = ""
    client_ca_file: FileName = ""
    client_allowed_sans: tuple[Text, ...] | None = None
    min_version: TlsVersion = "TLS12"
    max_version: TlsVersion = "TLS13"
    cipher_suites: tuple[Cipher, ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[Curve, ...] = ()

    @property
    def enabled(self) -> bool:
        """Whether it asks for TLS at all, as the toolkit decides it."""
        return any(
            (self.cert, self.cert_file, self.key.get_secret_value(), self.key_file,
             self.client_ca, self.client_ca_file, self.client_auth_type)
        )  # fmt: skip


class HttpServerConfig(_Section):
    """`http_server_config`."""

    http2: bool = True
    headers: dict[str, Text] = Field(default_factory=dict)


class RateLimit(_Section):
    """`rate_limit`: a request each `interval` seconds, and `burst` of them at once; 0 is no limit."""

    interval: Duration = 0.0
    burst: int = Field(0, ge=0, le=1_000_000)


class WebConfigFile(_Section):
    """The whole file."""

    tls_server_config: TlsServerConfig = TlsServerConfig()
    http_server_config: HttpServerConfig = HttpServerConfig()
    rate_limit: RateLimit = RateLimit()
    basic_auth_users: dict[str, Secret] = Field(default_factory=dict)
