"""What TLS is made of, and what is wrong with it before any is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from exporter.web.web_config.model import TlsServerConfig
from exporter.web.web_config.openssl_names import ciphers_of

NOT_ASKED = ("", "NoClientCert", "RequestClientCert")
"""Values of `client_auth_type` by which no client is asked for a certificate."""


@dataclass(frozen=True)
class Materials:
    """The PEM texts. `client_ca` is None where none is configured: one that is empty vouches for nobody."""

    cert: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None


def problems_of(config: TlsServerConfig, materials: Materials) -> Iterator[str]:
    """What keeps these settings from being used, one line for each thing to mend."""
    yield from _pair_problems(config, materials)
    yield from _client_problems(config, materials)
    yield from _version_problems(config)


def warnings_of(config: TlsServerConfig, materials: Materials) -> Iterator[str]:
    """What works and should not stay as it is, one line each."""
    kind = config.client_auth_type
    if kind == "RequestClientCert":
        yield "client_auth_type RequestClientCert keeps nobody out: no certificate is asked for"
    elif kind in ("RequireAnyClientCert", "RequireClientCert"):
        yield f"client_auth_type {kind} is taken as RequireAndVerifyClientCert: certificates are verified by client_ca"
    elif kind not in NOT_ASKED and materials.client_ca is None:
        yield "there is no client_ca: a certificate by any public CA that this machine trusts is good enough"
    if len(config.curve_preferences) > 1:
        yield "curve_preferences names several curves: OpenSSL's own choice is used, only a single one can be set"
    if config.min_version < "TLS12":
        yield f"min_version {config.min_version} is no longer safe; write TLS12"


def _pair_problems(config: TlsServerConfig, materials: Materials) -> Iterator[str]:
    for what, content, marks in (
        ("cert", materials.cert, (b"-----BEGIN CERTIFICATE-----", b"-----BEGIN TRUSTED CERTIFICATE-----")),
        ("key", materials.key, (b"PRIVATE KEY-----",)),
    ):
        where = f"tls_server_config.{what}_file" if getattr(config, f"{what}_file") else f"tls_server_config.{what}"
        if not content and not getattr(config, f"{what}_file"):
            yield f"tls_server_config: {what} or {what}_file is missing; TLS needs a certificate and its key"
        elif not any(mark in content for mark in marks):
            yield f"{where}: holds no {'certificate' if what == 'cert' else 'private key'} in PEM form"
        elif what == "key" and b"ENCRYPTED" in content:
            yield f"{where}: the key has a passphrase, which nobody could enter; write it without ('openssl pkey')"


def _client_problems(config: TlsServerConfig, materials: Materials) -> Iterator[str]:
    kind = config.client_auth_type
    if (config.client_ca or config.client_ca_file) and kind in ("", "NoClientCert"):
        yield (
            "tls_server_config.client_auth_type: is missing, so that the client CA would not be asked; "
            "write RequireAndVerifyClientCert"
        )
    if kind in ("RequireAnyClientCert", "RequireClientCert") and materials.client_ca is None:
        yield (
            f"tls_server_config.client_auth_type: {kind} takes a certificate that nobody has verified, which keeps "
            "nobody out; write RequireAndVerifyClientCert with client_ca_file"
        )
    if config.client_allowed_sans is not None:
        if kind in (*NOT_ASKED, "VerifyClientCertIfGiven"):
            yield (
                "tls_server_config.client_allowed_sans: a client may come without a certificate; "
                "write client_auth_type: RequireAndVerifyClientCert"
            )
        if not config.client_allowed_sans:
            yield "tls_server_config.client_allowed_sans: an empty list lets nobody in; leave it out"


def _version_problems(config: TlsServerConfig) -> Iterator[str]:
    if config.min_version > config.max_version:
        yield f"tls_server_config.min_version: {config.min_version} is above max_version {config.max_version}"
    if config.cipher_suites and not ciphers_of(config.cipher_suites) and config.max_version != "TLS13":
        yield f"tls_server_config.cipher_suites: none of them is for {config.max_version}"
