"""Makes the TLS context that a web configuration file asks for, and tells whom a client certificate names.

Go's names of versions, cipher suites and curves are given in OpenSSL's. Where Python's `ssl` cannot do what Go does,
the stricter of what it can is taken, or the file is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.web.web_config.model import TlsServerConfig

_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_AEAD = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
_CBC = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
}
_CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
_NOT_ASKED = ("", "NoClientCert", "RequestClientCert")
_REASONS = {
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
    "EE_KEY_TOO_SMALL": "the certificate's key is too short to be safe; take one of 2048 bits, or P-256",
    "CA_MD_TOO_WEAK": "the certificate is signed with a digest that is no longer safe",
}


class TlsProblem(ValueError):
    """The TLS settings cannot be used; one line for each thing to mend."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


@dataclass(frozen=True)
class Materials:
    """The PEM texts. `client_ca` is None where none is configured: one that is empty vouches for nobody."""

    cert: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None


@dataclass(frozen=True, eq=False)
class Tls:
    """What a new connection is secured with. `digest` tells whether two are made of the same."""

    context: ssl.SSLContext
    digest: bytes
    allowed_sans: frozenset[str] | None = None
    names_clients: bool = False
    """Whether a certificate that was verified says who its holder is: one by the operator's own CA does."""
    warnings: tuple[str, ...] = ()

    def admits(self, certificate: Mapping[str, Any] | None) -> bool:
        """Whether a client with this certificate (as `SSLSocket.getpeercert` gives it) may come in."""
        return self.allowed_sans is None or not self.allowed_sans.isdisjoint(alternative_names(certificate))


def make_tls(config: TlsServerConfig, materials: Materials) -> Tls:
    """The context for these settings; raise TlsProblem."""
    problems = [*_pair_problems(config, materials), *_client_problems(config, materials), *_version_problems(config)]
    if problems:
        raise TlsProblem(problems)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    if not config.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    _limit(context, config)
    _load_pair(context, materials)
    _ask_clients(context, config, materials)
    digest = hashlib.blake2b(config.model_dump_json().encode() + b"\0")
    for part in (materials.cert, materials.key, materials.client_ca or b""):
        digest.update(hashlib.blake2b(part).digest())
    sans = config.client_allowed_sans
    return Tls(
        context=context,
        digest=digest.digest(),
        allowed_sans=None if sans is None else frozenset(sans),
        names_clients=context.verify_mode != ssl.CERT_NONE and (materials.client_ca is not None or bool(sans)),
        warnings=tuple(_warnings(config, materials)),
    )


def alternative_names(certificate: Mapping[str, Any] | None) -> list[str]:
    """The names of a certificate's SAN extension: DNS, e-mail, IP and URI, as Go writes them."""
    names = []
    for kind, value in (certificate or {}).get("subjectAltName", ()):
        if kind == "IP Address":
            with contextlib.suppress(ValueError):
                names.append(str(ipaddress.ip_address(value.strip())))
        elif kind in ("DNS", "email", "URI"):
            names.append(str(value))
    return names


def client_name(certificate: Mapping[str, Any] | None) -> str:
    """Whom a verified certificate names: its common name, else its first alternative name, else nobody ("")."""
    subject = (certificate or {}).get("subject", ())
    common = [value for part in subject for key, value in part if key == "commonName" and value]
    name = next(iter(common + alternative_names(certificate)), "")
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:128]


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
        if kind in (*_NOT_ASKED, "VerifyClientCertIfGiven"):
            yield (
                "tls_server_config.client_allowed_sans: a client may come without a certificate; "
                "write client_auth_type: RequireAndVerifyClientCert"
            )
        if not config.client_allowed_sans:
            yield "tls_server_config.client_allowed_sans: an empty list lets nobody in; leave it out"


def _version_problems(config: TlsServerConfig) -> Iterator[str]:
    if config.min_version > config.max_version:
        yield f"tls_server_config.min_version: {config.min_version} is above max_version {config.max_version}"
    if config.cipher_suites and not _openssl_ciphers(config) and config.max_version != "TLS13":
        yield f"tls_server_config.cipher_suites: none of them is for {config.max_version}"


def _openssl_ciphers(config: TlsServerConfig) -> list[str]:
    known = _AEAD | _CBC
    return [known[name] for name in config.cipher_suites if name in known]


def _limit(context: ssl.SSLContext, config: TlsServerConfig) -> None:
    """Versions, cipher suites and curves."""
    old, ciphers = config.min_version < "TLS12", _openssl_ciphers(config)
    if config.cipher_suites and not ciphers:
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # those of TLS 1.3 are always there, the others never
    else:
        context.minimum_version = _VERSIONS[config.min_version]
        ciphers = ciphers or [*_AEAD.values(), *(_CBC.values() if old else ())]
        # What TLS 1.0 and 1.1 sign with is below OpenSSL's usual level.
        context.set_ciphers(":".join([*ciphers, "@SECLEVEL=0"] if old else ciphers))
    context.maximum_version = _VERSIONS[config.max_version]
    if len(config.curve_preferences) == 1:
        context.set_ecdh_curve(_CURVES[config.curve_preferences[0]])


def _load_pair(context: ssl.SSLContext, materials: Materials) -> None:
    try:
        # OpenSSL wants files: these have no name, so that a key that stands in the configuration is on no disk.
        with _in_memory(materials.cert) as cert, _in_memory(materials.key) as key:
            context.load_cert_chain(cert, key, password="")
    except (ssl.SSLError, OSError) as error:
        reason = _REASONS.get(getattr(error, "reason", "") or "", f"they are not in order ({_plain(error)})")
        raise TlsProblem([f"tls_server_config: certificate and key cannot be used: {reason}"]) from None


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{descriptor}"


def _ask_clients(context: ssl.SSLContext, config: TlsServerConfig, materials: Materials) -> None:
    if config.client_auth_type in _NOT_ASKED:
        return
    try:
        if materials.client_ca is not None:
            context.load_verify_locations(cadata=materials.client_ca.decode())
        else:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    except (ssl.SSLError, ValueError) as error:
        where = "client_ca_file" if config.client_ca_file else "client_ca"
        raise TlsProblem([f"tls_server_config.{where}: holds no certificate in PEM form ({_plain(error)})"]) from None
    given = config.client_auth_type == "VerifyClientCertIfGiven"
    context.verify_mode = ssl.CERT_OPTIONAL if given else ssl.CERT_REQUIRED


def _warnings(config: TlsServerConfig, materials: Materials) -> Iterator[str]:
    kind = config.client_auth_type
    if kind == "RequestClientCert":
        yield "client_auth_type RequestClientCert keeps nobody out: no certificate is asked for"
    elif kind in ("RequireAnyClientCert", "RequireClientCert"):
        yield f"client_auth_type {kind} is taken as RequireAndVerifyClientCert: certificates are verified by client_ca"
    elif kind not in _NOT_ASKED and materials.client_ca is None:
        yield "there is no client_ca: a certificate by any public CA that this machine trusts is good enough"
    if len(config.curve_preferences) > 1:
        yield "curve_preferences names several curves: OpenSSL's own choice is used, only a single one can be set"
    if config.min_version < "TLS12":
        yield f"min_version {config.min_version} is no longer safe; write TLS12"


def _plain(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error).splitlines()[0][:100]
